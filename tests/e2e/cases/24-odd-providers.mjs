// Providers that behave oddly but legally, and some that do not: raw bytes from a bare socket.

import net from 'node:net';
import zlib from 'node:zlib';
import { message, test } from '../lib/harness.mjs';
import { countPings, events, until } from '../lib/wire.mjs';
import { deepEqual, equal, ok, sameBytes } from '../lib/assert.mjs';

// A server of bare sockets: `serve(sock, head, n)` is called when the nth request's head is there.
async function bare(t, serve, { whole = true } = {}) {
  const seen = { requests: 0, sockets: new Set() };
  const s = net.createServer({ noDelay: true }, (sock) => {
    seen.sockets.add(sock);
    sock.on('error', () => {});
    sock.on('close', () => seen.sockets.delete(sock));
    let buf = Buffer.alloc(0);
    let served = false;
    sock.on('data', (d) => {
      if (served) return;
      buf = Buffer.concat([buf, d]);
      const end = buf.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = buf.subarray(0, end).toString('latin1');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (whole && buf.length < end + 4 + length) return;
      served = true;
      buf = Buffer.alloc(0);
      serve(sock, head, seen.requests++, () => { served = false; });
    });
  });
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  t.cleanups.push(() => { for (const x of seen.sockets) x.destroy(); s.close(); });
  seen.url = `http://127.0.0.1:${s.address().port}`;
  return seen;
}

async function alone(t, serve, options = {}) {
  const up = await bare(t, serve, options);
  const gw = t.gateway();
  await gw.addAccount({ name: 'odd', url: up.url, secret: t.secret(), priority: 1 });
  gw.key = await gw.addKey('tester');
  await gw.start({ config: options.config });
  return { gw, up };
}

const MSG = JSON.stringify({ id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-6',
  content: [{ type: 'text', text: 'odd' }], stop_reason: 'end_turn', stop_sequence: null,
  usage: { input_tokens: 7, output_tokens: 3 } });
const JSON_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const SSE_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n';
const ev = (data, nl = '\n') => `event: ${data.type}${nl}data: ${JSON.stringify(data)}${nl}${nl}`;
const START = { type: 'message_start', message: { ...JSON.parse(MSG), content: [], stop_reason: null } };
const BLOCK = { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } };
const DELTA = (text) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
const TAIL = [{ type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } },
  { type: 'message_stop' }];
const STREAM = (nl) => [START, BLOCK, DELTA('odd'), ...TAIL].map((e) => ev(e, nl)).join('');
const chunked = (...parts) => parts.map((p) => `${Buffer.byteLength(p).toString(16)}\r\n${p}\r\n`).join('') + '0\r\n\r\n';

const WHOLE_JSON = {
  'a body until the end': [`${JSON_HEAD}\r\n${MSG}`, 'fin'],
  'HTTP/1.0 until the end': [`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${MSG}`, 'fin'],
  'connection: close with a length': [`${JSON_HEAD}connection: close\r\ncontent-length: ${MSG.length}\r\n\r\n${MSG}`, 'fin'],
  'chunk extensions and trailers': [`${JSON_HEAD}transfer-encoding: chunked\r\n\r\n${MSG.length.toString(16)};a=b\r\n${MSG}\r\n0\r\nx-trailer: 1\r\n\r\n`, ''],
  'no reason phrase': [`HTTP/1.1 200\r\ncontent-type: application/json\r\ncontent-length: ${MSG.length}\r\n\r\n${MSG}`, ''],
  'a 103 and a 100 before': [`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${JSON_HEAD}content-length: ${MSG.length}\r\n\r\n${MSG}`, ''],
  'bytes over 0x7f in a value': [`${JSON_HEAD}x-name: caf\xe9\r\ncontent-length: ${MSG.length}\r\n\r\n${MSG}`, ''],
  'an upper-case type with a charset': [`HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\ncontent-length: ${MSG.length}\r\n\r\n${MSG}`, ''],
};

for (const [what, [bytes, then]] of Object.entries(WHOLE_JSON)) {
  test(`odd provider: ${what}`, async (t) => {
    const { gw } = await alone(t, (sock, head, n, again) => {
      sock.write(Buffer.from(bytes, 'latin1'), () => { if (then === 'fin') sock.end(); again(); });
    });
    for (let i = 0; i < 3; i++) {
      const a = await gw.post(message());
      equal(a.status, 200, a.text);
      ok(a.complete);
      equal(a.text, MSG);
    }
    const rows = await gw.booked(3);
    deepEqual(rows.map((r) => [r.end, r.input, r.output]), Array(3).fill(['complete', 7, 3]));
  });
}

