// Hostile replies of an upstream, and what a client must be told of each: [name, bytes, outcome, more].
//
//   error   an answer of the gateway's own, 502 or so: nothing of the reply has gone out
//   ok      the reply is fine by its framing, and what was behind it counts for nothing
//   cut     the answer had begun: it ends so that no client can take it for a whole one
//
// `more`: {then: what the upstream does after it, 'fin' or 'reset'; reused: the connection may serve
// again}. A reply that is not `reused` must never lead to a connection being used
// once more.

import { ANSWER, answerOf } from './recorder.mjs';

const n = ANSWER.length;
const hexOf = (v) => v.toString(16);
const hex = hexOf(n);
const H = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const te = 'transfer-encoding: chunked\r\n';
const cl = `content-length: ${n}\r\n`;
const body = `${hex}\r\n${ANSWER}\r\n`;
const last = '0\r\n\r\n';
const evil = answerOf('{"type":"evil"}');
const SSE = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n';

export function replies() {
  const rows = [];
  const row = (outcome) => (name, bytes, more = {}) => rows.push({ name, bytes, outcome, ...more });
  const error = row('error');
  const ok = row('ok');
  const cut = row('cut');

  // ---- framing ----
  ok('a plain one', answerOf(ANSWER), { reused: true });
  ok('chunks', `${H}${te}\r\n${body}${last}`, { reused: true });
  ok('an extension and trailers', `${H}${te}\r\n${hex};a=b\r\n${ANSWER}\r\n0\r\nx-evil: 1\r\n\r\n`, { reused: true });
  error('length and chunks', `${H}${cl}${te}\r\n${body}${last}`);
  error('chunks and length', `${H}${te}${cl}\r\n${body}${last}`);
  error('two lengths that differ', `${H}${cl}content-length: ${n + 1}\r\n\r\n${ANSWER}`);
  error('two lengths that agree', `${H}${cl}${cl}\r\n${ANSWER}`);
  error('a list of lengths', `${H}content-length: ${n}, ${n}\r\n\r\n${ANSWER}`);
  error('a length with a sign', `${H}content-length: +${n}\r\n\r\n${ANSWER}`);
  error('a negative length', `${H}content-length: -1\r\n\r\n${ANSWER}`);
  error('a length in hex', `${H}content-length: 0x${hex}\r\n\r\n${ANSWER}`);
  error('a length with a space', `${H}content-length: 1 2\r\n\r\n${ANSWER}`);
  error('an empty length', `${H}content-length:\r\n\r\n${ANSWER}`);
  error('a length of 2^64 + n', `${H}content-length: ${(1n << 64n) + BigInt(n)}\r\n\r\n${ANSWER}`);
  error('a length with a valid prefix', `${H}content-length: ${n}Z\r\n\r\n${ANSWER}`);
  error('two codings', `${H}${te}${te}\r\n${body}${last}`);
  error('chunked, chunked', `${H}transfer-encoding: chunked, chunked\r\n\r\n${body}${last}`);
  error('gzip, chunked', `${H}transfer-encoding: gzip, chunked\r\n\r\n${body}${last}`);
  error('chunked, gzip', `${H}transfer-encoding: chunked, gzip\r\n\r\n${body}${last}`);
  error(',chunked', `${H}transfer-encoding: ,chunked\r\n\r\n${body}${last}`);
  error('chunked;x', `${H}transfer-encoding: chunked;x\r\n\r\n${body}${last}`);
  error('identity', `${H}transfer-encoding: identity\r\n${cl}\r\n${ANSWER}`);
  error('xchunked', `${H}transfer-encoding: xchunked\r\n\r\n${body}${last}`);
  error('an empty coding', `${H}transfer-encoding:\r\n${cl}\r\n${ANSWER}`);
  error('chunks of HTTP/1.0', `${H.replace('1.1', '1.0')}${te}\r\n${body}${last}`);
  error('a folded coding', `${H}transfer-encoding:\r\n chunked\r\n\r\n${body}${last}`);

  // ---- chunks ----
  const chunks = { 'a chunk-size of letters': 'zz', '0x': `0x${hex}`, '+': `+${hex}`, '-': '-1', 'an underscore': `0_${hex}`, 'an empty one': '',
    'a space before': ` ${hex}`, 'a space behind': `${hex} `, '72 bits': 'f'.repeat(18), '2^64 + n': `1${hex.padStart(16, '0')}`,
    'too few': (n - 2).toString(16), 'too many': (n + 2).toString(16), 'CR CR': `${hex}\r`, 'CR in an extension': `${hex};\rx`, 'LF in an extension': `${hex};a\nb`,
    'an extension of 60 KB': `${hex};${'e'.repeat(60000)}`, 'NUL': `${hex}\0` };
  for (const [name, size] of Object.entries(chunks)) error(`chunk-size: ${name}`, `${H}${te}\r\n${size}\r\n${ANSWER}\r\n${last}`);
  error('LF ends a chunk line', `${H}${te}\r\n${hex}\n${ANSWER}\n0\n\n`);
  error('LF ends a chunk', `${H}${te}\r\n${hex}\r\n${ANSWER}\n${last}`);
  error('an empty line before the last chunk', `${H}${te}\r\n${body}\r\n${last}`);
  error('CR LF and two bytes end no body', `${H}${te}\r\n${body}0\r\nXX${evil}`);
  error('a length in the trailers', `${H}${te}\r\n${body}0\r\ncontent-length: 5\r\n\r\n`);
  error('trailers without end', `${H}${te}\r\n${body}0\r\n${`x: ${'y'.repeat(1000)}\r\n`.repeat(20)}\r\n`);
  error('extensions of many chunks', `${H}${te}\r\n${'1;eeeeeeee\r\n \r\n'.repeat(4000)}${last}`);

  // ---- heads ----
  ok('no reason', answerOf(ANSWER).replace('200 OK', '200 '), { reused: true });
  ok('a reason beyond ASCII', answerOf(ANSWER).replace('200 OK', '200 \xc3\xa9t\xc3\xa9'), { reused: true });
  error('LF ends lines', answerOf(ANSWER).replaceAll('\r\n', '\n'));
  error('LF ends the status line', answerOf(ANSWER).replace('OK\r\n', 'OK\n'));
  error('LF ends one field', `${H}x: y\n${cl}\r\n${ANSWER}`);
  error('LF LF ends the head', `${H}content-length: ${n}\n\n${ANSWER}`);
  error('CR ends one field', `${H}x: y\rset-cookie: evil\r\n${cl}\r\n${ANSWER}`);
  error('CR LF CR', `${H}${cl}\r${ANSWER}`);
  error('NUL in a value', `${H}x: y\0z\r\n${cl}\r\n${ANSWER}`);
  error('NUL in a name', `${H}x\0y: z\r\n${cl}\r\n${ANSWER}`);
  error('a control character in a value', `${H}x: y\x1bz\r\n${cl}\r\n${ANSWER}`);
  error('a byte above 0x7f in a name', `${H}x\xe9: y\r\n${cl}\r\n${ANSWER}`);
  error('obs-fold', `${H}x: y\r\n z\r\n${cl}\r\n${ANSWER}`);
  error('a space before the colon', `${H}content-length : ${n}\r\n\r\n${ANSWER}`);
  error('a space before a name', `${H} x: y\r\n${cl}\r\n${ANSWER}`);
  error('no colon', `${H}rubbish\r\n${cl}\r\n${ANSWER}`);
  error('an empty name', `${H}: x\r\n${cl}\r\n${ANSWER}`);
  error('a head of 100 KiB', `${H}x: ${'x'.repeat(100 << 10)}\r\n${cl}\r\n${ANSWER}`);
  error('a line of 20 KiB', `${H}x: ${'x'.repeat(20 << 10)}\r\n${cl}\r\n${ANSWER}`);
  error('200 fields', `${H}${'x: y\r\n'.repeat(200)}${cl}\r\n${ANSWER}`);
  error('fields without end', `${H}${'x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(30000)}`);
  error('a reason without end', `HTTP/1.1 200 ${'O'.repeat(1 << 20)}`);
  for (const s of ['99', '600', '1000', '20', '2 0', '-20', '+20', '0200', 'abc', '2\x000']) error(`status ${JSON.stringify(s)}`, answerOf(ANSWER).replace('200', s));
  for (const v of ['HTTP/2', 'HTTP/2.0', 'HTTP/1.2', 'HTTP/0.9', 'HTTP/1', 'http/1.1', 'HTTP/1.1.1', 'HTTP/11', 'ICY', ' HTTP/1.1', '\r\n\r\nHTTP/1.1', 'XHTTP/1.1']) {
    error(`version ${JSON.stringify(v)}`, answerOf(ANSWER).replace('HTTP/1.1', v), { then: 'fin' });
  }
  error('two spaces in the status line', answerOf(ANSWER).replace(' 200', '  200'));
  error('a tab in the status line', answerOf(ANSWER).replace(' 200', '\t200'));
  error('CR in the reason', answerOf(ANSWER).replace('OK', 'O\rK'));
  error('NUL in the reason', answerOf(ANSWER).replace('OK', 'O\0K'));
  error('HTTP/0.9', '<html>no head at all</html>', { then: 'fin' });
  error('TLS', '\x15\x03\x01\x00\x02\x02\x46', { then: 'fin' });
  error('HTTP/2 frames', '\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff', { then: 'fin' });

  // ---- interim replies, and those without a body ----
  ok('103, then the reply', `HTTP/1.1 103 Early Hints\r\nlink: <evil>\r\n\r\n${answerOf(ANSWER)}`, { reused: true });
  ok('100 unasked, then the reply', `HTTP/1.1 100 Continue\r\n\r\n${answerOf(ANSWER)}`, { reused: true });
  error('101 unasked', `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n${answerOf(ANSWER)}`);
  error('1xx without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(5000));
  error('1xx with large heads without end', `HTTP/1.1 103 Early Hints\r\nx: ${'y'.repeat(15000)}\r\n\r\n`.repeat(60));
  error('a body behind 100', `HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nevil!${answerOf(ANSWER)}`);
  error('only an interim reply', 'HTTP/1.1 100 Continue\r\n\r\n', { then: 'fin' });

  // ---- more than one reply, less than one ----
  ok('a second reply behind the first', `${answerOf(ANSWER)}${evil}`);
  ok('a second reply behind chunks', `${H}${te}\r\n${body}${last}${evil}`);
  ok('an empty line behind the reply', `${answerOf(ANSWER)}\r\n`);
  ok('one byte behind the reply', `${answerOf(ANSWER)}\0`);
  error('a reply behind 204', `HTTP/1.1 204 No Content\r\n\r\n${evil}`); // 204 is no message
  error('a body in 204', 'HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nevil!');
  ok('Connection: close', answerOf(ANSWER, 'connection: close\r\n'));
  ok('HTTP/1.0', answerOf(ANSWER).replace('1.1', '1.0'));
  ok('HTTP/1.0 that wants to go on', answerOf(ANSWER, 'connection: keep-alive\r\n').replace('1.1', '1.0'));
  ok('until the end of the connection', `${H}\r\n${ANSWER}`, { then: 'fin' });
  ok('HTTP/1.0 until the end of the connection', `${H.replace('1.1', '1.0')}\r\n${ANSWER}`, { then: 'fin' });
  error('until the end, which is a reset', `${H}\r\n${ANSWER.slice(0, 40)}`, { then: 'reset' });
  error('until the end, which comes too early', `${H}\r\n${ANSWER.slice(0, 40)}`, { then: 'fin' });
  // a reply without a length that is cut looks whole by its framing: what it says decides
  const large = JSON.stringify({ ...JSON.parse(ANSWER), content: [{ type: 'text', text: 'x'.repeat(400 << 10) }] });
  cut('large, until the end, which is a reset', `${H}\r\n${large.slice(0, 300 << 10)}`, { then: 'reset' });
  cut('large, until the end, which comes too early', `${H}\r\n${large.slice(0, 300 << 10)}`, { then: 'fin' });
  cut('large, HTTP/1.0, until the end, which comes too early', `${H.replace('1.1', '1.0')}\r\n${large.slice(0, -1)}`, { then: 'fin' });
  cut('large, less than the length', `${H}content-length: ${large.length}\r\n\r\n${large.slice(0, -1)}`, { then: 'fin' });
  cut('large, a bad chunk', `${H}${te}\r\n${hexOf(300 << 10)}\r\n${large.slice(0, 300 << 10)}\r\nzz\r\n${last}`);
  error('nothing', '', { then: 'fin' });
  error('half a head', H, { then: 'fin' });
  error('less than the length', `${H}${cl}\r\n${ANSWER.slice(0, -1)}`, { then: 'fin' });
  error('no last chunk', `${H}${te}\r\n${body}`, { then: 'fin' });
  error('half a last chunk', `${H}${te}\r\n${body}0\r\n`, { then: 'fin' });

  return rows;
}

// The same for streams: the first events are good, and have gone out.
export function streams(events) {
  const rows = [];
  const cut = (name, bytes, more = {}) => rows.push({ name, bytes, outcome: 'cut', ...more });
  const chunk = (s) => `${s.length.toString(16)}\r\n${s}\r\n`;
  const all = events.join('');
  const half = events.slice(0, -2).join('');
  const head = `${SSE}${te}\r\n`;
  rows.push({ name: 'a plain one', bytes: `${head}${chunk(all)}${last}`, outcome: 'ok', reused: true });
  rows.push({ name: 'a second reply behind it', bytes: `${head}${chunk(all)}${last}${evil}`, outcome: 'ok' });
  rows.push({ name: 'until the end of the connection', bytes: `${SSE}\r\n${all}`, outcome: 'ok', then: 'fin' });
  cut('a bad chunk', `${head}${chunk(half)}zz\r\n${last}`);
  rows.push({ name: 'the only chunk without its end', outcome: 'cut', bytes: `${head}${half.length.toString(16)}\r\n${half}XX${last}` });
  cut('a second chunk without its end', `${head}${chunk(events[0] + events[1])}${chunk(events[2]).slice(0, -2)}XX${last}`);
  cut('the connection ends', `${head}${chunk(half)}`, { then: 'fin' });
  cut('the connection is reset', `${head}${chunk(half)}`, { then: 'reset' });
  cut('no terminal event', `${head}${chunk(half)}${last}`, { reused: true }); // its framing was good
  cut('until the end, no terminal event', `${SSE}\r\n${half}`, { then: 'fin' });
  cut('until the end, HTTP/1.0, half an event', `${SSE.replace('1.1', '1.0')}\r\n${half}${events.at(-2).slice(0, 20)}`, { then: 'fin' });
  cut('a length that is too long', `${SSE}content-length: ${all.length}\r\n\r\n${half}`, { then: 'fin' });
  cut('a smuggled head in a chunk that is too short', `${head}${chunk(half)}5\r\n${evil}`);
  return rows;
}
