// Restarts nobody notices: the drain's states, sockets that a service manager holds, and a newer
// process that takes the running one's place.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { Connection, ask, events, until } from '../lib/wire.mjs';
import { writeConfig } from '../lib/options.mjs';
import { Manager, Traffic, admin, allBooked, ended, logged, running } from '../lib/restarts.mjs';

const status = async (gw) => (await admin(gw, 'GET', '/api/status')).json();

// ---- the drain -------------------------------------------------------------------------------

test('drain: lame duck, draining, exit, each as balancers and people see it', async (t) => {
  const { gw, prov } = await t.setup({ start: false, accounts: { a: { plans: [{ gate: 5, times: 1 }] } } });
  await gw.start({ env: { SLUICE_DRAIN_LEAD: '2s' } });
  equal((await status(gw)).state, 'serving');
  const kept = gw.connect().request('GET', '/livez'); // answered before, and idle
  await kept.answer();
  const asks = gw.connect().request('GET', '/livez'); // ... and asks again during the lead
  await asks.answer();
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');
  gw.proc.signal('SIGTERM');
  const ready = await until(async () => {
    const r = await gw.ask('GET', '/readyz', { key: null });
    return r.status === 503 && r;
  }, 2000, 'readyz to say no');
  equal(ready.json().reasons.join(), 'lame_duck');
  equal(ready.get('connection'), 'close');
  const duck = await status(gw);
  equal(duck.state, 'lame_duck');
  ok(duck.draining && duck.ends_within_seconds > 300 && duck.ends_within_seconds <= 317, JSON.stringify(duck.ends_within_seconds));
  const late = await gw.post(message()); // newcomers are served
  equal(late.status, 200);
  equal(late.get('connection'), 'close');
  asks.request('GET', '/livez');
  equal((await asks.answer(1)).get('connection'), 'close');
  await asks.closed();
  await kept.closed(5000);
  await until(() => logged(gw, 'drain').some((l) => l.state === 'draining'), 5000, 'the doors to close');
  equal((await status(gw)).state, 'draining');
  equal((await status(gw)).listen.length, 0);
  const refused = await gw.ask('GET', '/livez', { key: null }).catch((e) => e);
  ok(refused.status === 0 || refused instanceof Error, 'the doors are closed');
  match((await gw.cli(['status'])).out, /ending: no newcomers; 1 request left, \d+ s at most/);
  ok(gw.proc.running);
  await prov.release();
  ok((await stream.answer()).complete);
  equal(await gw.proc.exit(5000), 0);
});

test('drain: Ctrl-C waits for no balancer', async (t) => {
  const { gw } = await t.setup({ start: false });
  await gw.start({ env: { SLUICE_DRAIN_LEAD: '1h' } });
  await gw.stop({ signal: 'SIGINT', ms: 5000 });
});

test('drain: a second signal gives every stream its error, in its own dialect', async (t) => {
  const gate = { when: { stream: true }, gate: 3 };
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [gate] } } });
  const anthropic = Array.from({ length: 10 }, () => gw.open(message({ stream: true })));
  const chat = gw.open(JSON.stringify({ model: 'claude-sonnet-4-6', max_tokens: 64, stream: true,
    messages: [{ role: 'user', content: 'Hi' }] }), { path: '/v1/chat/completions', version: null });
  const all = [...anthropic, chat];
  await until(async () => (await prov.requests((r) => r.state === 'held')).length === all.length, 5000, 'all to be held');
  for (const c of all) await c.wait(() => c.body().length > 0, 5000, 'a first event');
  gw.proc.signal('SIGTERM');
  await until(() => logged(gw, 'draining').length > 0, 5000, 'the drain');
  gw.proc.signal('SIGTERM');
  for (const c of all) {
    const a = await c.answer();
    ok(!a.complete, 'it does not look like an end');
    ok(c === chat ? /data: \{"error"/.test(a.text) : events(a.body).at(-1).event === 'error', a.text);
  }
  equal(await gw.proc.exit(5000), 0);
  await gw.start(gw.options);
  const rows = await gw.booked(all.length);
  equal(rows.filter((r) => r.end === 'drained').length, all.length, 'each has its record');
});

