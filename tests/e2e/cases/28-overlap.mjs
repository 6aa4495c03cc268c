// Two gateways on one state folder and one address, as in a restart that nobody notices.

import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { ask, until } from '../lib/wire.mjs';

const sleep = (ms) => new Promise((go) => { setTimeout(go, ms); });

// A token endpoint that rotates: each answer uses the refresh token up. `hold` keeps its answers.
async function tokenServer(pairs) {
  const asked = [];
  const held = [];
  const server = { asked, hold: false };
  const s = http.createServer((req, res) => {
    let text = '';
    req.on('data', (d) => { text += d; });
    req.on('end', () => {
      const body = JSON.parse(text);
      asked.push(body.refresh_token);
      const i = pairs.findIndex((p) => p.refresh === body.refresh_token);
      const next = pairs[i + 1];
      const answer = () => {
        const dead = !next || pairs[i].used;
        if (!dead) pairs[i].used = true;
        res.writeHead(dead ? 400 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(dead
          ? { error: 'invalid_grant' }
          : { access_token: next.access, refresh_token: next.refresh, expires_in: 28800 }));
      };
      if (server.hold) held.push(answer);
      else answer();
    });
  });
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  server.url = `http://127.0.0.1:${s.address().port}/v1/oauth/token`;
  server.release = () => { server.hold = false; held.splice(0).forEach((a) => a()); };
  server.close = () => { s.closeAllConnections(); s.close(); };
  return server;
}

async function freePort() {
  const s = net.createServer();
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  const { port } = s.address();
  await new Promise((go) => { s.close(go); });
  return port;
}

// Another process on the state folder of `gw`.
function beside(t, gw) {
  const other = t.gateway();
  other.state = gw.state;
  other.key = gw.key;
  for (const [k, v] of gw.secrets) other.secrets.set(k, v);
  return other;
}

const start = (gw, listen = '127.0.0.1:0', config = {}) => gw.start({ listen: [listen], config: { overlap: true, ...config } });

async function oauthPair(t, expiresAt, n = 2) {
  const prov = await t.provider({});
  const gw = t.gateway();
  const pairs = Array.from({ length: n }, (_, i) => ({ access: t.secret(), refresh: t.secret(), i }));
  const server = await tokenServer(pairs);
  for (const p of pairs) {
    await prov.accounts({ [p.access]: { name: `token-${p.i}`, bearer: true } });
    gw.secrets.set(p.access, `access token ${p.i}`);
    gw.secrets.set(p.refresh, `refresh token ${p.i}`);
  }
  await gw.ok(['account', 'add', 'sub', '--provider', 'claude-oauth', '--base-url', prov.url, '--token-url', server.url,
    '--client-id', 'a-client-of-ours', '--token-file', '-'],
  { input: JSON.stringify({ access_token: pairs[0].access, refresh_token: pairs[0].refresh, expires_at: expiresAt }) });
  gw.key = await gw.addKey('tester');
  return { prov, gw, server, pairs, other: beside(t, gw) };
}

// ---- one renewal -----------------------------------------------------------------------------

test('overlap: 500 requests on an expired token over two processes: one renewal, all served', { timeout: 120000 }, async (t) => {
  const { prov, gw, other, server, pairs } = await oauthPair(t, Date.now() - 1000);
  try {
    await start(gw);
    await start(other);
    server.hold = true;
    const all = Promise.all(Array.from({ length: 500 }, (_, i) => (i % 2 ? gw : other).post(message())));
    await until(() => server.asked.length > 0, 10000, 'a renewal');
    await sleep(500); // for a second one, which must not come
    server.release();
    for (const r of await all) equal(r.status, 200, r.text);
    equal(server.asked.length, 1, 'one renewal');
    for (const r of await prov.requests()) equal(r.key, pairs[1].access, 'only the new token is used');
    const rows = new Set();
    const look = async () => {
      for (let before = 0; ;) {
        const { requests } = await gw.json(['requests', '--limit', '100', ...(before ? ['--before', String(before)] : [])]);
        for (const r of requests) rows.add(r.row);
        if (requests.length < 100) return rows.size >= 500;
        before = requests[requests.length - 1].row;
      }
    };
    await until(look, 20000, 'the rows of both, which two threads write a moment later');
    equal(rows.size, 500, 'every request of both is booked, each in a row of its own');
    for (const g of [gw, other]) ok(!g.logged().includes('store trouble'), 'two writers are no trouble');
  } finally { server.close(); }
});

