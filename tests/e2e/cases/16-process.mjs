// The process itself: signals, restarts, listeners, the state folder.

import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { Connection, ask, events, until } from '../lib/wire.mjs';
import { deepEqual, equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { writeConfig } from '../lib/options.mjs';
import { databases, integrity } from '../lib/sqlite.mjs';

test('process: SIGTERM lets a running stream end, then exits 0', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5 }] } } });
  const idle = gw.connect().request('HEAD', '/');
  await idle.answer();
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await c.wait(() => events(c.body()).length >= 5, 3000, 'events');
  gw.proc.signal('SIGTERM');
  await until(async () => {
    const a = await ask(gw.target, 'GET', '/readyz').catch(() => null);
    return !a || a.status !== 200;
  }, 8000, 'readyz to say no');
  ok(gw.proc.running, 'it waits for the stream');
  await prov.release();
  const a = await c.answer();
  ok(a.complete);
  sameBytes(a.body, (await prov.requests())[0].sent, 'stream');
  equal(await gw.proc.exit(15000), 0);
  await gw.start(gw.options);
  equal((await gw.booked(1)).length, 1, 'the stream was booked before the exit');
});

test('process: a second SIGTERM ends at once', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await c.head();
  gw.proc.signal('SIGTERM');
  await until(() => /drain|SIGTERM|stopping|lame/i.test(gw.logged()), 5000, 'a word about the drain in the log');
  gw.proc.signal('SIGTERM');
  const from = Date.now();
  await gw.proc.exit(5000);
  ok(Date.now() - from < 3000, `took ${Date.now() - from} ms`);
  ok(typeof gw.proc.code === 'number', `ended by itself, not by ${gw.proc.code}`);
  gw.logs += gw.proc.err;
  gw.proc = null;
  const a = await c.answer();
  ok(!a.complete, 'the stream did not look like a clean end');
});

test('process: SIGTERM past the drain limit ends streams with an error event', async (t) => {
  const { gw, prov } = await t.setup({ config: { drain_timeout: '300ms' }, accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await c.wait(() => events(c.body()).length >= 5, 3000, 'events');
  gw.proc.signal('SIGTERM');
  const a = await c.answer(0, 20000);
  ok(!a.complete && a.text.includes('event: error'), a.text);
  equal(await gw.proc.exit(10000), 0);
});

test('process: SIGTERM when idle exits quickly and leaves no socket behind', async (t) => {
  const { gw } = await t.setup();
  await gw.post(message());
  const from = Date.now();
  await gw.stop();
  ok(Date.now() - from < 10000, `took ${Date.now() - from} ms`);
  await gw.start(gw.options);
  equal((await gw.post(message())).status, 200);
});

test('process: SIGHUP reads the file again, a bad file changes nothing', async (t) => {
  const { gw, prov } = await t.setup({ config: { pass_ratelimit_headers: false }, accounts: { a: { plans: [{ when: { stream: true }, gate: 5 }] } } });
  const limits = async () => (await gw.post(message())).get('anthropic-ratelimit-requests-limit');
  equal(await limits(), undefined);
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  writeConfig(gw.config, { pass_ratelimit_headers: true });
  gw.proc.signal('SIGHUP');
  await until(async () => (await limits()) === '50', 5000, 'the new value');
  const before = gw.logged().length;
  fs.writeFileSync(gw.config, 'pass_ratelimit_headers: false\nno_such_option: 1\n');
  gw.proc.signal('SIGHUP');
  await until(() => /no_such_option/.test(gw.logged().slice(before)), 5000, 'a complaint in the log');
  equal(await limits(), '50');
  await prov.release();
  ok((await c.answer()).complete, 'a running stream is not touched');
  const [row] = await gw.booked(1);
  ok(row);
});

test('process: SIGKILL during writes loses no database', { timeout: 120000 }, async (t) => {
  const { gw } = await t.setup();
  for (let round = 0; round < 3; round++) {
    let done = 0;
    const load = Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 200; i++) {
        const a = await gw.post(message({ stream: i % 2 === 0 })).catch(() => null);
        if (!a?.complete) return;
        done++;
      }
    });
    await until(() => done >= 60 + round * 37, 60000, 'some load');
    gw.proc.signal('SIGKILL');
    await gw.proc.exit(5000);
    await Promise.all(load);
    const offline = await gw.records();
    ok(Array.isArray(offline), 'the list is readable without the daemon');
    await gw.start(gw.options);
    equal((await gw.post(message())).status, 200);
  }
  const rows = await gw.booked(2);
  ok(rows.length > 1);
  await gw.stop();
  const dbs = databases(gw.stateFiles());
  ok(dbs.length > 0, 'a database in the state folder');
  for (const db of dbs) {
    const verdict = integrity(db);
    if (verdict === null) t.skip('no sqlite3 command and no Python here');
    equal(verdict, 'ok', db);
  }
});

