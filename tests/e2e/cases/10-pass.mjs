// Pass-through: what the client sent reaches the provider byte for byte, and back.

import crypto from 'node:crypto';
import fs from 'node:fs';
import zlib from 'node:zlib';
import { message, test } from '../lib/harness.mjs';
import { events, withoutPings } from '../lib/wire.mjs';
import { deepEqual, equal, lacks, ok, sameBytes } from '../lib/assert.mjs';
import { curl } from '../lib/clients.mjs';

// JSON as no printer would write it: any reserialisation shows.
const ODD = '{ "model" :"claude-sonnet-4-6",\n\t"max_tokens":1e2, "x_unknown":{"b":1,"a":[1.0,2.50,-0]},'
  + '"messages":[{"role":"user","content":"h\\u00e9llo \\ud83d\\ude00 \u4e2d\\/ "}] , "metadata":{"user_id":"{\\"a\\":1}"}}  ';

test('pass: curl, JSON, byte for byte', async (t) => {
  const { gw, prov } = await t.setup();
  const a = await curl(t, ['-H', `x-api-key: ${gw.key}`, '-H', 'anthropic-version: 2023-06-01',
    '-H', 'content-type: application/json', '--data-binary', ODD, `${gw.url}/v1/messages?beta=true`]);
  equal(a.code, 0, a.err);
  ok(a.head.startsWith('HTTP/1.1 200'), a.head);
  const [seen, ...more] = await prov.requests();
  equal(more.length, 0);
  equal(seen.url, '/v1/messages?beta=true');
  sameBytes(seen.body, ODD, 'request body');
  sameBytes(a.body, seen.sent, 'answer body');
});

test('pass: curl, SSE, byte for byte', async (t) => {
  const { gw, prov } = await t.setup();
  const body = ODD.replace('"max_tokens"', '"stream" : true,"max_tokens"');
  const a = await curl(t, ['-N', '-H', `authorization: Bearer ${gw.key}`, '-H', 'anthropic-version: 2023-06-01',
    '-H', 'content-type: application/json', '--data-binary', body, `${gw.url}/v1/messages`]);
  equal(a.code, 0, a.err);
  const [seen] = await prov.requests();
  sameBytes(seen.body, body, 'request body');
  sameBytes(a.body, seen.sent, 'stream');
  ok(/content-type: text\/event-stream/i.test(a.head), a.head);
});

test('pass: thinking, tools and server tools in a stream stay as they are', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: {
    plans: [1, 8, 1000].map((size) => ({ times: 1, size })) } } });
  for (let i = 0; i < 3; i++) {
    const a = await gw.post(message({ stream: true, text: '[[think]] [[web]] [[tool:save {"temp":4}]]',
      tools: [{ name: 'save', input_schema: { type: 'object' } }] }));
    ok(a.complete, 'complete');
    const seen = (await prov.requests()).at(-1);
    sameBytes(a.body, seen.sent, 'stream');
  }
});

test('pass: a stream of one byte per write', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ drip: 1 }] } } });
  const a = await gw.post(message({ stream: true }));
  ok(a.complete);
  sameBytes(a.body, (await prov.requests())[0].sent, 'stream');
});

test('pass: each event comes at once, none waits for the next', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  const held = await prov.waitState('held');
  await c.wait(() => c.body().length >= held.sent.length, 3000, 'the events before the gate');
  equal(events(c.body()).length, 5);
  await prov.release();
  const a = await c.answer();
  ok(a.complete);
  sameBytes(a.body, (await prov.requests())[0].sent, 'stream');
});

test('pass: headers, those that go on and those that do not', async (t) => {
  const { gw, prov, keys } = await t.setup();
  const a = await gw.post(message(), { path: '/v1/messages?beta=true', version: '2026-10-21', headers: {
    'anthropic-beta': 'claude-code-20250219,never-heard-of-2031-01-01', 'anthropic-unheard': 'x',
    'x-claude-code-session-id': 'sess-1', 'x-claude-code-unheard': 'y', 'x-app': 'cli',
    'x-stainless-retry-count': '0', 'user-agent': 'claude-cli/9.9 (external, cli)', te: 'trailers',
    connection: 'keep-alive, x-hop', 'x-hop': '1', 'keep-alive': 'timeout=5', 'proxy-authorization': 'Basic eA==',
    'x-forwarded-for': '10.1.2.3', via: '1.1 somebody', authorization: `Bearer ${gw.key}` } });
  equal(a.status, 200, a.text);
  const [seen] = await prov.requests();
  equal(seen.header('anthropic-beta'), 'claude-code-20250219,never-heard-of-2031-01-01');
  equal(seen.header('anthropic-version'), '2026-10-21');
  equal(seen.header('anthropic-unheard'), 'x');
  equal(seen.header('x-claude-code-session-id'), 'sess-1');
  equal(seen.header('x-claude-code-unheard'), 'y');
  equal(seen.header('x-app'), 'cli');
  equal(seen.header('user-agent'), 'claude-cli/9.9 (external, cli)');
  equal(seen.header('x-stainless-retry-count'), '0');
  equal(seen.header('content-type'), 'application/json');
  equal(seen.header('host'), `127.0.0.1:${prov.port}`);
  equal(seen.header('x-api-key'), keys.a);
  for (const n of ['authorization', 'te', 'x-hop', 'keep-alive', 'proxy-authorization', 'expect',
    'transfer-encoding', 'x-forwarded-for', 'via']) {
    ok(!seen.names.includes(n), `${n} reached the provider`);
  }
  equal(seen.names.filter((n) => n === 'content-length').length, 1);
  ok(/^req_/.test(a.get('request-id')), 'the provider\'s request id is passed');
  lacks(a, 'anthropic-ratelimit-', 'keep-alive', 'x-hop');
  ok(!JSON.stringify(a.headers).includes(keys.a));
});

