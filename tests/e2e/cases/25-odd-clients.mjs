// Clients that are odd, rude or many; what they leave behind is looked at as well.

import fs from 'node:fs';
import net from 'node:net';
import { message, test } from '../lib/harness.mjs';
import { Connection, until } from '../lib/wire.mjs';
import { deepEqual, equal, isError, ok } from '../lib/assert.mjs';

const BODY = message();
const head = (key, extra = '', line = 'POST /v1/messages HTTP/1.1') =>
  `${line}\r\nhost: 127.0.0.1\r\nx-api-key: ${key}\r\nanthropic-version: 2023-06-01\r\n${extra}`;
const fds = (gw) => fs.readdirSync(`/proc/${gw.proc.pid}/fd`).length;

async function one(gw, bytes, ms = 5000) {
  const c = gw.connect();
  c.methods.push(bytes.slice(0, bytes.indexOf(' '))); // the reader must know a HEAD
  c.send(Buffer.from(bytes, 'latin1'));
  const a = await c.answer(0, ms);
  c.leave();
  return a;
}

test('odd client: HTTP/1.0, with and without keep-alive', async (t) => {
  const { gw } = await t.setup();
  const a = await one(gw, `${head(gw.key, `content-length: ${BODY.length}\r\n`, 'POST /v1/messages HTTP/1.0')}\r\n${BODY}`);
  equal(a.status, 200);
  equal(a.get('transfer-encoding'), undefined, 'no chunks for HTTP/1.0');
  const s = message({ stream: true });
  const b = await one(gw, `${head(gw.key, `connection: keep-alive\r\ncontent-length: ${s.length}\r\n`, 'POST /v1/messages HTTP/1.0')}\r\n${s}`);
  equal(b.status, 200);
  ok(b.text.includes('message_stop') && b.get('transfer-encoding') === undefined);
});

test('odd client: ways to say the target', async (t) => {
  const { gw, prov } = await t.setup();
  const len = `content-length: ${BODY.length}\r\n`;
  const go = (line, extra = len, body = BODY) => one(gw, `${head(gw.key, extra, line)}\r\n${body}`);
  const status = async (line, extra, body) => (await go(line, extra, body)).status;
  const abs = await status(`POST http://127.0.0.1:${gw.port}/v1/messages HTTP/1.1`);
  ok([200, 400, 404].includes(abs), `absolute form: ${abs}`);
  for (const path of ['//v1/messages', '/v1//messages', '/v1/messages/', '/V1/messages', '/v1/messages;x', '/v1/./messages',
    '/v1/../v1/messages', '/%76%31/messages', '/v1/messages%00', '/v1/messages\\x', '*', 'v1/messages', '/v1/messages#x', '?x']) {
    const s = await status(`POST ${path} HTTP/1.1`);
    ok([400, 404, 405].includes(s), `${path}: ${s}`);
  }
  equal(await status('HEAD /v1/messages HTTP/1.1', '', ''), 405);
  equal(await status('GET /v1/messages HTTP/1.1', '', ''), 405);
  equal(await status('PUT /v1/messages HTTP/1.1'), 405);
  equal(await status('DELETE /livez HTTP/1.1', '', ''), 405);
  ok([200, 204, 400, 404, 405, 501].includes(await status('OPTIONS * HTTP/1.1', '', '')));
  deepEqual((await prov.requests()).map((r) => r.url).filter((u) => u !== '/v1/messages'), [], 'nothing odd reached the provider');
});

test('odd client: asks for another protocol and gets plain HTTP', async (t) => {
  const { gw, prov } = await t.setup();
  for (const extra of ['connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n',
    'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n']) {
    const a = await one(gw, `${head(gw.key, `${extra}content-length: ${BODY.length}\r\n`)}\r\n${BODY}`);
    equal(a.status, 200);
  }
  for (const r of await prov.requests()) {
    for (const n of ['upgrade', 'connection', 'http2-settings']) {
      ok(!r.names.includes(n) || r.header(n) === 'keep-alive', `${n} reached the provider`);
    }
  }
});

test('odd client: trailers and chunk extensions are dropped', async (t) => {
  const { gw, prov } = await t.setup();
  const with_ = (trailers) => one(gw, `${head(gw.key, 'transfer-encoding: chunked\r\ntrailer: x-api-key\r\n')}\r\n`
    + `${BODY.length.toString(16)};name=value\r\n${BODY}\r\n0\r\n${trailers}\r\n`);
  const a = await with_('x-api-key: smuggled\r\nhost: elsewhere\r\n');
  equal(a.status, 200, a.text);
  for (const framing of ['content-length: 5\r\n', 'transfer-encoding: chunked\r\n']) {
    equal((await with_(framing)).status, 400, `a trailer that speaks of framing: ${framing}`);
  }
  const [r, ...more] = await prov.requests();
  equal(more.length, 0);
  equal(r.body.toString(), BODY);
  ok(!JSON.stringify(r.headers).includes('smuggled'));
});