test('drain: who has connected and not yet spoken is served', async (t) => {
  const { gw } = await t.setup();
  const silent = Array.from({ length: 20 }, () => gw.connect());
  await until(async () => (await status(gw)).connections.open >= 20, 5000, 'all to be in');
  gw.proc.signal('SIGTERM');
  await until(() => logged(gw, 'drain').some((l) => l.state === 'draining'), 5000, 'closed doors');
  for (const c of silent) c.request('GET', '/livez');
  for (const c of silent) equal((await c.answer()).status, 200);
  equal(await gw.proc.exit(5000), 0);
});

test('drain: signals in any number, at any moment, end in an exit', async (t) => {
  const { gw } = await t.setup({ start: false });
  for (let round = 0; round < 8; round++) {
    await gw.start({ env: { SLUICE_DRAIN_LEAD: '10ms' } });
    const slow = t.track(new Connection(gw.target));
    slow.request('GET', '/livez');
    for (let i = 0; i <= round; i++) {
      gw.proc.signal(i % 2 ? 'SIGINT' : 'SIGTERM');
      await new Promise((go) => { setTimeout(go, round * 3); });
    }
    await gw.stop({ ms: 8000 });
  }
});

// ---- reload ----------------------------------------------------------------------------------

test('reload: fifty of them under load: nothing fails, nothing is forgotten', { timeout: 90000 }, async (t) => {
  const limited = { status: 429, error: { type: 'rate_limit_error', message: 'Slow down' }, headers: { 'retry-after': '3000' } };
  const { gw, prov, plan } = await t.setup({ accounts: { a: { priority: 1, plans: [limited] }, b: { priority: 2, plans: [{ when: { stream: true }, gate: 5, times: 1 }] } },
    config: { ping_interval: '7s', max_attempts: 2 } });
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await plan('b', []);
  const facts = async () => (await status(gw)).accounts.map((x) => `${x.name} ${x.state} ${x.cool_until ?? ''} ${x.reason ?? ''}`).join('; ');
  const before = await facts();
  match(before, /a cooling/);
  const traffic = new Traffic(gw.target, gw.key, { fresh: 4, kept: 4, streams: 2 });
  for (let i = 1; i <= 50; i++) {
    writeConfig(gw.config, { ping_interval: `${7 + i % 5}s`, max_attempts: 2, keep_alive: `${100 + i}s`, pass_ratelimit_headers: i % 2 === 0,
      public_url: `https://gw${i}.test/`, trusted_proxies: [`10.${i}.0.0/16`], log_level: i % 3 ? 'info' : 'warn' });
    if (i % 2) gw.proc.signal('SIGHUP');
    else equal((await admin(gw, 'POST', '/api/reload', {})).status, 200);
    if (i % 10 === 0) { // one that is refused changes nothing
      fs.writeFileSync(gw.config, 'ping_interval: never\n');
      ok((await admin(gw, 'POST', '/api/reload', {})).status >= 400);
    }
    const from = traffic.done;
    await until(() => traffic.done > from + 5, 20000, 'traffic');
  }
  await traffic.end();
  equal(traffic.wrong.join('\n'), '');
  equal(await facts(), before, 'an account that rests goes on resting');
  const odd = (await prov.requests()).length;
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).length, odd + 1, 'and is not asked');
  await prov.release();
  ok((await stream.answer()).complete, 'a stream from before all of them');
  await allBooked(gw, traffic.sent + 2);
});

// ---- sockets of a service manager ------------------------------------------------------------

async function managed(t, sockets, options) {
  if (spawnSync('perl', ['-e', 'use POSIX; use Socket']).status !== 0) t.skip('no perl here to play systemd');
  const { gw, prov, keys } = await t.setup({ start: false, accounts: options?.accounts ?? { a: {} } });
  const m = await Manager.start(t, gw, sockets, options);
  return { gw, prov, keys, m };
}

