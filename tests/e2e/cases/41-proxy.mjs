// Behind a balancer: PROXY headers, x-forwarded-for, and bounds by source.

import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { issue } from '../lib/front.mjs';
import { Connection, until } from '../lib/wire.mjs';

const v1 = (from, port = 4711) => Buffer.from(`PROXY TCP4 ${from} 192.0.2.254 ${port} 443\r\n`);
function v2(from, port = 4711, { command = 1, extra = Buffer.alloc(0) } = {}) {
  const body = Buffer.alloc(12);
  from.split('.').forEach((b, i) => { body[i] = Number(b); });
  body.writeUInt16BE(port, 8);
  const head = Buffer.from('0d0a0d0a000d0a515549540a00110000', 'hex');
  head[12] = 0x20 | command;
  head.writeUInt16BE(body.length + extra.length, 14);
  return Buffer.concat([head, body, extra]);
}

// A connection that begins with `first`.
function through(t, port, first) {
  const c = t.track(new Connection({ port, host: '127.0.0.1' }));
  c.socket.write(first);
  return c;
}

const key = (gw) => ({ 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' });

async function behind(t, { trusted = '127.0.0.1', listen = ['proxy+http://127.0.0.1:0', 'http://127.0.0.1:0'], args = [], ...rest } = {}) {
  const s = await t.setup({ listen, args: ['--trusted-proxies', trusted, ...args], ...rest });
  const [front, plain] = s.gw.bound().map((u) => Number(new URL(u).port));
  return { ...s, front, plain };
}

async function post(gw, c, extra = {}) {
  const a = await c.request('POST', '/v1/messages', { ...key(gw), ...extra }, message()).answer();
  c.leave();
  return a;
}

const clients = async (gw, n) => (await gw.booked(n)).map((r) => r.client);

test('behind: PROXY v1 and v2 name the client', async (t) => {
  const { gw, front } = await behind(t);
  equal((await post(gw, through(t, front, v1('192.0.2.7')))).status, 200);
  equal((await post(gw, through(t, front, v2('192.0.2.8', 99)))).status, 200);
  equal((await post(gw, through(t, front, v2('192.0.2.9', 99, { command: 0 })))).status, 200, 'a health check of the balancer');
  const seen = await clients(gw, 3);
  ok(seen.includes('192.0.2.7:4711') && seen.includes('192.0.2.8:99'), seen.join());
  ok(seen.some((c) => c.startsWith('127.0.0.1:')), seen.join());
  // in pieces, the request right behind it
  const c = through(t, front, v2('192.0.2.10').subarray(0, 7));
  await new Promise((go) => { setTimeout(go, 50); });
  c.socket.write(v2('192.0.2.10').subarray(7));
  equal((await post(gw, c)).status, 200);
});

test('behind: without a good header there is nothing to be had', { timeout: 30000 }, async (t) => {
  const { gw, front, plain } = await behind(t);
  const badCrc = Buffer.from([3, 0, 4, 1, 2, 3, 4]);
  for (const first of ['GET /livez HTTP/1.1\r\nhost: x\r\n\r\n', 'PROXY TCP4 192.0.2.7 1 2\r\nGET ', `PROXY ${'x'.repeat(200)}`,
    v2('192.0.2.7', 1, { command: 2 }), v2('192.0.2.7', 1, { extra: badCrc }), v2('192.0.2.7', 1, { extra: Buffer.alloc(4300) })]) {
    const c = through(t, front, first);
    await c.closed();
    equal(c.bytes, 0, 'not a byte of an answer');
  }
  const silent = through(t, front, 'PROXY ');
  const started = Date.now();
  await silent.closed();
  ok(Date.now() - started > 2500, 'it has three seconds');
  equal((await through(t, plain, '').request('GET', '/livez').answer()).status, 200, 'the other door asks for none');
  const { arrivals } = await gw.json(['status']);
  equal(arrivals.bad_proxy_header, 7);
  match(gw.logged(), /PROXY header/);
});

test('behind: only trusted balancers are let in', async (t) => {
  const { gw, front } = await behind(t, { trusted: '192.0.2.0/24' });
  const c = through(t, front, v1('192.0.2.7'));
  await c.closed();
  equal(c.bytes, 0);
  equal((await gw.json(['status'])).arrivals.untrusted, 1);
  // the list changes with a reload
  const p = t.gateway();
  await p.start({ listen: ['proxy+http://127.0.0.1:0'], config: { trusted_proxies: ['192.0.2.1'] } });
  fs.writeFileSync(p.config, 'trusted_proxies: [127.0.0.0/8]\n');
  await p.ok(['reload']);
  const again = through(t, Number(new URL(p.bound()[0]).port), v1('192.0.2.7'));
  equal((await again.request('GET', '/livez').answer()).status, 200);
});

test('behind: PROXY, then TLS', async (t) => {
  const pair = issue(t, 'first');
  const { gw, front } = await behind(t, { listen: ['127.0.0.1:0'], args: ['--proxy-protocol', '--tls-cert', pair.cert, '--tls-key', pair.key] });
  const raw = net.connect({ port: front, host: '127.0.0.1' });
  raw.write(v2('192.0.2.33', 5));
  const socket = tls.connect({ socket: raw, servername: 'localhost', ca: fs.readFileSync(t.shared.certs.ca) });
  equal((await post(gw, t.track(new Connection({ port: front, host: 'localhost', socket })))).status, 200);
  equal((await clients(gw, 1))[0], '192.0.2.33:5');
});

test('behind: nobody becomes this machine by saying so', async (t) => {
  // With no key at all this machine's own programs are served. A balancer's clients are not they.
  const prov = await t.provider();
  const gw = t.gateway();
  const secret = t.secret();
  await prov.accounts({ [secret]: { name: 'a' } });
  await gw.addAccount({ name: 'a', url: prov.url, secret });
  await gw.start({ listen: ['proxy+http://127.0.0.1:0', '127.0.0.1:0'], args: ['--trusted-proxies', '127.0.0.1'] });
  const [front, plain] = gw.bound().map((u) => Number(new URL(u).port));
  const ask = (c, extra = {}) => c.request('POST', '/v1/messages', { host: 'localhost', 'anthropic-version': '2023-06-01', 'content-type': 'application/json', ...extra }, message()).answer();
  for (const c of [through(t, front, v1('127.0.0.1')), through(t, front, v2('127.0.0.1')), through(t, front, v2('1.1.1.1', 1, { command: 0 })), through(t, front, 'PROXY UNKNOWN\r\n')]) {
    equal((await ask(c)).status, 401);
  }
  for (const header of [{ 'x-forwarded-for': '127.0.0.1' }, { 'x-forwarded-for': '::1' }, { 'x-forwarded-for': '' }, {}]) {
    equal((await ask(through(t, plain, ''), header)).status, 401, JSON.stringify(header));
  }
  equal((await prov.requests()).length, 0);
});

test('behind: x-forwarded-for is believed from the right, and of trusted proxies only', async (t) => {
  const { gw, plain } = await behind(t);
  const from = async (value) => post(gw, through(t, plain, ''), { 'x-forwarded-for': value });
  equal((await from('203.0.113.9, 198.51.100.4')).status, 200);
  equal((await from(['10.0.0.1', '198.51.100.5:77', '127.0.0.1'])).status, 200);
  const seen = await clients(gw, 2);
  ok(seen.includes('198.51.100.4') && seen.includes('198.51.100.5:77'), seen.join());
  // wrong keys count for who sends them, not for the balancer
  const wrong = async (who) => (await through(t, plain, '').request('GET', '/v1/models', { 'x-api-key': 'slc_no', 'x-forwarded-for': who }).answer()).status;
  let last = 0;
  for (let i = 0; i < 60 && last !== 429; i++) last = await wrong('198.51.100.66');
  equal(last, 429);
  equal(await wrong('198.51.100.67'), 401);
  // without trust it is noise
  const alone = await t.setup({});
  equal((await post(alone.gw, alone.gw.connect(), { 'x-forwarded-for': '198.51.100.4' })).status, 200);
  match((await clients(alone.gw, 1))[0], /^127\.0\.0\.1:/);
});

test('behind: Forwarded instead, if that is what is asked for', async (t) => {
  const { gw, plain } = await behind(t, { args: ['--forwarded-header', 'forwarded'] });
  equal((await post(gw, through(t, plain, ''), { forwarded: 'for=1.1.1.1, for="[2001:db8::5]:7";proto=https', 'x-forwarded-for': '198.51.100.4' })).status, 200);
  equal((await clients(gw, 1))[0], '[2001:db8::5]:7');
});

test('behind: one source has so many connections and no more', async (t) => {
  const { gw, front } = await behind(t, { args: ['--max-connections-per-source', '3'] });
  const open = [];
  for (let i = 0; i < 3; i++) {
    const c = through(t, front, v1('192.0.2.7', i + 1));
    equal((await c.request('GET', '/livez').answer()).status, 200);
    open.push(c);
  }
  const fourth = through(t, front, v1('192.0.2.7', 9));
  await fourth.closed();
  equal(fourth.bytes, 0);
  equal((await through(t, front, v1('192.0.2.8')).request('GET', '/livez').answer()).status, 200, 'others are not held back');
  open[0].leave();
  await until(async () => {
    const c = through(t, front, v1('192.0.2.7', 10));
    const a = await c.request('GET', '/livez').answer();
    return a.status === 200;
  }, 5000, 'a place that has become free');
  match(gw.logged(), /too many connections/);
});

test('behind: a connection that is old enough ends with its next answer', async (t) => {
  const { gw } = await t.setup({ config: { max_connection_age: '300ms' } });
  const c = gw.connect();
  equal((await c.request('GET', '/livez').answer()).get('connection'), undefined);
  await new Promise((go) => { setTimeout(go, 400); });
  const a = await c.request('GET', '/livez').answer(1);
  equal(a.status, 200);
  equal(a.get('connection'), 'close');
  await c.closed();
});
