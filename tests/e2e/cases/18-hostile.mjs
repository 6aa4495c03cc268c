// Hostile input through the real listener: refused, closed, and never passed on. Framing: 43-framing.mjs.

import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { equal, isError, ok } from '../lib/assert.mjs';

const BODY = message();

test('hostile: an oversized head is 431', async (t) => {
  const { gw, prov } = await t.setup();
  const key = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' };
  const heads = {
    'one long line': { ...key, 'x-long': 'a'.repeat(40000) },
    'many bytes': { ...key, ...Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-h${i}`, 'b'.repeat(1000)])) },
    'many fields': { ...key, ...Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`x-h${i}`, 'c'])) },
  };
  for (const [what, headers] of Object.entries(heads)) {
    const c = gw.connect().request('POST', '/v1/messages', headers, BODY);
    await c.closed(5000);
    equal(c.peek(0)?.status, 431, what);
  }
  const long = gw.connect().request('GET', `/v1/models?${'x'.repeat(40000)}`, key);
  await long.closed(5000);
  ok([414, 431].includes(long.peek(0)?.status), `long target: ${long.peek(0)?.status}`);
  equal((await prov.requests()).length, 0);
});

test('hostile: a body over 32 MiB is 413, unread', async (t) => {
  const { gw, prov } = await t.setup();
  const key = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' };
  const c = gw.connect().request('POST', '/v1/messages', { ...key, 'content-length': String((32 << 20) + 1) });
  const a = await c.answer(0, 5000);
  isError(a, 413, 'request_too_large');
  const e = gw.connect().request('POST', '/v1/messages', { ...key, expect: '100-continue', 'content-length': String(64 << 20) });
  const b = await e.answer(0, 5000);
  equal(b.status, 413);
  ok(!e.reader.informational, 'no 100 Continue before the refusal');
  equal((await prov.requests()).length, 0);
});

test('hostile: chunks past 32 MiB are 413 and do not grow the process', { timeout: 120000 }, async (t) => {
  const { gw, prov } = await t.setup();
  const c = gw.connect().request('POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01',
    'transfer-encoding': 'chunked' });
  const part = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1 << 20, 0x20), Buffer.from('\r\n')]);
  for (let i = 0; i < 80 && !c.ended && !c.peek(0); i++) {
    if (!c.socket.write(part)) {
      await until(() => c.socket.writableLength < (1 << 20) || c.ended || c.peek(0), 20000, 'the gateway to read');
    }
  }
  const a = await c.answer(0, 20000);
  equal(a.status, 413);
  equal((await prov.requests()).length, 0);
});

test('hostile: slow and unfinished heads are 408', async (t) => {
  const { gw } = await t.setup({ config: { head_timeout: '400ms' } });
  const half = gw.connect().send('POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-a: ');
  const drip = gw.connect();
  const text = `POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-b: ${'y'.repeat(1000)}`;
  let at = 0;
  const from = Date.now();
  await until(() => {
    if (!drip.ended && at < text.length) drip.send(text[at++]);
    return drip.ended;
  }, 6000, 'the dripped head to be refused');
  ok(Date.now() - from < 5000, 'the limit is on the whole head, not on each read');
  await half.closed(5000);
  equal(half.peek(0)?.status, 408);
  equal(drip.peek(0)?.status, 408);
});

test('hostile: connections that never say anything are let go', async (t) => {
  const { gw } = await t.setup({ config: { head_timeout: '400ms' } });
  const silent = Array.from({ length: 20 }, () => gw.connect());
  await Promise.all(silent.map((c) => c.closed(8000)));
  equal((await gw.post(message())).status, 200);
});

test('hostile: a client that stops in the middle of its body', async (t) => {
  const { gw, prov } = await t.setup();
  for (const how of ['fin', 'reset']) {
    const c = gw.connect().request('POST', '/v1/messages', { 'x-api-key': gw.key,
      'anthropic-version': '2023-06-01', 'content-length': '1000' });
    c.send('{"model":');
    await until(() => c.socket.writableLength === 0 && !c.socket.connecting, 2000, 'the bytes to be sent');
    c.leave(how);
  }
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).length, 1);
});

test('hostile: bytes after a request that closes are not a second request', async (t) => {
  const { gw, prov } = await t.setup();
  const c = gw.connect();
  const key = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', connection: 'close' };
  c.request('POST', '/v1/messages', key, BODY);
  c.request('POST', '/v1/messages', key, BODY);
  await c.closed(8000);
  ok(c.reader.answers.length <= 1, 'one answer at most');
  ok((await prov.requests()).length <= 1);
});

test('hostile: odd JSON never hurts', async (t) => {
  const { gw } = await t.setup();
  const deep = '['.repeat(100000);
  const bodies = ['', '{', 'null', '[]', '"x"', '{"model":1}', `{"model":"m","x":${deep}`, '{"model":"\\ud800"}',
    `{"model":"${'m'.repeat(100000)}"}`, '{"model":"claude-sonnet-4-6","model":"other","max_tokens":1,"messages":[]}',
    Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d]), '\ufeff{"model":"x"}', '{"stream":"yes","model":"x"}', '{"model":"a\\u0000b"}'];
  for (const body of bodies) {
    const a = await gw.post(body);
    ok(a.status >= 200 && a.status < 600 && a.complete, `${String(body).slice(0, 40)}: ${a.status}`);
    if (a.status >= 400) equal(a.json().type, 'error');
  }
  equal((await gw.post(message())).status, 200);
});

const RAW = {
  'a head of 100 KiB': `HTTP/1.1 200 OK\r\nx-big: ${'x'.repeat(100000)}\r\ncontent-length: 2\r\n\r\n{}`,
  'CL and TE': 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  'two CL': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x',
  'a bad chunk': 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n',
  '101 unasked': 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\nrubbish',
  'endless 100s': 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(5000),
  'a bare LF head': 'HTTP/1.1 200 OK\ncontent-length: 2\n\n{}',
  'splitting in a value': 'HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: evil\r\ncontent-length: 2\r\n\r\n{}',
  'status 99': 'HTTP/1.1 99 Odd\r\ncontent-length: 0\r\n\r\n',
};

for (const [what, raw] of Object.entries(RAW)) {
  test(`hostile provider: ${what}`, async (t) => {
    const plans = [{ raw: Buffer.from(raw, 'latin1').toString('base64'), then: 'fin' }];
    const { gw } = await t.setup({ accounts: { a: { plans }, b: {} } });
    const c = gw.open(message());
    const a = await c.answer(0, 15000);
    ok((a.status === 200 && a.complete && a.json().type === 'message') || a.status >= 500 || !a.complete,
      `status ${a.status}: ${a.text.slice(0, 200)}`);
    ok(!a.get('set-cookie'), 'no header is smuggled in');
    equal((await gw.post(message({ text: 'again' }))).status, 200, 'the other account serves');
  });
}

test('hostile provider: bytes after an answer never become the next answer', async (t) => {
  const extra = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n';
  const evil = `${extra}{"type":"answer"}${extra}{"type":"poison"}`;
  const { gw } = await t.setup({ accounts: { a: { plans: [{ times: 1, raw: Buffer.from(evil).toString('base64') }] } } });
  equal((await gw.post(message())).json().type, 'answer');
  equal((await gw.post(message())).json().type, 'message');
});
