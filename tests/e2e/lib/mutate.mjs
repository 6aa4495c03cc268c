// Mutations of requests, the same for the same seed.

export function dice(seed) {
  let a = seed >>> 0;
  return (n) => {
    a = (a + 0x6d2b79f5) >>> 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
}

const SPECIAL = ['\0', '\t', '\n', '\r', '\x0b', '\x0c', ' ', '\x1f', '\x7f', '\x85', '\xa0', '\xff', ':', ';', ',', '"', '\\', '+', '-', '_', '0', 'x', '\r\n',
  '\r\n ', '\r\n\t', '\n\n', '\r\r\n', ' ,', '0x', '%2e', '%00', '//', '/./', '#', '?', '@', '[', ']'];
const LINES = ['content-length: 0', 'content-length: 5', 'Content-Length: 1', 'transfer-encoding: chunked', 'Transfer-Encoding: identity', 'transfer-encoding: chunked, chunked',
  'transfer-encoding:\tchunked', 'connection: close', 'connection: keep-alive', 'connection: content-length', 'connection: transfer-encoding', 'expect: 100-continue', 'upgrade: h2c',
  'host: other', 'te: trailers', 'trailer: x', 'keep-alive: timeout=1', 'proxy-connection: close', 'content-length: 00', 'x: y', ': ', 'x', 'content-length : 3', ' content-length: 3'];
const METHODS = ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'post', 'POST ', 'PO ST'];

export function mutate(bytes, random, others) {
  const at = () => random(bytes.length + 1);
  const pick = (list) => list[random(list.length)];
  const crlfs = [...bytes.matchAll(/\r\n/g)].map((m) => m.index);
  const digits = [...bytes.matchAll(/\d/g)].map((m) => m.index);
  const put = (i, cut, s) => bytes.slice(0, i) + s + bytes.slice(i + cut);
  switch (random(12)) {
    case 0: return put(at(), 1, '');
    case 1: case 2: return put(at(), 0, pick(SPECIAL));
    case 3: return put(at(), 1, pick(SPECIAL));
    case 4: return crlfs.length ? put(pick(crlfs), 2, pick(['\n', '\r', '\r\r\n', '\n\r', '', '\r\n\r\n'])) : bytes;
    case 5: case 6: return crlfs.length ? put(pick(crlfs), 0, `\r\n${pick(LINES)}`) : bytes;
    case 7: return digits.length ? put(pick(digits), 1, pick(['0', '1', '9', 'a', '', '00', ' ', '-1'])) : bytes;
    case 8: { // a line once more
      const lines = bytes.split('\r\n');
      const i = random(lines.length);
      lines.splice(random(lines.length), 0, lines[i]);
      return lines.join('\r\n');
    }
    case 9: return bytes.replace(/^[A-Z]+/, pick(METHODS));
    case 10: return bytes.replace('HTTP/1.1', pick(['HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/1.1 ', ' HTTP/1.1', 'HTTP/01.1', 'http/1.1', '']));
    default: return bytes + pick(others);
  }
}
