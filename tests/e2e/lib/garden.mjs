// Hostile requests: what each must be answered with, and what of it may reach an upstream.
//
// `S1`.. and `T1`.. are the classes of the HTTP Garden's list of server and transducer bugs (its
// TROPHIES.md), `B` its bonus bugs, `H2` those of its HTTP/2 days; `CVE-..` are those of llhttp and of
// Node's parsers before it; the rest is what a stranger tries. A row is
//
//     [name, bytes, statuses, seen]
//
// `statuses`: of the answers, one after another; after a last one of 4xx or 5xx given by the server
// itself the connection is closed (CLOSED), else it goes on (OPEN). `seen`: what the upstream gets,
// as [method, target, body], mostly nothing (but for the gateway's own questions about models). Everything smuggled asks for a target with "evil" in it.

import { message } from './harness.mjs';

export const BODY = message();

const hex = (n) => n.toString(16);
const chunk = (s, ext = '') => `${hex(Buffer.byteLength(s, 'latin1'))}${ext}\r\n${s}\r\n`;

export function garden(key, host = '127.0.0.1') {
  const K = `x-api-key: ${key}\r\nanthropic-version: 2023-06-01\r\n`;
  const H = `host: ${host}\r\n${K}`;
  const n = BODY.length;
  const post = `POST /v1/messages HTTP/1.1\r\n${H}`;
  const get = `GET /v1/models HTTP/1.1\r\n${H}`;
  const te = 'transfer-encoding: chunked\r\n';
  const cl = `content-length: ${n}\r\n`;
  const evil = `POST /v1/messages?evil HTTP/1.1\r\n${H}${cl}\r\n${BODY}`;
  const body = chunk(BODY);
  const last = '0\r\n\r\n';
  const whole = `${body}${last}`;
  const one = [['POST', '/v1/messages', BODY]];
  const rows = [];
  const refused = (name, bytes, status = 400) => rows.push({ name, bytes, statuses: [status], open: false, seen: [] });
  const served = (name, bytes, seen = one, statuses = [200], open = true) => rows.push({ name, bytes, statuses, open, seen });
  // an answer of ours that is no fault of framing, behind which the connection goes on
  const answered = (name, bytes, status, open = true) => rows.push({ name, bytes, statuses: [status].flat(), open, seen: [] });

  // ---- the Garden, servers ----
  refused('S1 chunk-size with an underscore', `${post}${te}\r\n0_${hex(n)}\r\n${BODY}\r\n${last}${evil}`);
  refused('S1 chunk-size 0x', `${post}${te}\r\n0x${hex(n)}\r\n${BODY}\r\n${last}`);
  refused('S1 chunk-size +', `${post}${te}\r\n+${hex(n)}\r\n${BODY}\r\n${last}`);
  refused('S1 chunk-size -', `${post}${te}\r\n-1\r\n${BODY}\r\n${last}`);
  refused('S2 NUL in a value', `${post}x-a: b\0c\r\n${cl}\r\n${BODY}`);
  refused('S2 CR in a value', `${post}x-a: b\rc\r\n${cl}\r\n${BODY}`);
  refused('S2 LF in a value', `${post}x-a: b\nc: d\r\n${cl}\r\n${BODY}`);
  refused('S2 NUL CR in a value', `${post}x-a: v\0\ralue\r\n${cl}\r\n${BODY}`);
  refused('S3 space behind a name', `${post}content-length : ${n}\r\n\r\n${BODY}`);
  refused('S3 tab behind a name', `${post}content-length\t: ${n}\r\n\r\n${BODY}`);
  refused('S4 tab before the first name', `POST /v1/messages HTTP/1.1\r\n\tcontent-length: ${n}\r\n${H}\r\n${BODY}`);
  refused('S4 space before the first name', `POST /v1/messages HTTP/1.1\r\n content-length: ${n}\r\n${H}\r\n${BODY}`);
  refused('S5 HTTP/1.32', `POST /v1/messages HTTP/1.32\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('S6 a method of delimiters', `G=":<>(e),[T];?" /v1/models HTTP/1.1\r\n${H}\r\n`);
  refused('S7 a target that is no path', `GET ! HTTP/1.1\r\n${H}\r\n`);
  refused('S8 a byte above 0x7f in a name', `${post}\xefoo: bar\r\n${cl}\r\n${BODY}`);
  refused('S9 LF as a space', `GET /v1/models\nHTTP/1.1\r\n${H}\r\n`);
  refused('S10 length with a sign and an underscore', `${post}content-length: +1_0\r\n\r\n0123456789`);
  refused('S10 length with an underscore', `${post}content-length: 1_0\r\n\r\n0123456789`);
  refused('S10 length with a sign', `${post}content-length: +${n}\r\n\r\n${BODY}`);
  refused('S11 two codings', `${post}${te}${te}\r\n${whole}${evil}`);
  refused('S12 NBSP around chunked', `${post}transfer-encoding: \xa0chunked\xa0\r\n\r\n${whole}`);
  refused('S12 NEL around chunked', `${post}transfer-encoding: \x85chunked\x85\r\n\r\n${whole}`);
  refused('S13 CR ends a field', `${post}visible: :/\rcontent-length: ${n}\r\n\r\n${BODY}`);
  for (const c of '\x00\x01\x08\t\x0b\x0c\x1f "(),/;<=>?@[\\]{}\x7f!#$%&\'*+._^`|~') {
    refused(`S14 ${JSON.stringify(c)} in a name`, `${post}x${c}a: b\r\n${cl}\r\n${BODY}`);
  }
  refused('S15 CRs in the version', `POST /v1/messages HTTP/\r\r1.1\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('S15 no number in the version', `POST /v1/messages HTTP/\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('S16 an empty length', `${post}content-length: \r\n\r\n${evil}`);
  refused('S17 an empty chunk-size', `${post}${te}\r\n\r\n\r\n${evil}`);
  refused('S18 an empty name', `${post}: ignored\r\n${cl}\r\n${BODY}`);
  refused('S19 LFs before a value', `${post}useless:\n\n${evil}`);
  refused('S20 NEL behind a name', `${post}content-length\x85: ${n}\r\n\r\n${BODY}`);
  refused('S20 NBSP behind a name', `${post}content-length\xa0: ${n}\r\n\r\n${BODY}`);
  refused('S21 ,chunked and a length', `${post}transfer-encoding: ,chunked\r\ncontent-length: 5\r\n\r\n${last}${evil}`);
  refused('S22 a chunk-size with a valid prefix', `${post}${te}\r\n${hex(n)}zz\r\n${BODY}\r\n${last}`);
  refused('S23 two lengths, the first is right', `${post}${cl}content-length: 0\r\n\r\n${BODY}`);
  refused('S24 a version of 32 bits', `POST /v1/messages HTTP/4294967295.255\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('S24 a version of 8 bits', `POST /v1/messages HTTP/257.257\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('S25 chunk-size with a space', `${post}${te}\r\n ${hex(n)}\r\n${BODY}\r\n${last}`);
  refused('S26 a negative length', `${post}content-length: -48\r\n\r\n${BODY}`);
  refused('S27 neither name nor value', `${post}:\r\n${cl}\r\n${BODY}`);
  refused('S28 no colon', `${post}content-length ${n}\r\n\r\n${BODY}`);
  refused('S29 a length with a valid prefix', `${post}content-length: ${n}Z\r\n\r\n${BODY}`);
  refused('S30 CR LF CR and any byte', `${post}${cl}\rX${BODY}`);
  refused('S30 CR LF CR and a request', `GET /v1/models HTTP/1.1\r\n${H}\rZ${evil}`);
  refused('S31 a chunk line ends with CR CR', `${post}${te}\r\n5\r\r;ABCD\r\n34\r\nE\r\n${last}${evil}`);
  served('S32 a length with a leading zero is decimal', `${post}content-length: 0${n}\r\n\r\n${BODY}`);
  refused('S33 two lengths, the last is right', `${post}content-length: 0\r\n${cl}\r\n${BODY}`);
  refused('S34 CR in a value', `${post}header: va\rlue\r\n${cl}\r\n${BODY}`);
  refused('S35 bytes behind NUL', `${post}test: test\0connection: close\r\n${cl}\r\n${BODY}`);
  refused('S36 CR CR in an extension', `${post}${te}\r\n${hex(n)};a=b\r\r${BODY}\r\n${last}${evil}`);
  refused('S37 a name over two lines', `${post}transfer-\r\nencoding: chunked\r\ncontent-length: 5\r\n\r\n${last}${evil}`);
  refused('S38 an empty length and a request', `${get}content-length: \r\n\r\n${evil}`);
  served('S39 what looks like a request is a trailer', `${post}${te}\r\n${body}0\r\nx:POST /v1/messages?evil HTTP/1.1\r\n\r\n`);
  refused('S39 CR LF and two bytes end no body', `${post}${te}\r\n${body}0\r\nXX${evil}`);
  refused('S40 neither method nor version', `\0 / HTTP/............0596.7407.\r\n${H}\r\n`);
  served('S41 NEL and NBSP around a value', `${post}user: \x85admin\xa0\r\n${cl}\r\n${BODY}`);
  refused('S42 an empty length first', `${post}content-length: \r\n${cl}\r\n${BODY}`);
  refused('S43 NUL ends a value', `${post}evil: evil\0\r\n${cl}\r\n${BODY}`);
  refused('S44 an unknown coding', `${post}transfer-encoding: blegh\r\n\r\n${whole}`);
  served('S45 rubbish behind a last request', `${post}connection: close\r\n${cl}\r\n${BODY}Invalid\r\n\r\n`, one, [200], false);
  refused('S46 bytes above 0x7f around a host', `POST /v1/messages HTTP/1.1\r\nhost: \xffa\xff\r\n${K}${cl}\r\n${BODY}`);
  refused('S47 a chunk that is none, then a request', `${post}${te}\r\nINVALID!!!\r\n${evil}`);
  served('S48 a length of 0 takes nothing of the next', `${post}content-length: 0\r\n\r\n${post}${cl}\r\n${BODY}`, one, [400, 200]);

  // ---- the Garden, transducers (there is no 8) ----
  refused('T1 a length in hex', `${post}content-length: 0x${hex(n)}\r\n\r\n${BODY}`);
  refused('T2 chunk-sizes of letters', `${post}${te}\r\nZ\r\nZZ\r\nZZZ\r\n\r\n`);
  refused('T3 CR before an extension', `${post}${te}\r\n2\r\r;a\r\n02\r\n41\r\n${last}${evil}`);
  refused('T4 CR 0 LF', `${post}${te}\r\n1\r0\n`);
  refused('T5 an empty length of a GET', `${get}content-length: \r\n\r\n`);
  refused('T6 NEL ends a name', `${post}header\x85: value\r\n${cl}\r\n${BODY}`);
  refused('T7 rubbish behind a chunk-size', `${post}${te}\r\n1these-bytes-never-get-validated\r\nZ\r\n${last}`);
  refused('T9 ,chunked', `${post}transfer-encoding: ,chunked\r\n\r\n${whole}`);
  refused('T10 CRs in a value', `${post}invalid-header: this\rvalue\ris\rinvalid\r\n${cl}\r\n${BODY}`);
  refused('T11 an empty length, then the request', `${get}content-length: \r\ncontent-length: ${evil.length}\r\n\r\n${evil}`);
  refused('T12 NUL in the host', `POST /v1/messages HTTP/1.1\r\nhost: ${host}\0.example.org\r\n${K}${cl}\r\n${BODY}`);
  refused('T13 LF ends a chunk', `${post}${te}\r\n${hex(n)}\r\n${BODY}\n0\r\n\r\n`);
  refused('T14 LF in a name', `${post}te\nst: test\r\n${cl}\r\n${BODY}`);
  refused('T15 ,chunked, a length, close', `${post}transfer-encoding: ,chunked\r\ncontent-length: 5\r\nconnection: close\r\n\r\n${last}`);
  refused('T16 LF ends lines', `${post}${cl}\r\n`.replaceAll('\r\n', '\n') + BODY);
  refused('T17 an empty line before the last chunk', `${post}${te}\r\n${body}\r\n${last}`);
  refused('T18 ,chunked hides a request', `${get}transfer-encoding: ,chunked\r\ncontent-length: 5\r\n\r\n${last}${evil}`);
  refused('T19 -0x0', `${post}${te}\r\n-0x0\r\n\r\n`);
  refused('T20 NUL in a line without colon', `${post}a:b\r\nc\0\r\n${cl}\r\n${BODY}`);
  served('T21 the body of a GET is no request', `${get}content-length: ${evil.length}\r\n\r\n${evil}`, []);
  refused('T22 lengths of 0 and of a request', `${post}content-length: 0\r\ncontent-length: ${evil.length}\r\n\r\n${evil}`);
  refused('T23 length and chunks', `${post}content-length: 5\r\n${te}\r\n${last}${evil}`);
  refused('T24 spaces before a chunk-size', `${post}${te}\r\n           ${hex(n)}\r\n${BODY}\r\n${last}`);
  refused('T25 two codings and nothing', `${post}${te}${te}\r\n${last}${evil}`);
  served('B3 a byte behind chunks', `${post}${te}\r\n${whole}\0`, one, [200, 400], false);
  refused('H2.1 an HTTP/2 preface and frames', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0E\x01\x05\0\0\0\x01\0\n:authority\tlocalhost`, 505);
  refused('H2.2 an HTTP/2 request line', `POST /v1/messages HTTP/2\r\n${H}${cl}\r\n${BODY}`, 505);

  // ---- llhttp's CVEs, and http_parser's ----
  refused('CVE-2018-7159 spaces in a length', `${post}content-length: 1 2\r\n\r\n${BODY}`);
  refused('CVE-2019-15605 chunked that is not the last', `${post}transfer-encoding: chunked, identity\r\n\r\n${whole}`);
  refused('CVE-2019-15605 a length beside a broken coding', `${post}transfer-encoding: xchunked\r\n${cl}\r\n${BODY}`);
  served('CVE-2019-15606 spaces behind values', `POST /v1/messages HTTP/1.1\r\nhost: ${host} \t\r\n${K}content-length: ${n} \t \r\n\r\n${BODY}`);
  served('CVE-2019-15606 spaces behind chunked', `${post}transfer-encoding: chunked  \r\n\r\n${whole}`);
  refused('CVE-2019-15606 a tab behind chunked', `${post}transfer-encoding: chunked\t\r\n\r\n${whole}`);
  refused('CVE-2020-8201 CR in a name', `${post}content\rlength: ${n}\r\n\r\n${BODY}`);
  refused('CVE-2020-8287 a second coding', `${post}${te}transfer-encoding: eee\r\n\r\n${whole}${evil}`);
  refused('CVE-2020-8287 a second coding with a length', `${post}${te}transfer-encoding: eee\r\n${cl}\r\n${BODY}`);
  refused('CVE-2021-22959 space before the colon', `${post}transfer-encoding : chunked\r\n\r\n${whole}`);
  refused('CVE-2021-22960 LF in an extension', `${post}${te}\r\n2 \n${hex(n)}\r\n${BODY}\r\n${last}${evil}`);
  refused('CVE-2021-22960 LF behind a semicolon', `${post}${te}\r\n${hex(n)};\nxx\r\n${BODY}\r\n${last}`);
  refused('CVE-2022-32213 chunkedchunked', `${post}transfer-encoding: chunkedchunked\r\n\r\n${whole}`);
  refused('CVE-2022-32214 LF before a coding', `${post}x: y\n${te}\r\n${whole}`);
  refused('CVE-2022-32215 a coding over two lines', `${post}transfer-encoding: chunked\r\n , identity\r\n\r\n${whole}`);
  refused('CVE-2022-32215 a coding begins on the next line', `${post}transfer-encoding:\r\n chunked\r\n\r\n${whole}`);
  refused('CVE-2022-35256 CR and a space end a field', `${post}x: y\r ${cl}\r\n${BODY}`);
  refused('CVE-2023-30589 CR ends a field', `${post}x: y\r${cl}\r\n${BODY}`);
  refused('CVE-2024-22019 an extension without end', `${post}${te}\r\n${hex(n)};${'e'.repeat(60000)}\r\n${BODY}\r\n${last}`);
  refused('CVE-2024-22019 extensions of many chunks', `${post}${te}\r\n${'1;eeeeeeee\r\n \r\n'.repeat(4000)}${last}`);
  refused('CVE-2024-27982 space before the length', `${post}x: y\r\n ${cl}\r\n${BODY}`);
  refused('CVE-2025-23167 CR LF CR', `${post}${cl}\r${BODY}`);

  // ---- framing, further ----
  refused('length and chunks, both good', `${post}${cl}${te}\r\n${whole}`);
  refused('chunks and length', `${post}${te}content-length: 4\r\n\r\n${whole}${evil}`);
  refused('two lengths that agree', `${post}${cl}${cl}\r\n${BODY}`);
  refused('a list of lengths', `${post}content-length: ${n}, ${n}\r\n\r\n${BODY}`);
  refused('a length too large for a number', `${post}content-length: 99999999999999999999\r\n\r\n${BODY}`);
  refused('a length of 2^64 + n', `${post}content-length: ${(1n << 64n) + BigInt(n)}\r\n\r\n${BODY}`);
  refused('a length of 33 MiB', `${post}content-length: ${33 << 20}\r\n\r\n`, 413);
  refused('chunked, chunked', `${post}transfer-encoding: chunked, chunked\r\n\r\n${whole}`);
  refused('chunked, and nothing', `${post}transfer-encoding: chunked,\r\n\r\n${whole}`);
  refused('chunked with a parameter', `${post}transfer-encoding: chunked;x\r\n\r\n${whole}`);
  refused('chunked with a parameter and a value', `${post}transfer-encoding: chunked;x=y\r\n\r\n${whole}`);
  refused('"chunked"', `${post}transfer-encoding: "chunked"\r\n\r\n${whole}`);
  refused('gzip, chunked', `${post}transfer-encoding: gzip, chunked\r\n\r\n${whole}`);
  refused('gzip', `${post}transfer-encoding: gzip\r\n\r\n${whole}`);
  refused('identity, then chunked', `${post}transfer-encoding: identity\r\n${te}\r\n${whole}`);
  refused('identity and a length', `${post}transfer-encoding: identity\r\n${cl}\r\n${BODY}`);
  refused('an empty coding', `${post}transfer-encoding:\r\n${cl}\r\n${BODY}`);
  refused('a vertical tab behind chunked', `${post}transfer-encoding: chunked\x0b\r\n\r\n${whole}`);
  served('CHUNKED', `${post}Transfer-Encoding: CHUNKED\r\n\r\n${whole}`);
  served('a tab before chunked', `${post}transfer-encoding:\tchunked\r\n\r\n${whole}`);
  served('a tab before a length', `${post}content-length:\t${n}\t\r\n\r\n${BODY}`);
  refused('Transfer_Encoding', `${post}transfer_encoding: chunked\r\n${cl}\r\n${BODY}`);
  refused('HTTP/1.0 and chunks', `POST /v1/messages HTTP/1.0\r\n${H}${te}\r\n${whole}`);
  served('HTTP/1.0 and a length', `POST /v1/messages HTTP/1.0\r\n${H}${cl}\r\n${BODY}${evil}`, one, [200], false);
  served('HTTP/1.0 that wants to go on', `POST /v1/messages HTTP/1.0\r\n${H}connection: keep-alive\r\n${cl}\r\n${BODY}${evil}`, one, [200], false);
  refused('a chunk longer than its size', `${post}${te}\r\n3\r\n${BODY}\r\n${last}`);
  refused('a chunk shorter than its size', `${post}${te}\r\n${hex(n + 2)}\r\n${BODY}\r\n${last}${evil}`);
  refused('a chunk-size of 72 bits', `${post}${te}\r\nffffffffffffffffff\r\n${BODY}\r\n${last}`);
  refused('a chunk-size of 2^64 + n', `${post}${te}\r\n1${hex(n).padStart(16, '0')}\r\n${BODY}\r\n${last}`);
  served('a chunk-size with zeros', `${post}${te}\r\n000${hex(n)}\r\n${BODY}\r\n000\r\n\r\n`);
  served('a small extension', `${post}${te}\r\n${chunk(BODY, ';a=b')}0;c="d"\r\n\r\n`);
  refused('a space behind a chunk-size', `${post}${te}\r\n${hex(n)} \r\n${BODY}\r\n${last}`);
  refused('LF ends chunk lines', `${post}${te}\r\n${hex(n)}\n${BODY}\n0\n\n`);
  refused('LF ends the last chunk', `${post}${te}\r\n${body}0\n\n${evil}`);
  refused('LF ends the trailers', `${post}${te}\r\n${body}0\r\nx: y\r\n\n${evil}`);
  served('trailers are dropped', `${post}${te}trailer: x-evil\r\n\r\n${body}0\r\nx-evil: 1\r\nhost: evil\r\n\r\n`);
  refused('a length in the trailers', `${post}${te}\r\n${body}0\r\ncontent-length: 5\r\n\r\n`);
  refused('a coding in the trailers', `${post}${te}\r\n${body}0\r\ntransfer-encoding: chunked\r\n\r\n`);
  refused('a folded trailer', `${post}${te}\r\n${body}0\r\nx: y\r\n z\r\n\r\n`);
  refused('trailers without end', `${post}${te}\r\n${body}0\r\n${`x: ${'y'.repeat(1000)}\r\n`.repeat(20)}\r\n`);
  refused('obs-fold', `${post}x-a: one\r\n two\r\n${cl}\r\n${BODY}`);
  refused('obs-fold with a tab', `${post}x-a: one\r\n\ttwo\r\n${cl}\r\n${BODY}`);
  refused('one bare LF', `${post}x-a: b\n${cl}\r\n${BODY}`);
  refused('LF LF ends the head', `${post}${cl}`.slice(0, -2) + `\n\n${BODY}`);
  refused('CR CR LF', `${post}${cl}`.slice(0, -2) + `\r\r\n\r\n${BODY}`);
  served('one empty line before a request', `\r\n${post}${cl}\r\n${BODY}`);
  refused('LF before a request', `\n${post}${cl}\r\n${BODY}`);
  refused('two empty lines before a request', `\r\n\r\n${post}${cl}\r\n${BODY}`);
  refused('a space before the method', ` ${post}${cl}\r\n${BODY}`);
  served('Connection: content-length', `${post}connection: content-length\r\n${cl}\r\n${BODY}`);
  served('Connection: transfer-encoding', `${post}connection: transfer-encoding, keep-alive\r\n${te}\r\n${whole}`);
  served('Keep-Alive, TE, Proxy-Connection', `${post}keep-alive: 5\r\nte: trailers\r\nproxy-connection: close\r\n${cl}\r\n${BODY}`);
  served('two requests at once', `${post}${cl}\r\n${BODY}${post}${cl}\r\n${BODY}`, [...one, ...one], [200, 200]);
  served('a good one, then rubbish', `${post}${cl}\r\n${BODY}rubbish\r\n\r\n`, one, [200, 400], false);
  served('a good one, then two lengths', `${post}${cl}\r\n${BODY}${post}${cl}${cl}\r\n${BODY}${evil}`, one, [200, 400], false);

  // ---- methods, versions, targets, hosts ----
  refused('a foreign method', `FROB /v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a method in lower case', `post /v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a method in mixed case', `Post /v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('CONNECT', `CONNECT 127.0.0.1:1 HTTP/1.1\r\n${H}\r\n`, 501);
  refused('CONNECT with a path', `CONNECT /v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`, 501);
  refused('TRACE', `TRACE /v1/messages HTTP/1.1\r\n${H}\r\n`, 501);
  refused('SOURCE, of Icecast', `SOURCE /v1/messages ICE/1.0\r\n${H}\r\n`);
  refused('RTSP', `OPTIONS /v1/messages RTSP/1.0\r\n${H}\r\n`);
  refused('HTTP/0.9', `GET /v1/models\r\n\r\n`);
  refused('no version', `POST /v1/messages\r\n${H}${cl}\r\n${BODY}`);
  refused('HTTP/1', `POST /v1/messages HTTP/1\r\n${H}${cl}\r\n${BODY}`);
  refused('HTTP/1.2', `POST /v1/messages HTTP/1.2\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('HTTP/9.9', `POST /v1/messages HTTP/9.9\r\n${H}${cl}\r\n${BODY}`, 505);
  refused('http/1.1', `POST /v1/messages http/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('two spaces in the request line', `POST  /v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a tab in the request line', `POST\t/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a space behind the version', `POST /v1/messages HTTP/1.1 \r\n${H}${cl}\r\n${BODY}`);
  refused('a space in the target', `POST /v1/messages x HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('NUL in the path', `POST /v1/mess\0ages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a control character in the path', `POST /v1/mess\x01ages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a byte above 0x7f in the path', `POST /v1/mess\xe9ages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a fragment', `POST /v1/messages#x HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('a backslash', `POST /v1\\messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('%2f', `POST /v1%2fmessages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('%00', `POST /v1/messages%00 HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('%0d%0a', `POST /v1/messages%0d%0ax:y HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('half an escape', `POST /v1/messages%2 HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('/./', `POST /v1/./messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('/../', `POST /livez/../v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('%2e%2e', `POST /livez/%2e%2E/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('.%2e at the end', `POST /v1/messages/.%2e HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  answered('// before the path', `POST //v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`, 404);
  answered('// in the path', `POST /v1//messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`, 404);
  answered('an escaped letter is another path', `POST /v1/%6dessages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`, 404);
  answered('a path in upper case', `POST /V1/MESSAGES HTTP/1.1\r\n${H}${cl}\r\n${BODY}`, 404);
  refused('*', `OPTIONS * HTTP/1.1\r\n${H}\r\n`);
  refused('authority-form', `GET 127.0.0.1:80 HTTP/1.1\r\n${H}\r\n`);
  served('absolute-form', `POST http://${host}/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('absolute-form, another host', `POST http://other.example/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('absolute-form, user info', `POST http://u@${host}/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('absolute-form, another scheme', `POST ftp://${host}/v1/messages HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('absolute-form without a path', `POST http://${host} HTTP/1.1\r\n${H}${cl}\r\n${BODY}`);
  refused('no host', `POST /v1/messages HTTP/1.1\r\n${K}${cl}\r\n${BODY}`);
  refused('two hosts', `POST /v1/messages HTTP/1.1\r\nhost: a\r\n${H}${cl}\r\n${BODY}`);
  refused('the same host twice', `POST /v1/messages HTTP/1.1\r\nhost: ${host}\r\n${H}${cl}\r\n${BODY}`);
  refused('an empty host', `POST /v1/messages HTTP/1.1\r\nhost:\r\n${K}${cl}\r\n${BODY}`);
  for (const h of ['[', ']:', '[::1', '::1', '[127.0.0.1]', '[::1]x', '[fe80::1%lo]', 'a:b', `${host}:99999`, `${host}:80:80`, `${host}:-1`, `${host}:0x50`, ':80', '%31', "a'b"]) {
    refused(`a host ${h}`, `POST /v1/messages HTTP/1.1\r\nhost: ${h}\r\n${K}${cl}\r\n${BODY}`);
  }
  refused('a host with a path', `POST /v1/messages HTTP/1.1\r\nhost: ${host}/x\r\n${K}${cl}\r\n${BODY}`);
  refused('a host with user info', `POST /v1/messages HTTP/1.1\r\nhost: u@${host}\r\n${K}${cl}\r\n${BODY}`);
  refused('a host with a question mark', `POST /v1/messages HTTP/1.1\r\nhost: ${host}?/livez\r\n${K}${cl}\r\n${BODY}`);
  refused('a list of hosts', `POST /v1/messages HTTP/1.1\r\nhost: ${host}, ${host}\r\n${K}${cl}\r\n${BODY}`);
  refused('a host beyond ASCII', `POST /v1/messages HTTP/1.1\r\nhost: b\xc3\xbccher.example\r\n${K}${cl}\r\n${BODY}`);

  // ---- other protocols, upgrades, expectations ----
  refused('a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rubbish rubbish rubbish\r\n\r\n');
  refused('a PROXY header', `PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${post}${cl}\r\n${BODY}`);
  refused('SSH', 'SSH-2.0-OpenSSH_9.2p1\r\n');
  refused('SMTP', 'EHLO example.org\r\n');
  served('h2c is not spoken', `${post}connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n${cl}\r\n${BODY}`);
  served('no WebSocket', `${get}connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n`, []);
  served('an upgrade with a body behind it', `${post}connection: upgrade\r\nupgrade: x\r\n${te}\r\n${whole}`);
  served('an expectation, the body comes along', `${post}expect: 100-continue\r\n${cl}\r\n${BODY}`);
  served('an expectation in capitals', `${post}Expect: 100-Continue\r\n${te}\r\n${whole}`);
  served('an expectation without a body', `${get}expect: 100-continue\r\n\r\n`, []);
  served('an expectation twice', `${post}expect: 100-continue\r\nexpect: 100-continue\r\n${cl}\r\n${BODY}`);
  served('an expectation of HTTP/1.0', `POST /v1/messages HTTP/1.0\r\n${H}expect: 100-continue\r\n${cl}\r\n${BODY}`, one, [200], false);
  refused('another expectation', `${post}expect: 200-ok\r\n${cl}\r\n${BODY}${evil}`, 417);
  refused('an expectation and more', `${post}expect: 100-continue, x\r\n${cl}\r\n${BODY}${evil}`, 417);
  refused('an empty expectation', `${post}expect:\r\n${cl}\r\n${BODY}${evil}`, 417);
  return rows;
}

// The rows whose bytes are worth cutting to pieces: the short ones.
export const short = (rows) => rows.filter((r) => r.bytes.length < 1200);
