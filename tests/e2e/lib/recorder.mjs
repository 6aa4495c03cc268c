// An upstream that writes down what reaches it, to the byte: a server over bare sockets with a reader
// of its own, stricter than any library's. What it cannot read as a row of clean requests is a fault.
// `loose` is for what others send, who pass on more than sluice does: trailers, absolute targets.
// It lives in the runner's process, so that a test can ask it without waiting.

import net from 'node:net';

const ANSWER = JSON.stringify({ id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-6',
  content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn', stop_sequence: null,
  usage: { input_tokens: 1, output_tokens: 1 } });
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const answerOf = (body, extra = '') => `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${extra}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

export class Recorder {
  constructor() {
    this.requests = []; // {conn, nth, method, target, headers [[name, value]], body, head}
    this.faults = []; // bytes that are no clean request
    this.conns = 0;
    this.sockets = new Set();
    this.reply = null; // (request) => bytes, or {bytes, then: 'fin'|'reset'}; null: the usual answer
  }

  static async start(t, { loose = false } = {}) {
    const r = new Recorder();
    r.loose = loose;
    r.server = net.createServer({ allowHalfOpen: true, noDelay: true }, (s) => r.accept(s));
    await new Promise((go) => { r.server.listen(0, '127.0.0.1', go); });
    r.port = r.server.address().port;
    r.url = `http://127.0.0.1:${r.port}`;
    t.cleanups.push(() => r.stop());
    return r;
  }

  stop() {
    for (const s of this.sockets) s.destroy();
    return new Promise((go) => { this.server.close(go); });
  }

  forget() {
    this.requests = [];
    this.faults = [];
  }

  accept(socket) {
    const c = { socket, n: ++this.conns, nth: 0, buf: Buffer.alloc(0), broken: false };
    this.sockets.add(socket);
    socket.on('data', (d) => {
      c.buf = Buffer.concat([c.buf, d]);
      while (!c.broken && this.step(c));
    });
    socket.on('end', () => {
      if (c.buf.length && !c.broken) this.fault(c, 'the connection ends inside a request');
      socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => { this.sockets.delete(socket); });
  }

  fault(c, why) {
    c.broken = true;
    this.faults.push(`${why}: ${JSON.stringify(c.buf.subarray(0, 300).toString('latin1'))}`);
    c.socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    return false;
  }

  step(c) {
    const end = c.buf.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = c.buf.subarray(0, end + 4).toString('latin1');
    const [line, ...rest] = head.slice(0, -4).split('\r\n');
    const m = (this.loose ? /^([A-Za-z]+) (?:https?:\/\/[^/]*)?(\/[\x21-\xff]*) HTTP\/1\.[01]$/ : /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.[01]$/).exec(line);
    if (!m) return this.fault(c, 'no request line');
    const headers = [];
    for (const l of rest) {
      const colon = l.indexOf(':');
      if (colon < 1 || !NAME.test(l.slice(0, colon))) return this.fault(c, 'a header has no name');
      const value = l.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '');
      if (/[\0-\x08\x0a-\x1f\x7f]/.test(value)) return this.fault(c, 'a control character in a value');
      headers.push([l.slice(0, colon).toLowerCase(), value]);
    }
    const all = (n) => headers.filter(([k]) => k === n).map(([, v]) => v);
    const lengths = all('content-length');
    const codings = all('transfer-encoding');
    if (lengths.length + codings.length > 1) return this.fault(c, 'two framings');
    if (all('host').length !== 1) return this.fault(c, 'not one host');
    let body = Buffer.alloc(0);
    let used = end + 4;
    if (codings.length) {
      if ((this.loose ? codings[0].toLowerCase() : codings[0]) !== 'chunked') return this.fault(c, 'a foreign transfer coding');
      const chunks = this.chunks(c.buf.subarray(used));
      if (chunks === null) return false;
      if (chunks.fault) return this.fault(c, chunks.fault);
      body = chunks.body;
      used += chunks.used;
    } else if (lengths.length) {
      if (!/^\d{1,15}$/.test(lengths[0])) return this.fault(c, 'no length');
      const n = Number(lengths[0]);
      if (c.buf.length < used + n) return false;
      body = c.buf.subarray(used, used + n);
      used += n;
    }
    const request = { conn: c.n, nth: ++c.nth, method: m[1], target: m[2], headers, body: Buffer.from(body), head };
    c.buf = c.buf.subarray(used);
    this.requests.push(request);
    this.answer(c, request);
    return true;
  }

  // {body, used}, null (more is to come) or {fault}
  chunks(buf) {
    const parts = [];
    for (let at = 0; ;) {
      const eol = buf.indexOf('\r\n', at);
      if (eol < 0) return null;
      const line = buf.subarray(at, eol).toString('latin1');
      if (!/^[0-9a-fA-F]{1,8}$/.test(line)) return { fault: 'a bad chunk' };
      const n = parseInt(line, 16);
      if (n === 0 && this.loose) {
        const end = buf.indexOf('\r\n\r\n', eol);
        return end < 0 ? null : { body: Buffer.concat(parts), used: end + 4 };
      }
      if (n === 0) return buf.length < eol + 4 ? null : buf.subarray(eol + 2, eol + 4).toString() === '\r\n' ? { body: Buffer.concat(parts), used: eol + 4 } : { fault: 'trailers' };
      if (buf.length < eol + 4 + n) return null;
      parts.push(buf.subarray(eol + 2, eol + 2 + n));
      at = eol + 2 + n;
      if (buf.subarray(at, at + 2).toString() !== '\r\n') return { fault: 'a chunk without its end' };
      at += 2;
    }
  }

  answer(c, request) {
    const r = this.reply?.(request) ?? answerOf(ANSWER);
    const { bytes, then } = typeof r === 'object' && !Buffer.isBuffer(r) ? r : { bytes: r };
    const close = /\r\nconnection: *close\r\n/i.test(request.head);
    c.socket.write(Buffer.from(bytes, typeof bytes === 'string' ? 'latin1' : undefined));
    if (then === 'fin' || (close && !then)) c.socket.end();
    if (then === 'reset') setImmediate(() => c.socket.resetAndDestroy());
  }
}

export { answerOf, ANSWER };