test('activation: sockets by address and by name, restarted while clients connect', { timeout: 120000 }, async (t) => {
  const port = await freePort();
  const { gw, m } = await managed(t, { 'sluice.socket': `127.0.0.1:${port}`, second: '127.0.0.1:0' },
    { config: { listen: [`127.0.0.1:${port}`, 'fd:second'] } });
  await m.serve();
  for (const p of Object.values(m.ports)) equal((await ask({ host: '127.0.0.1', port: p }, 'GET', '/livez')).status, 200);
  const traffic = new Traffic({ host: '127.0.0.1', port: m.ports.second }, gw.key, { fresh: 12, kept: 0 });
  for (let i = 0; i < 5; i++) {
    const from = traffic.done;
    await until(() => traffic.done > from + 20, 30000, 'traffic');
    equal(await m.stop(), '0');
    await new Promise((go) => { setTimeout(go, 100); }); // nobody serves: who comes waits in the queue
    await m.serve();
  }
  await traffic.end();
  equal(traffic.wrong.join('\n'), '', `${traffic.wrong.length} of ${traffic.sent}`);
  await allBooked(gw, traffic.sent);
  equal(await m.stop(), '0');
});

test('activation: what does not fit is said', async (t) => {
  const { gw, m } = await managed(t, { web: '127.0.0.1:0' }, { config: { listen: ['127.0.0.1:0'] } });
  const fails = async (what) => {
    const at = m.said().length;
    const pid = await m.serve();
    await until(() => m.exited(pid) !== undefined, 10000, 'its end');
    ok(m.exited(pid) !== '0');
    match(m.said().slice(at), what);
  };
  await fails(/systemd has opened 127\.0\.0\.1:\d+ \(web\), and no `listen` has that address or `fd:web`/);
  writeConfig(path.join(gw.dir, 'managed.yaml'), { listen: ['fd:nobody'] });
  await fails(/cannot listen on fd:nobody: no socket of that name was handed over; there are: web/);
  writeConfig(path.join(gw.dir, 'managed.yaml'), { listen: ['fd:web', 'fd:web'] });
  await fails(/no socket of that name/);
  writeConfig(path.join(gw.dir, 'managed.yaml'), { listen: ['fd:'] });
  await fails(/has no port|fd:NAME/);
  writeConfig(path.join(gw.dir, 'managed.yaml'), { listen: ['fd:web'] });
  await m.serve();
  equal((await ask({ host: '127.0.0.1', port: m.ports.web }, 'GET', '/livez')).status, 200);
  // without a manager the name leads nowhere
  const alone = t.gateway();
  await alone.start({ listen: ['fd:web'], expectFail: true });
  equal(await alone.proc.exit(), 1);
  match(alone.proc.err, /no socket of that name was handed over: FileDescriptorName=/);
  alone.proc = null;
  equal(await m.stop(), '0');
});

test('activation: a plain socket beyond loopback is refused, as an address is', async (t) => {
  const { m, gw } = await managed(t, { web: '0.0.0.0:0' }, { config: { listen: ['fd:web'] } });
  const pid = await m.serve();
  await until(() => m.exited(pid) !== undefined, 10000, 'its end');
  match(m.said(), /is no loopback address, and keys and prompts would cross the network in the clear/);
  writeConfig(path.join(gw.dir, 'managed.yaml'), { listen: ['fd:web'], allow_public_listen: true });
  await m.serve();
  equal((await ask({ host: '127.0.0.1', port: m.ports.web }, 'GET', '/livez')).status, 200);
  equal(await m.stop(), '0');
});

test('activation: descriptors meant for another process are left alone', async (t) => {
  const { gw } = await t.setup({ start: false });
  await gw.start({ env: { LISTEN_PID: '1', LISTEN_FDS: '3', LISTEN_FDNAMES: 'a:b:c' } });
  equal((await gw.post(message())).status, 200);
});

// ---- upgrade ---------------------------------------------------------------------------------

// The process that serves now, by the admin's socket.
const serving = async (gw) => (await admin(gw, 'GET', '/api/status')).json().pid;

// What `upgrade` has started is not a child of ours.
function adopt(t, pid) {
  t.cleanups.push(() => { try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } });
}

async function stopNewest(gw) {
  const pid = await serving(gw);
  process.kill(pid, 'SIGTERM');
  await ended(pid);
}