test('process: several listeners, IPv6 too', async (t) => {
  const { gw } = await t.setup({ listen: ['127.0.0.1:0', '[::1]:0', '127.0.0.1:0'] });
  const all = gw.bound();
  equal(all.length, 3);
  equal(new Set(all).size, 3);
  for (const url of all) {
    const u = new URL(url);
    const host = u.hostname.replace(/[[\]]/g, '');
    const a = await ask({ host, port: Number(u.port) }, 'POST', '/v1/messages', { host: u.host,
      'x-api-key': gw.key, 'anthropic-version': '2023-06-01' }, message());
    equal(a.status, 200, `${url}: ${a.text}`);
  }
});

test('process: an address that is taken, a bad one: a clear end', async (t) => {
  const { gw } = await t.setup();
  for (const listen of [`127.0.0.1:${gw.port}`, '127.0.0.1:99999', 'nonsense', '300.1.1.1:1']) {
    const other = t.gateway();
    await other.start({ listen: [listen], expectFail: true });
    const code = await other.proc.exit(10000);
    ok(typeof code === 'number' && code !== 0, `${listen}: ${code}`);
    ok((other.proc.err + other.proc.out).length > 10, 'it says why');
    other.proc = null;
  }
  equal((await gw.post(message())).status, 200);
});

test('process: two daemons on one state folder: the second refuses', async (t) => {
  const { gw } = await t.setup();
  const p = t.spawn(t.bin, ['serve', '--listen', '127.0.0.1:0', '--state-dir', gw.state], { env: gw.environment() });
  const code = await p.exit(10000);
  ok(typeof code === 'number' && code !== 0, `exit ${code}`);
  equal((await gw.post(message())).status, 200);
});

test('process: a master key others can read is refused', async (t) => {
  const { gw } = await t.setup();
  await gw.stop();
  const found = gw.stateFiles().filter((f) => /key/i.test(path.basename(f)) && fs.statSync(f).size < 4096);
  equal(found.length, 1, `one key file: ${gw.stateFiles()}`);
  equal((fs.statSync(found[0]).mode & 0o777).toString(8), '600');
  for (const mode of [0o644, 0o640, 0o604]) {
    fs.chmodSync(found[0], mode);
    await gw.start({ expectFail: true });
    const code = await gw.proc.exit(10000);
    ok(typeof code === 'number' && code !== 0, `mode ${mode.toString(8)}: exit ${code}`);
    match(gw.proc.err + gw.proc.out, /mode|permission|readable|0600|chmod/i);
    gw.proc = null;
    const verb = await gw.cli(['account', 'list']);
    ok(verb.code !== 0, 'the verbs refuse it too');
  }
  fs.chmodSync(found[0], 0o600);
  await gw.start({});
  equal((await gw.post(message())).status, 200, 'and with the right mode it goes on');
});

test('process: a lost master key is said, not papered over', async (t) => {
  const { gw } = await t.setup();
  await gw.stop();
  const [file] = gw.stateFiles().filter((f) => /key/i.test(path.basename(f)) && fs.statSync(f).size < 4096);
  fs.renameSync(file, path.join(gw.dir, 'moved.key'));
  await gw.start({ expectFail: true });
  await until(() => !gw.proc.running || gw.bound().length, 10000, 'a verdict');
  if (gw.proc.running) {
    [gw.url] = gw.bound();
    gw.port = Number(new URL(gw.url).port);
    const a = await gw.post(message());
    ok(a.status >= 400, 'no request is served with secrets that cannot be opened');
    await gw.stop();
  } else {
    ok(gw.proc.code !== 0);
    gw.proc = null;
  }
});

test('process: files of the state folder are for the owner only', async (t) => {
  const { gw } = await t.setup();
  await gw.post(message());
  await gw.booked(1);
  for (const f of gw.stateFiles()) equal(fs.statSync(f).mode & 0o077, 0, `${path.basename(f)} is readable by others`);
  equal(fs.statSync(gw.state).mode & 0o007, 0, 'the folder');
});

test('process: logs are JSON lines when not on a terminal', async (t) => {
  const { gw } = await t.setup();
  await gw.post(message());
  await gw.post('{"no json', {});
  await gw.stop();
  const lines = gw.logs.split('\n').filter((l) => l && !l.startsWith('listening on'));
  const text = lines.filter((l) => l.startsWith('{'));
  ok(text.length > 0, gw.logs);
  for (const l of text) ok(JSON.parse(l), l);
});

test('process: keep-alive connections in numbers', async (t) => {
  const { gw } = await t.setup();
  const conns = Array.from({ length: 100 }, () => t.track(new Connection(gw.target)));
  for (const c of conns) c.request('GET', '/livez');
  const all = await Promise.all(conns.map((c) => c.answer()));
  deepEqual(all.map((a) => a.status), Array(100).fill(200));
});