test('overlap: killed with the answer on disk: the other has the account at once', async (t) => {
  const { gw, other, server, pairs } = await oauthPair(t, Date.now() - 1000, 3);
  try {
    await start(gw);
    await start(other);
    equal((await gw.post(message())).status, 200);
    gw.proc.signal('SIGKILL');
    await gw.stop({ codes: ['SIGKILL'] });
    equal((await other.post(message())).status, 200);
    equal(server.asked.join(), pairs[0].refresh, 'the used refresh token is not used again');
  } finally { server.close(); }
});

test('overlap: killed in the middle of a renewal: the other takes over when the lease is over', { timeout: 150000 }, async (t) => {
  const { gw, other, server, pairs } = await oauthPair(t, Date.now() - 1000);
  try {
    await start(gw);
    await start(other);
    server.hold = true;
    gw.post(message()).catch(() => {});
    await until(() => server.asked.length === 1, 10000, 'a renewal');
    gw.proc.signal('SIGKILL');
    await gw.stop({ codes: ['SIGKILL'] });
    server.hold = false; // the answer that was owed is never given: the pair was not rotated
    const r = await until(async () => {
      const one = await other.post(message(), { ms: 100000 });
      return one.status === 200 && one;
    }, 120000, 'a request that is served');
    equal(r.status, 200, r.text);
    equal(server.asked.join(), `${pairs[0].refresh},${pairs[0].refresh}`);
  } finally { server.close(); }
});

// ---- what one learns of the other ------------------------------------------------------------

test('overlap: what a person changes reaches both within two seconds', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: {}, b: {} }, config: { overlap: true } });
  const other = beside(t, gw);
  await start(other);
  let talk = 0; // each a conversation of its own, which is warm nowhere
  const served = async (g, want, why) => {
    const from = Date.now();
    await until(async () => {
      const n = (await prov.requests()).length;
      const r = await g.post(message({ text: `Talk ${++talk}` }));
      return r.status === 200 && (await prov.requests())[n]?.key === want;
    }, 3000, why);
    ok(Date.now() - from < 2200, `${why} after ${Date.now() - from} ms`);
  };
  await served(gw, keys.a, 'the first account');
  // the newer one answers on the socket; the older one learns of it
  equal((await gw.json(['status'])).pid, other.proc.pid);
  await gw.ok(['account', 'pause', 'a']);
  await served(other, keys.b, 'paused in the newer process');
  await served(gw, keys.b, 'paused in the older process');
  await gw.ok(['account', 'resume', 'a']);
  await served(gw, keys.a, 'resumed in the older process');
  const c = t.secret();
  await prov.accounts({ [c]: { name: 'c' } });
  await gw.addAccount({ name: 'c', url: prov.url, secret: c, priority: 0 });
  other.secrets.set(c, 'secret of account c');
  await served(gw, c, 'added');
  await gw.ok(['account', 'remove', 'c']);
  await served(gw, keys.a, 'removed');
  const key = await gw.addKey('second');
  other.secrets.set(key, 'client key second');
  const answers = async (status, why) => { // seldom: who comes with a wrong key too often is sent away
    for (let i = 0; (await gw.post(message(), { key })).status !== status; i++) {
      ok(i < 4, why);
      await sleep(500);
    }
  };
  await answers(200, 'a new key in the older process');
  await gw.ok(['key', 'revoke', 'second']);
  await answers(401, 'a revoked key in the older process');
});

test('overlap: a folder is shared only by those who say so', async (t) => {
  const { gw } = await t.setup({ config: { overlap: true } });
  const alone = beside(t, gw);
  await alone.start({ expectFail: true });
  equal(await alone.proc.exit(), 1);
  match(alone.proc.err, /shares it only with a gateway that has `overlap` on/);
  alone.proc = null;
  await gw.stop();
  await gw.start({});
  const sharing = beside(t, gw);
  await sharing.start({ config: { overlap: true }, expectFail: true });
  equal(await sharing.proc.exit(), 1);
  match(sharing.proc.err, /alone, for its `overlap` is off/);
  sharing.proc = null;
  equal((await gw.post(message())).status, 200);
});