test('pass: rate-limit headers by option', async (t) => {
  const { gw } = await t.setup({ config: { pass_ratelimit_headers: true } });
  const a = await gw.post(message());
  equal(a.get('anthropic-ratelimit-requests-limit'), '50');
});

test('pass: a body of 8 MiB and one sent in chunks', { timeout: 90000 }, async (t) => {
  const { gw, prov } = await t.setup();
  const big = message({ text: crypto.randomBytes(4 << 20).toString('hex') });
  const a = await gw.post(big, { ms: 60000 });
  equal(a.status, 200, a.text);
  sameBytes((await prov.requests())[0].body, big, 'big body');
  await prov.call('POST', '/forget');
  const small = message({ text: 'in chunks' });
  const c = gw.connect();
  c.request('POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01',
    'content-type': 'application/json', 'transfer-encoding': 'chunked' });
  for (let i = 0; i < small.length; i += 7) {
    const part = small.slice(i, i + 7);
    c.send(`${part.length.toString(16)}\r\n${part}\r\n`);
  }
  c.send('0\r\n\r\n');
  equal((await c.answer()).status, 200);
  const [seen] = await prov.requests();
  sameBytes(seen.body, small, 'chunked body');
  equal(seen.header('content-length'), String(small.length));
});

test('pass: Expect: 100-continue is answered before the body', async (t) => {
  const { gw, prov } = await t.setup();
  const body = message();
  const c = gw.connect().request('POST', '/v1/messages', { 'x-api-key': gw.key,
    'anthropic-version': '2023-06-01', 'content-length': String(body.length), expect: '100-continue' });
  await c.wait(() => c.reader.informational?.includes(100), 3000, '100 Continue');
  equal((await prov.requests()).length, 0);
  c.send(body);
  equal((await c.answer()).status, 200);
});

test('pass: keep-alive and pipelining, answers in order', async (t) => {
  const { gw, prov } = await t.setup();
  const c = gw.connect();
  const headers = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' };
  c.request('POST', '/v1/messages', headers, message({ text: '[[say:one]]' }));
  equal((await c.answer(0)).json().content[0].text, 'one');
  for (const w of ['two', 'three', 'four']) {
    c.request('POST', '/v1/messages', headers, message({ text: `[[say:${w}]]`, stream: w === 'three' }));
  }
  c.request('HEAD', '/');
  equal((await c.answer(1)).json().content[0].text, 'two');
  ok((await c.answer(2)).text.includes('message_stop'));
  equal((await c.answer(3)).json().content[0].text, 'four');
  ok((await c.answer(4)).status > 0);
  const conns = new Set((await prov.requests()).map((r) => r.conn));
  equal(conns.size, 1, 'the upstream connection is kept and used again');
});

test('pass: compressed answers are read or never asked for', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gzip: true }] } } });
  const a = await gw.post(message(), { headers: { 'accept-encoding': 'gzip, deflate, br, zstd' } });
  equal(a.status, 200);
  const plain = a.get('content-encoding') === 'gzip' ? zlib.gunzipSync(a.body).toString() : a.text;
  equal(JSON.parse(plain).content[0].text, 'Hello from the scripted provider.');
  ok((await prov.requests())[0].body);
  const [row] = await gw.booked(1);
  equal(row.output, 15, `tokens are booked: ${JSON.stringify(row)}`);
});

test('pass: a slow reader does not make the gateway grow', { timeout: 120000 }, async (t) => {
  const words = 'word '.repeat(20000);
  const blocks = Array.from({ length: 120 }, () => ({ type: 'text', text: words }));
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ blocks, size: 2000 }] } } });
  await gw.post(message());
  const before = rss(gw.proc.pid);
  const c = gw.open(message({ stream: true }));
  await c.head();
  c.socket.pause();
  const sent = async () => (await prov.requests()).at(-1).sent.length;
  let last = -1;
  await c.wait(async () => {
    const now = await sent();
    const still = now === last;
    last = now;
    return still;
  }, 20000, 'the provider to be held back');
  ok(rss(gw.proc.pid) - before < 24 << 20, `memory grew by ${rss(gw.proc.pid) - before} bytes`);
  c.socket.resume();
  const a = await c.answer(0, 60000);
  ok(a.complete);
  const seen = (await prov.requests()).at(-1);
  if (withoutPings(a.body) !== withoutPings(seen.sent)) sameBytes(a.body, seen.sent, 'long stream');
});

function rss(pid) {
  const m = /VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return m ? Number(m[1]) * 1024 : 0;
}

test('pass: HEAD probes', async (t) => {
  const { gw } = await t.setup();
  for (const p of ['/', '/api/hello']) {
    const a = await gw.ask('HEAD', p, { key: null });
    ok(a.status >= 200 && a.status < 400, `${p}: ${a.status}`);
    ok(a.complete);
  }
});

test('pass: 20 count_tokens at once', async (t) => {
  const { gw, prov } = await t.setup();
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => gw.post(
    JSON.stringify({ model: 'claude-sonnet-4-6', messages: [{ role: 'user', content: 'x'.repeat(100 * i + 1) }] }),
    { path: '/v1/messages/count_tokens?beta=true' })));
  deepEqual(all.map((a) => a.status), Array(20).fill(200));
  deepEqual(all.map((a) => a.json().input_tokens), Array.from({ length: 20 }, (_, i) => 100 * i + 1 + 30));
  equal((await prov.requests()).length, 20);
});