test('upgrade: five times under load: none refused, no record lost, streams end where they are', { timeout: 180000 }, async (t) => {
  const { gw } = await t.setup();
  const traffic = new Traffic(gw.target, gw.key, { fresh: 8, kept: 6, streams: 6 });
  const pids = [gw.proc.pid];
  for (let i = 0; i < 5; i++) {
    const from = traffic.done;
    await until(() => traffic.done > from + 60, 30000, 'traffic');
    const { pid, older_pid } = await gw.json(['upgrade'], { ms: 60000 });
    equal(older_pid, pids.at(-1));
    adopt(t, pid);
    await ended(older_pid);
    pids.push(pid);
    equal(await serving(gw), pid);
  }
  await traffic.end();
  equal(traffic.wrong.join('\n'), '', `${traffic.wrong.length} of ${traffic.sent}`);
  equal(traffic.told, 0, 'no stream was ended');
  await allBooked(gw, traffic.sent);
  match(gw.logged(), /another process serves in our place/);
  ok(!gw.logged().includes('store trouble'));
  for (const pid of pids.slice(1)) ok(gw.logged().includes(`"pid":${pid}`), 'each speaks where the first one spoke');
  await stopNewest(gw);
  equal(await gw.proc.exit(), 0);
});

test('upgrade: a stream of the older process ends in peace, and the newer one has its options', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5, times: 1 }] } },
    config: { ping_interval: '7s' }, args: ['--keep-alive', '99s'] });
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');
  const { pid, older_pid } = await gw.json(['upgrade']);
  adopt(t, pid);
  ok(running(older_pid), 'the older one has a stream');
  const { start } = await status(gw);
  equal(start.config, gw.config);
  ok(start.options.some(([n, v]) => n === 'keep-alive' && v === '99s'), JSON.stringify(start.options));
  for (let i = 0; i < 30; i++) equal((await gw.post(message())).status, 200);
  ok(running(older_pid));
  await prov.release();
  ok((await stream.answer()).complete);
  await ended(older_pid);
  equal((await gw.booked(31)).length, 31);
  await stopNewest(gw);
});

test('upgrade: a configuration that is broken, a port that is taken, a missing certificate: the older one stays', async (t) => {
  const taken = net.createServer();
  await new Promise((go) => { taken.listen(0, '127.0.0.1', go); });
  t.cleanups.push(() => taken.close());
  const { gw } = await t.setup({ config: { ping_interval: '7s' } });
  const fails = async (code, what, args = []) => {
    const p = await gw.cli(['upgrade', ...args]);
    equal(p.code, code, p.err);
    match(p.err, what);
    equal(await serving(gw), gw.proc.pid);
    equal((await gw.post(message())).status, 200);
  };
  fs.writeFileSync(gw.config, 'ping_interval: 7s\nno_such_option: 1\n');
  await fails(78, /no_such_option/);
  writeConfig(gw.config, { ping_interval: '7s' });
  await fails(1, new RegExp(`127.0.0.1:${taken.address().port}: the address is in use.*goes on serving`, 's'),
    ['--listen', `127.0.0.1:${gw.port}`, '--listen', `127.0.0.1:${taken.address().port}`]);
  await fails(78, /cannot serve TLS: .nonexistent: cannot be read/, ['--listen', `https://127.0.0.1:${gw.port}`, '--tls-cert', '/nonexistent', '--tls-key', '/nonexistent']);
  await fails(1, /master key/, ['--master-key-file', path.join(gw.dir, 'no.key')]);
  // and then one that works
  const { pid } = await gw.json(['upgrade']);
  adopt(t, pid);
  equal(await serving(gw), pid);
  await ended(gw.proc.pid);
  equal((await gw.post(message())).status, 200);
  await stopNewest(gw);
});

test('upgrade: killed in the middle, the older one goes on, and its socket is its own', async (t) => {
  const { gw } = await t.setup();
  for (let i = 0; i < 12; i++) {
    const p = t.spawn(t.bin, ['serve', '--takeover', '--state-dir', gw.state, '--listen', `127.0.0.1:${gw.port}`], { env: gw.environment() });
    await new Promise((go) => { setTimeout(go, i * 15); });
    if (/in the place of/.test(p.out)) {
      await until(() => !gw.proc.running || !running(gw.proc.pid), 10000, 'the older one to end');
      p.signal('SIGTERM');
      await p.exit();
      await gw.stop();
      await gw.start(gw.options);
      continue;
    }
    p.signal('SIGKILL');
    await p.exit();
    /* it may have said that it serves, and that may still be on its way to the older one */
    const gaveWay = () => !running(gw.proc.pid) || /another process serves in our place/.test(gw.proc.err);
    const served = (await gw.post(message())).status === 200 && (await serving(gw).catch(() => 0)) === gw.proc.pid;
    if (!served) await until(gaveWay, 10000, `after ${i * 15} ms: the older one to serve, or to have given way`);
    if (gaveWay()) {
      await gw.stop();
      await gw.start(gw.options);
    }
  }
  equal(fs.readdirSync(gw.state).filter((f) => f.startsWith('sluice.take.')).length <= 12, true);
});