const WHOLE_STREAMS = {
  'lines that end with CR LF': [STREAM('\r\n'), 'chunked'],
  'lines that end with CR': [STREAM('\r'), 'chunked'],
  'a byte order mark and comments': [`\ufeff: hello\n\n${STREAM('\n')}: bye\n\n`, 'chunked'],
  'no length, until the end': [STREAM('\n'), 'fin'],
  'data in several lines': [STREAM('\n').replace('data: {"type":"content_block_stop",', 'data: {"type":"content_block_stop",\ndata: '), 'chunked'],
  'no space after the colon': [STREAM('\n').replaceAll('data: ', 'data:').replaceAll('event: ', 'event:'), 'chunked'],
  'id and retry lines': [STREAM('\n').replaceAll('event: ', 'id: 1\nretry: 5\nevent: '), 'chunked'],
  'unknown events and fields': [STREAM('\n').replace('event: content_block_stop', 'event: new_kind\ndata: {"type":"new_kind","x":[1,2]}\n\nevent: content_block_stop'), 'chunked'],
  'an event of 3 MiB': [[START, BLOCK, DELTA('z'.repeat(3 << 20)), ...TAIL].map((e) => ev(e)).join(''), 'chunked'],
  '20000 tiny events': [[START, BLOCK, ...Array.from({ length: 20000 }, () => DELTA('x')), ...TAIL].map((e) => ev(e)).join(''), 'chunked'],
};

for (const [what, [body, framing]] of Object.entries(WHOLE_STREAMS)) {
  test(`odd stream: ${what}`, async (t) => {
    const { gw } = await alone(t, (sock, head, n, again) => {
      if (framing === 'fin') sock.end(`${SSE_HEAD}\r\n${body}`);
      else sock.write(`${SSE_HEAD}transfer-encoding: chunked\r\n\r\n${chunked(body)}`, again);
    });
    const a = await gw.post(message({ stream: true }));
    equal(a.status, 200, a.text.slice(0, 300));
    ok(a.complete, 'complete');
    sameBytes(a.body, body, 'stream');
    const [row] = await gw.booked(1);
    deepEqual([row.end, row.input, row.output, row.stop_reason], ['complete', 7, 3, 'end_turn']);
  });
}

