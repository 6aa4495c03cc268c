// Hostile input through the real listener: refused, closed, and never passed on.

import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { equal, isError, ok } from '../lib/assert.mjs';

const BODY = message();
const INNER = `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}`;

// Each entry: the bytes after the request line and the host and key lines.
function payloads(key) {
  const h = `host: 127.0.0.1\r\nx-api-key: ${key}\r\nanthropic-version: 2023-06-01\r\n`;
  const post = `POST /v1/messages HTTP/1.1\r\n${h}`;
  const chunk = (n) => `${n.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`;
  const n = BODY.length;
  const te = 'transfer-encoding: chunked\r\n';
  return {
    'CL and TE': `${post}content-length: ${n}\r\n${te}\r\n${chunk(n)}`,
    'TE and CL': `${post}${te}content-length: 4\r\n\r\n${chunk(n)}${INNER}`,
    'two CL that differ': `${post}content-length: ${n}\r\ncontent-length: ${n + 1}\r\n\r\n${BODY}`,
    'two CL that agree': `${post}content-length: ${n}\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'CL with a list': `${post}content-length: ${n}, ${n}\r\n\r\n${BODY}`,
    'CL with a sign': `${post}content-length: +${n}\r\n\r\n${BODY}`,
    'CL negative': `${post}content-length: -1\r\n\r\n${BODY}`,
    'CL in hex': `${post}content-length: 0x${n.toString(16)}\r\n\r\n${BODY}`,
    'CL with a space inside': `${post}content-length: 1 2\r\n\r\n${BODY}`,
    'CL too large for a number': `${post}content-length: 99999999999999999999\r\n\r\n${BODY}`,
    'CL empty': `${post}content-length: \r\n\r\n${BODY}`,
    'TE twice': `${post}${te}${te}\r\n${chunk(n)}`,
    'TE twice chunked': `${post}transfer-encoding: chunked, chunked\r\n\r\n${chunk(n)}`,
    'TE identity then chunked': `${post}transfer-encoding: identity\r\n${te}\r\n${chunk(n)}`,
    'TE other': `${post}transfer-encoding: gzip\r\n\r\n${chunk(n)}`,
    'TE xchunked': `${post}transfer-encoding: xchunked\r\n\r\n${chunk(n)}`,
    'TE with a tab and rubbish': `${post}transfer-encoding:\tchunked\x0b\r\n\r\n${chunk(n)}`,
    'obs-fold': `${post}x-a: one\r\n two\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'obs-fold TE': `${post}transfer-encoding:\r\n chunked\r\n\r\n${chunk(n)}`,
    'space before colon': `${post}content-length : ${n}\r\n\r\n${BODY}`,
    'space before name': `POST /v1/messages HTTP/1.1\r\n host: x\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    'bare LF in the head': `${post.replaceAll('\r\n', '\n')}content-length: ${n}\n\n${BODY}`,
    'one bare LF': `${post}x-a: b\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'bare CR in a value': `${post}x-a: b\rc\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'CR LF CR and more': `${post}content-length: ${n}\r\n\rX${BODY}`,
    'NUL in a value': `${post}x-a: b\0c\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'NUL in a name': `${post}x\0a: b\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'no colon': `${post}rubbish\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'empty name': `${post}: x\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'chunk size 0x': `${post}${te}\r\n0x${n.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk size signed': `${post}${te}\r\n+${n.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk size negative': `${post}${te}\r\n-1\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk size empty': `${post}${te}\r\n\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk size underscore': `${post}${te}\r\n1_0\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk size huge': `${post}${te}\r\nffffffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk longer than its size': `${post}${te}\r\n3\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk ends with LF': `${post}${te}\r\n${n.toString(16)}\n${BODY}\n0\n\n`,
    'chunk extension with bare LF': `${post}${te}\r\n${n.toString(16)};a\nb\r\n${BODY}\r\n0\r\n\r\n`,
    'chunk extensions without end': `${post}${te}\r\n${n.toString(16)};${'e'.repeat(60000)}\r\n${BODY}\r\n0\r\n\r\n`,
    'two hosts': `POST /v1/messages HTTP/1.1\r\nhost: a\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    'no host': `POST /v1/messages HTTP/1.1\r\nx-api-key: ${key}\r\nanthropic-version: 2023-06-01\r\ncontent-length: ${n}\r\n\r\n${BODY}`,
    'HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'HTTP/9.9': `POST /v1/messages HTTP/9.9\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    'no version': `POST /v1/messages\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    'space in the target': `POST /v1/messages x HTTP/1.1\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    'control character in the target': `POST /v1/mess\x01ages HTTP/1.1\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
    CONNECT: `CONNECT 127.0.0.1:1 HTTP/1.1\r\n${h}\r\n`,
    'a TLS hello': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rubbish rubbish rubbish\r\n\r\n',
    'a foreign method': `FROB /v1/messages HTTP/1.1\r\n${h}content-length: ${n}\r\n\r\n${BODY}`,
  };
}

test('hostile: ambiguous framing gets 400 and close, and never reaches a provider', { timeout: 180000 }, async (t) => {
  const { gw, prov } = await t.setup();
  const faults = [];
  for (const [what, bytes] of Object.entries(payloads(gw.key))) {
    const c = gw.connect();
    c.send(Buffer.from(bytes, 'latin1'));
    try {
      await c.closed(4000);
      const a = c.peek(0);
      if (a && !(a.status >= 400 && a.status < 600)) faults.push(`${what}: status ${a.status}`);
      if (a && ![400, 404, 405, 408, 413, 431, 501, 505].includes(a.status)) faults.push(`${what}: status ${a.status}`);
      if (c.reader.answers.length > 1) faults.push(`${what}: ${c.reader.answers.length} answers`);
    } catch {
      faults.push(`${what}: the connection stays open, answer ${c.peek(0)?.status}`);
    }
    c.leave();
    const seen = await prov.requests();
    if (seen.length) {
      faults.push(`${what}: reached the provider`);
      await prov.call('POST', '/forget');
    }
    if (!gw.proc.running) throw new Error(`${what}: the gateway died\n${gw.logged().slice(-3000)}`);
  }
  equal((await gw.post(message())).status, 200, 'it still serves');
  equal(faults.join('\n'), '');
});

test('hostile: the same payloads one byte at a time', { timeout: 180000 }, async (t) => {
  const { gw, prov } = await t.setup();
  const all = payloads(gw.key);
  const some = ['CL and TE', 'two CL that differ', 'obs-fold', 'bare LF in the head', 'chunk size 0x', 'CR LF CR and more'];
  for (const what of some) {
    const c = gw.connect();
    for (const b of Buffer.from(all[what], 'latin1')) {
      if (c.ended) break;
      c.send(Buffer.from([b]));
      await new Promise((go) => { setImmediate(go); });
    }
    await c.closed(5000);
    const a = c.peek(0);
    ok(!a || a.status >= 400, `${what}: ${a?.status}`);
    c.leave();
  }
  equal((await prov.requests()).length, 0);
});

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