test('upgrade: behind TLS, with `overlap` on, and two at a time', { timeout: 90000 }, async (t) => {
  const { certs } = t.shared;
  const { gw } = await t.setup({ listen: ['https://127.0.0.1:0'], config: { overlap: true, tls_cert: certs.good.cert, tls_key: certs.good.key } });
  const ca = fs.readFileSync(certs.ca);
  const wrong = [];
  let done = 0;
  let over = false;
  const client = async () => {
    while (!over) {
      try {
        const socket = tls.connect({ port: gw.port, host: '127.0.0.1', servername: 'localhost', ca });
        const r = await ask({ port: gw.port, socket }, 'POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01',
          'content-type': 'application/json', connection: 'close' }, message());
        if (r.status !== 200 || !r.complete) wrong.push(`${r.status} ${r.text}`);
      } catch (e) { wrong.push(`${e.code} ${e.message}`); }
      done++;
    }
  };
  const clients = Array.from({ length: 6 }, client);
  for (let i = 0; i < 3; i++) {
    const from = done;
    await until(() => done > from + 20, 30000, 'traffic');
    const before = await serving(gw);
    const both = await Promise.all([gw.cli(['upgrade', '--json']), gw.cli(['upgrade', '--json'])]);
    const good = both.filter((p) => p.code === 0).map((p) => JSON.parse(p.out).pid);
    for (const pid of good) adopt(t, pid);
    ok(good.length >= 1, both.map((p) => p.err).join('\n'));
    for (const p of both.filter((x) => x.code !== 0)) match(p.err, /another process is about to take|this gateway is ending|has not let go|no gateway is running/);
    ok(good.includes(await serving(gw)), 'one of them serves');
    await ended(before);
  }
  over = true;
  await Promise.all(clients);
  equal(wrong.join('\n'), '', `${wrong.length} of ${done}`);
  await allBooked(gw, done);
  await stopNewest(gw);
});

test('upgrade: a demo has nothing to hand over', async (t) => {
  const gw = t.gateway();
  await gw.start({ args: ['--demo'] });
  const p = await gw.cli(['upgrade']);
  equal(p.code, 1);
  match(p.err, /this is the demo/);
  equal(await serving(gw), gw.proc.pid);
});

test('upgrade: nobody there, no socket of ours, one at a time', async (t) => {
  const { gw } = await t.setup({ start: false });
  const none = await gw.cli(['upgrade']);
  equal(none.code, 3);
  match(none.err, /no gateway is running in .*`sluice serve` starts one/);
  const take = await gw.cli(['serve', '--takeover']);
  equal(take.code, 3);
  match(take.err, /there is no place to take/);
  match((await gw.cli(['serve', '--takeover', '--demo'])).err, /the demo takes nobody's place/);
  await gw.start();
  const now = await serving(gw);
  adopt(t, now);
  for (const socket of ['', '../x', 'sluice.sock', 'sluice.take.x', 'sluice.take.', 'sluice.take.1/../../x']) {
    const r = await admin(gw, 'POST', '/api/upgrade', { socket });
    equal(r.status, 409, socket);
    match(r.text, /no socket of a gateway that starts/);
  }
  equal((await admin(gw, 'POST', '/api/upgrade', { socket: 'sluice.take.99999999' })).status, 200); // nobody is there: logged, and no harm
  equal((await gw.post(message())).status, 200);
  equal(await serving(gw), now);
  await stopNewest(gw);
});

async function freePort() {
  const s = net.createServer();
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  const { port } = s.address();
  await new Promise((go) => { s.close(go); });
  return port;
}