test('odd provider: answers 413 and closes before it has read the body', async (t) => {
  const text = '{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}';
  const { gw } = await alone(t, (sock) => {
    sock.pause();
    sock.end(`HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
  }, { whole: false });
  const a = await gw.post(message({ text: 'x'.repeat(6 << 20) }), { ms: 20000 });
  equal(a.status, 413, a.text);
  equal(a.text, text);
});

test('odd provider: answers 200 before it has read the body, and goes on', async (t) => {
  const { gw } = await alone(t, (sock) => {
    sock.pause();
    sock.write(`${JSON_HEAD}content-length: ${MSG.length}\r\n\r\n${MSG}`);
  }, { whole: false });
  for (let i = 0; i < 2; i++) {
    const a = await gw.post(message({ text: 'x'.repeat(8 << 20) }), { ms: 20000 });
    equal(a.status, 200, a.text);
    equal(a.text, MSG);
  }
});

test('odd provider: compresses unasked', async (t) => {
  const { gw } = await alone(t, (sock, head) => {
    const sse = n++ === 1;
    const body = zlib.gzipSync(sse ? STREAM('\n') : MSG);
    sock.write(`${sse ? SSE_HEAD : JSON_HEAD}content-encoding: gzip\r\ncontent-length: ${body.length}\r\n\r\n`);
    sock.end(body);
  });
  let n = 0;
  const a = await gw.post(message());
  equal(zlib.gunzipSync(a.body).toString(), MSG);
  const b = await gw.post(message({ stream: true }));
  equal(zlib.gunzipSync(b.body).toString(), STREAM('\n'));
});

const STATUSES = {
  'of no content': 'HTTP/1.1 204 No Content\r\n\r\n',
  '304': 'HTTP/1.1 304 Not Modified\r\n\r\n',
  'a redirect elsewhere': 'HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.example/v1/messages\r\ncontent-length: 0\r\n\r\n',
  '200 without a type': `HTTP/1.1 200 OK\r\ncontent-length: ${MSG.length}\r\n\r\n${MSG}`,
  '200 with nothing': 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
  '200 that is an empty JSON': `${JSON_HEAD}content-length: 0\r\n\r\n`,
  '200 that is an empty stream': `${SSE_HEAD}content-length: 0\r\n\r\n`,
  '999': 'HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n',
  '1000': 'HTTP/1.1 1000 Odd\r\ncontent-length: 0\r\n\r\n',
  '407': 'HTTP/1.1 407 Proxy\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n',
};

for (const [what, bytes] of Object.entries(STATUSES)) {
  test(`odd provider: status ${what}`, async (t) => {
    const { gw } = await alone(t, (sock, head, n, again) => { sock.write(bytes, again); });
    for (const stream of [false, true]) {
      const a = await gw.post(message({ stream }), { ms: 12000 });
      ok(a.status >= 200 && a.status < 600, `status ${a.status}`);
      ok(!a.get('location') && !a.get('proxy-authenticate'), 'nothing of the hop is passed');
      if (a.status >= 500) equal(a.json().type, 'error');
      else ok(a.status === Number(what) || a.text === MSG, `${a.status} with ${a.text}`);
    }
  });
}

const RETRY_AFTERS = ['0', '-5', '3.7', '99999999999999999999', 'Wed, 21 Oct 2015 07:28:00 GMT', 'soon', '', '1e3', '\x80'];

test('odd provider: every kind of retry-after', async (t) => {
  const { gw } = await alone(t, (sock, head, n, again) => {
    sock.write(Buffer.from(`HTTP/1.1 429 Slow\r\ncontent-type: application/json\r\nretry-after: ${RETRY_AFTERS[n]}\r\ncontent-length: 2\r\n\r\n{}`, 'latin1'), again);
  }, { config: { queue_timeout: '0s' } });
  for (const r of RETRY_AFTERS) {
    const a = await gw.post(message());
    ok([429, 529].includes(a.status), `${r}: ${a.status} ${a.text}`);
    const wait = Number(a.get('retry-after'));
    ok(Number.isInteger(wait) && wait >= 1 && wait <= 7 * 86400 + 1, `${r}: retry-after ${a.get('retry-after')}`);
    await gw.ok(['account', 'resume', 'odd']);
  }
});

test('odd provider: numbers in usage that are none', async (t) => {
  const usages = ['{"input_tokens":-5,"output_tokens":1e99}', '{"input_tokens":"7","output_tokens":null}', '[]', '7', 'null',
    '{"input_tokens":99999999999999999999999,"output_tokens":9223372036854775807,"cache_read_input_tokens":9223372036854775807}',
    '{"input_tokens":1.5,"output_tokens":0.1}', `{"input_tokens":1,"x":${'['.repeat(5000)}${']'.repeat(5000)}}`];
  const { gw } = await alone(t, (sock, head, n, again) => {
    const usage = usages[n >> 1];
    const json = MSG.replace(/"usage":\{.*?\}/, () => `"usage":${usage}`);
    if (n % 2 === 0) { sock.write(`${JSON_HEAD}content-length: ${json.length}\r\n\r\n${json}`, again); return; }
    const body = STREAM('\n').replace(/"usage":\{.*?\}/g, () => `"usage":${usage}`);
    sock.write(`${SSE_HEAD}transfer-encoding: chunked\r\n\r\n${chunked(body)}`, again);
  });
  for (const u of usages) {
    for (const stream of [false, true]) {
      const a = await gw.post(message({ stream }));
      equal(a.status, 200, `${u}: ${a.text.slice(0, 200)}`);
      ok(a.complete, u);
    }
  }
  for (const r of await gw.booked(usages.length * 2)) {
    for (const k of ['input', 'output', 'cache_read']) ok(r[k] === undefined || r[k] >= 0, `${k} ${r[k]}`);
    ok(r.cost_usd === undefined || r.cost_usd === null || r.cost_usd >= 0, `cost ${r.cost_usd}`);
  }
});

test('odd provider: an error page that never ends, an error that never comes', { timeout: 40000 }, async (t) => {
  const { gw } = await alone(t, (sock, head, n) => {
    if (n === 0) {
      sock.write('HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\n\r\n');
      const pour = () => { if (!sock.destroyed) { sock.write('x'.repeat(65536)); setImmediate(pour); } };
      pour();
    } else sock.write('HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nbut');
  }, { config: { queue_timeout: '0s' } });
  for (let i = 0; i < 2; i++) {
    const a = await gw.post(message(), { ms: 15000 });
    ok(a.status >= 500, `status ${a.status}`);
    equal(a.json().type, 'error');
    await gw.ok(['account', 'resume', 'odd']);
  }
});

test('odd provider: a head that drips is given up', async (t) => {
  const { gw, up } = await alone(t, (sock) => {
    const text = `${JSON_HEAD}x-slow: ${'y'.repeat(5000)}`;
    let at = 0;
    const drip = setInterval(() => { if (sock.destroyed) clearInterval(drip); else sock.write(text[at++ % text.length]); }, 20);
  }, { config: { first_byte_timeout: '700ms', queue_timeout: '0s' } });
  const a = await gw.post(message(), { ms: 10000 });
  ok(a.status >= 500, `status ${a.status}`);
  await until(() => up.sockets.size === 0, 3000, 'the connection to be given up');
});

test('odd provider: a body that drips for long is not cut, and gets no pings inside JSON', async (t) => {
  const { gw } = await alone(t, (sock, head, n, again) => {
    sock.write(`${JSON_HEAD}content-length: ${MSG.length}\r\n\r\n`);
    let at = 0;
    const drip = setInterval(() => {
      if (sock.destroyed || at >= MSG.length) { clearInterval(drip); again(); return; }
      sock.write(MSG.slice(at, at + 10));
      at += 10;
    }, 50);
  }, { config: { silence_timeout: '400ms', ping_interval: '60ms' } });
  const a = await gw.post(message(), { ms: 10000 });
  equal(a.text, MSG);
  equal(countPings(a.body), 0);
});

test('odd provider: sends more than it said', async (t) => {
  const { gw } = await alone(t, (sock, head, n, again) => {
    sock.write(`${JSON_HEAD}content-length: ${MSG.length}\r\n\r\n${MSG}HTTP/1.1 200 OK\r\n`, again);
  });
  for (let i = 0; i < 3; i++) equal((await gw.post(message())).text, MSG);
});

test('odd stream: message_stop, then silence with the connection open', async (t) => {
  const { gw } = await alone(t, (sock) => {
    const s = STREAM('\n');
    sock.write(`${SSE_HEAD}transfer-encoding: chunked\r\n\r\n${s.length.toString(16)}\r\n${s}\r\n`);
  }, { config: { silence_timeout: '500ms', ping_interval: '100ms' } });
  const c = gw.open(message({ stream: true }));
  await c.wait(() => c.body().includes('message_stop'), 5000, 'the last event');
  const a = await c.answer(0, 8000);
  const after = events(a.body.subarray(STREAM('\n').length)).map((e) => e.event);
  deepEqual(after, [], 'nothing after message_stop');
  ok(a.complete);
  equal((await gw.booked(1))[0].end, 'complete');
});

test('odd provider: JSON that ends too early, where only the end of the connection could tell', async (t) => {
  // A short beginning has not gone out when the end comes; a long one has.
  for (const [text, status, end] of [[MSG, 502, 'upstream_error'], [`{"x":"${'y'.repeat(9000)}",${MSG.slice(1)}`, 200, 'upstream_cut']]) {
    const { gw } = await alone(t, (sock) => { sock.end(`${JSON_HEAD}\r\n${text.slice(0, -20)}`); });
    const a = await gw.post(message());
    equal(a.status, status);
    ok(status !== 200 || !a.complete, `looks whole: ${a.text}`);
    equal((await gw.booked(1))[0].end, end);
  }
});

test('odd stream: two messages in one', async (t) => {
  const { gw } = await alone(t, (sock, head, n, again) => {
    sock.write(`${SSE_HEAD}transfer-encoding: chunked\r\n\r\n${chunked(STREAM('\n') + STREAM('\n'))}`, again);
  });
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200);
  equal((await gw.booked(1)).length, 1);
});

test('odd stream: an error event after message_stop, and an error as 200 JSON', async (t) => {
  const err = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } };
  const { gw } = await alone(t, (sock, head, n, again) => {
    if (n === 0) sock.write(`${SSE_HEAD}transfer-encoding: chunked\r\n\r\n${chunked(STREAM('\n') + ev(err))}`, again);
    else { const b = JSON.stringify(err); sock.write(`${JSON_HEAD}content-length: ${b.length}\r\n\r\n${b}`, again); }
  });
  const a = await gw.post(message({ stream: true }));
  ok(a.text.includes('message_stop'));
  const b = await gw.post(message());
  ok(b.status >= 200 && b.json().type === 'error', b.text);
  equal((await gw.booked(2)).length, 2);
});