test('odd client: Expect with something else', async (t) => {
  const { gw } = await t.setup();
  const a = await one(gw, `${head(gw.key, `expect: 200-maybe\r\ncontent-length: ${BODY.length}\r\n`)}\r\n${BODY}`);
  ok([200, 417, 400].includes(a.status), `status ${a.status}`);
});

test('odd client: several credentials in one request', async (t) => {
  const { gw, prov } = await t.setup();
  const len = `content-length: ${BODY.length}\r\n`;
  const go = (lines) => one(gw, `POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nanthropic-version: 2023-06-01\r\n${lines}${len}\r\n${BODY}`);
  for (const lines of [`x-api-key: bad\r\nx-api-key: ${gw.key}\r\n`, `authorization: Bearer bad\r\nauthorization: Bearer ${gw.key}\r\n`,
    `x-api-key: ${gw.key}, bad\r\n`, `x-api-key: ${gw.key}\r\nx-api-key: other\r\n`, `cookie: x-api-key=${gw.key}\r\n`,
    `x_api_key: ${gw.key}\r\n`, `X-API-KEY:   ${gw.key}  \r\n`, `Authorization: BEARER   ${gw.key}\r\n`,
    `authorization: Bearer\t${gw.key}\r\n`, `authorization: ${gw.key}\r\n`, `proxy-authorization: Bearer ${gw.key}\r\n`]) {
    const a = await go(lines);
    ok([200, 400, 401].includes(a.status), `${lines}: ${a.status}`);
  }
  for (const r of await prov.requests()) {
    equal(r.headers.filter(([k]) => /^x-api-key$/i.test(k)).length, 1);
    ok(!r.names.includes('cookie') && !r.names.includes('authorization') && !r.names.includes('x_api_key'));
  }
});

test('odd client: 300 requests down one connection without reading', async (t) => {
  const { gw } = await t.setup();
  const c = gw.connect();
  c.socket.pause();
  const h = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' };
  for (let i = 0; i < 300; i++) c.request('POST', '/v1/messages', h, message({ text: `[[say:n${i}]]`, stream: i % 3 === 0 }));
  await new Promise((go) => { setTimeout(go, 300); });
  c.socket.resume();
  await c.answer(299, 30000);
  for (let i = 0; i < 300; i++) {
    ok(c.peek(i).complete && c.peek(i).status === 200, `answer ${i}`);
    if (i % 3) equal(JSON.parse(c.body(i)).content[0].text, `n${i}`);
  }
});

test('odd client: leaves at every point, nothing is left behind', { timeout: 90000 }, async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ drip: 200 }] } } });
  const bytes = `${head(gw.key, `content-length: ${message({ stream: true }).length}\r\n`)}\r\n${message({ stream: true })}`;
  equal((await gw.post(message())).status, 200);
  const before = fds(gw);
  for (let round = 0; round < 6; round++) {
    const all = [];
    for (let i = 0; i < 40; i++) {
      const c = gw.connect();
      const cut = Math.floor((bytes.length * (i + 1)) / 36);
      c.send(bytes.slice(0, cut));
      all.push(c);
    }
    await until(() => all.every((c) => !c.socket.connecting && c.socket.writableLength === 0), 5000, 'all to be sent');
    if (round % 3) await until(() => all.at(-1).bytes > 100 * round, 5000, 'some bytes');
    for (const [i, c] of all.entries()) c.leave(i % 2 ? 'reset' : 'fin');
  }
  await until(async () => JSON.stringify(await gw.json(['status'])).includes('"active":0'), 8000, 'no request to be active');
  await until(async () => (await prov.requests()).every((r) => ['done', 'aborted', 'cut'].includes(r.state)), 8000, 'an end of all upstream requests');
  await until(() => fds(gw) <= before + 40, 8000, `descriptors to be given back: ${fds(gw)} instead of ${before}`);
  equal((await gw.post(message())).status, 200);
});

test('odd client: half-closes behind its request', async (t) => {
  const { gw } = await t.setup();
  const s = net.connect({ port: gw.port, host: '127.0.0.1', allowHalfOpen: true });
  let got = '';
  s.on('data', (d) => { got += d; });
  s.on('error', () => {});
  let ended = false;
  s.on('close', () => { ended = true; });
  s.end(`${head(gw.key, `content-length: ${BODY.length}\r\n`)}\r\n${BODY}`);
  await until(() => ended, 5000, 'an end');
  ok(got.startsWith('HTTP/1.1 200'), got.slice(0, 100));
  equal((await gw.post(message())).status, 200);
});