test('overlap: the socket belongs to the newer process, and to the older one again when that ends', async (t) => {
  const { gw } = await t.setup({ config: { overlap: true } });
  const other = beside(t, gw);
  const sock = path.join(gw.state, 'sluice.sock');
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    await start(other);
    equal((await gw.json(['status'])).pid, other.proc.pid);
    await other.stop({ signal, codes: [0, 'SIGKILL'] });
    await until(async () => (await gw.cli(['status', '--json'])).out.includes(`"pid":${gw.proc.pid}`), 8000, `the socket after ${signal}`);
  }
  await start(other);
  await gw.stop();
  ok(fs.existsSync(sock), 'the older one leaves the newer one its socket');
  equal((await other.json(['status'])).pid, other.proc.pid);
  await other.stop();
  ok(!fs.existsSync(sock), 'the last one takes it along');
});

// ---- the restart -----------------------------------------------------------------------------

test('overlap: five restarts under 2,000 connections: none is refused, streams end in peace', { timeout: 120000 }, async (t) => {
  const { gw } = await t.setup({ start: false });
  const port = await freePort();
  const target = { port, host: '127.0.0.1' };
  const procs = [gw];
  await start(gw, `127.0.0.1:${port}`);
  const wrong = [];
  let sent = 0;
  let over = false;
  const headers = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' };
  const fresh = (body) => ask(target, 'POST', '/v1/messages', { ...headers, connection: 'close' }, body);
  const agent = new http.Agent({ keepAlive: true });
  const kept = (body) => new Promise((go, no) => { // on a connection that has served before
    const req = http.request({ ...target, path: '/v1/messages', method: 'POST', headers, agent }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (d) => { text += d; });
      res.on('end', () => go({ status: res.statusCode, complete: res.complete, text })).on('error', no);
    });
    req.on('error', no);
    req.end(body);
  });
  const client = async (send) => {
    while (!over || sent < 2000) {
      const n = sent++;
      try {
        const r = await send(message({ stream: n % 4 === 0 }));
        if (r.status !== 200 || r.complete === false) wrong.push(`${n}: ${r.status} ${r.text}`);
      } catch (e) { wrong.push(`${n}: ${e.message}`); }
      if (send === kept) await sleep(n % 20);
    }
  };
  const clients = Array.from({ length: 20 }, (_, i) => client(i < 16 ? fresh : kept));
  for (let i = 0; i < 5; i++) {
    await until(() => sent >= (i + 1) * 330, 60000, 'traffic');
    const next = beside(t, gw);
    await start(next, `127.0.0.1:${port}`);
    const older = procs[procs.length - 1];
    procs.push(next);
    await older.stop();
  }
  over = true;
  await Promise.all(clients);
  agent.destroy();
  equal(wrong.join('\n'), '', `${wrong.length} of ${sent}`);
  for (const g of procs) ok(!g.logged().includes('store trouble'), 'two writers are no trouble');
  ok(sent >= 2000);
});

test('overlap: the older process ends its streams while the newer one serves newcomers', async (t) => {
  const { gw, prov } = await t.setup({ start: false, accounts: { a: { plans: [{ gate: 5, times: 1 }] } } });
  const port = await freePort();
  await start(gw, `127.0.0.1:${port}`);
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');
  const other = beside(t, gw);
  await start(other, `127.0.0.1:${port}`);
  gw.proc.signal('SIGTERM');
  for (let i = 0; i < 50; i++) {
    const r = await other.post(message());
    equal(r.status, 200, r.text);
  }
  ok(gw.proc.running, 'the older one waits for its stream');
  const served = (g) => g.logged().split('\n').filter((l) => l.includes('"msg":"request"')).length;
  await until(() => served(other) === 50, 5000, 'all of them in the log of the newer one');
  equal(served(gw), 0);
  await prov.release();
  const r = await stream.answer();
  ok(r.complete && r.text.includes('message_stop'), r.text);
  equal(await gw.proc.exit(10000), 0);
  await gw.stop();
  equal((await other.post(message())).status, 200);
});