test('odd client: the management socket takes rubbish', async (t) => {
  const { gw } = await t.setup();
  const sock = fs.readdirSync(gw.state).find((f) => fs.statSync(`${gw.state}/${f}`).isSocket());
  ok(sock, 'a socket in the state folder');
  const at = `${gw.state}/${sock}`;
  equal(fs.statSync(at).mode & 0o777, 0o600);
  const inputs = ['rubbish\r\n\r\n', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'GET /api/accounts HTTP/1.1\r\nhost: x\r\n\r\n',
    'POST /api/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n', 'POST /api/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n[]',
    'POST /api/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 40001\r\n\r\n' + '['.repeat(40001), 'DELETE /api/accounts/%2e%2e HTTP/1.1\r\nhost: x\r\n\r\n',
    `DELETE /api/accounts/${'a'.repeat(9000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 'POST /api/keys HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n\r\n{"name":"\\u0000x"}',
    'POST /api/accounts HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n{"name":{"a":1},"provider":7,"secret":[],"weight":"x","a":1}  ', '\x00'.repeat(100000)];
  for (const input of inputs) {
    const c = net.connect(at);
    let got = '';
    let over = false;
    c.on('data', (d) => { got += d; });
    c.on('error', () => { over = true; });
    c.on('close', () => { over = true; });
    c.write(Buffer.from(input, 'latin1'));
    await until(() => over || got.includes('\r\n\r\n'), 5000, `an answer to ${input.slice(0, 60)}`);
    const s = Number(got.slice(9, 12));
    ok(got === '' || (s >= 200 && s < 600), `${input.slice(0, 60)}: ${got.slice(0, 200)}`);
    ok(s < 500 || s === 501, `${input.slice(0, 60)}: ${s} ${got.slice(-200)}`);
    c.destroy();
  }
  const many = Array.from({ length: 100 }, () => net.connect(at).on('error', () => {}));
  equal((await gw.post(message())).status, 200);
  for (const c of many) c.destroy();
  deepEqual((await gw.json(['account', 'list'])).length ?? 1, 1);
  isError(await gw.ask('GET', '/api/accounts'), 404, 'not_found_error');
});

test('odd client: a storm of everything at once', { timeout: 120000 }, async (t) => {
  const how = (at, h) => ({ cut: { at, how: h } });
  const plans = [{ times: 20, drip: 50 }, { times: 15, ...how(4, 'reset') }, { times: 15, ...how('head', 'reset') }, { times: 10, status: 529, error: { message: 'Overloaded' }, headers: null },
    { times: 15, ...how(1, 'fin') }, { times: 15, ...how(6, 'end') }, { times: 10, ...how(6, 'error') }, { times: 10, ...how(5, 'garbage') }, { times: 8, gate: 4 }];
  const { gw, prov } = await t.setup({ config: { silence_timeout: '2s', stream_first_byte_timeout: '2s', first_byte_timeout: '2s', queue_timeout: '1s', ping_interval: '50ms' },
    accounts: { a: { plans, priority: 1 }, b: { plans: structuredClone(plans), priority: 1 }, c: { priority: 2 } } });
  let seed = 7;
  const random = (n) => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return (seed >> 8) % n; };
  let asked = 0;
  const client = async () => {
    for (let i = 0; i < 12; i++) {
      const body = message({ stream: random(3) > 0, text: 'x'.repeat(random(5) ? 50 : 200000) });
      const c = gw.open(body);
      asked++;
      const act = random(6);
      if (act === 0) { await new Promise((go) => { setTimeout(go, random(30)); }); c.leave('reset'); continue; }
      if (act === 1) { await c.head(0, 20000).catch(() => {}); c.leave('fin'); continue; }
      if (act === 2) { c.socket.pause(); await new Promise((go) => { setTimeout(go, 60); }); c.socket.resume(); }
      const a = await c.answer(0, 30000);
      ok(a.complete || a.end, 'an end');
      if (a.complete && a.status === 200 && a.text.startsWith('event:')) ok(/message_stop|event: error/.test(a.text.slice(-300)), a.text.slice(-300));
      c.leave();
    }
  };
  const admin = async () => {
    for (let i = 0; i < 6; i++) {
      await gw.cli(['account', 'pause', 'a']);
      await gw.cli(['account', 'resume', 'a']);
      gw.proc.signal('SIGHUP');
      await gw.cli(['account', 'resume', 'b']);
    }
    await gw.ok(['account', 'remove', 'b']);
  };
  await Promise.all([...Array.from({ length: 24 }, client), admin()]);
  await until(async () => JSON.stringify(await gw.json(['status'])).includes('"active":0'), 10000, 'no request to be active');
  await until(async () => (await prov.requests()).every((r) => ['done', 'aborted', 'cut'].includes(r.state)), 10000, 'an end of all upstream requests');
  const rows = await gw.json(['requests', '--limit', '1000']);
  const list = Array.isArray(rows) ? rows : Object.values(rows).find(Array.isArray);
  ok(list.length <= asked && list.length >= asked - 60, `${list.length} records of ${asked} requests`);
  ok(list.every((r) => r.end), 'each record says how it ended');
  equal(new Set(list.map((r) => r.id)).size, list.length);
});
