// A small HTTP/1.1 client over bare sockets: it shows what a real client's library hides, the exact
// bytes and the way an answer ended.

import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

// Waits until `probe` gives something true; the only waiting in the tests, always with a deadline.
export async function until(probe, ms = 5000, what = 'a condition') {
  const end = Date.now() + ms;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for ${what}`);
    await delay(10);
  }
}

// Reads one connection's bytes as a row of HTTP answers.
class Reader {
  constructor(methods) {
    this.buf = Buffer.alloc(0);
    this.methods = methods; // of the requests sent, in order: HEAD answers have no body
    this.answers = [];
    this.now = null;
  }

  feed(bytes) {
    this.buf = Buffer.concat([this.buf, bytes]);
    while (this.step());
  }

  take(n) {
    const out = this.buf.subarray(0, n);
    this.buf = this.buf.subarray(n);
    return out;
  }

  step() {
    if (!this.now) return this.readHead();
    const a = this.now;
    if (a.framing === 'chunked') return this.readChunk(a);
    if (a.framing === 'length') {
      if (!this.buf.length && a.left) return false;
      const part = this.take(Math.min(a.left, this.buf.length));
      a.left -= part.length;
      a.parts.push(part);
      if (a.left === 0) { this.finish(); return true; }
      return false;
    }
    if (this.buf.length) a.parts.push(this.take(this.buf.length));
    return false;
  }

  readHead() {
    const end = this.buf.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const raw = this.take(end + 4).toString('latin1');
    const [line, ...rest] = raw.trimEnd().split('\r\n');
    const m = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(line);
    if (!m) throw new Error(`not an HTTP answer: ${line.slice(0, 80)}`);
    const headers = rest.map((l) => {
      const i = l.indexOf(':');
      return [l.slice(0, i).toLowerCase(), l.slice(i + 1).trim()];
    });
    const status = Number(m[1]);
    if (status >= 100 && status < 200) {
      this.informational = (this.informational ?? []).concat(status);
      return true;
    }
    const get = (n) => headers.filter(([k]) => k === n).map(([, v]) => v).join(', ') || undefined;
    const a = { status, headers, get, raw, parts: [], complete: false, left: 0, chunks: 0 };
    if (get('transfer-encoding') && get('content-length')) throw new Error('answer with both framings');
    const method = this.methods[this.answers.length] ?? 'GET';
    if (method === 'HEAD' || status === 204 || status === 304) a.framing = 'none';
    else if (/chunked/i.test(get('transfer-encoding') ?? '')) a.framing = 'chunked';
    else if (get('content-length') !== undefined) {
      a.framing = 'length';
      a.left = Number(get('content-length'));
    } else a.framing = 'close';
    this.now = a;
    if (a.framing === 'none' || (a.framing === 'length' && a.left === 0)) this.finish();
    return true;
  }

  readChunk(a) {
    if (a.inChunk === undefined) {
      const end = this.buf.indexOf('\r\n');
      if (end < 0) return false;
      const line = this.take(end + 2).toString('latin1').trim();
      if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`bad chunk size ${JSON.stringify(line)}`);
      a.inChunk = parseInt(line, 16);
      if (a.inChunk === 0) a.last = true;
      return true;
    }
    if (a.last) {
      const end = this.buf.indexOf('\r\n');
      if (end < 0) return false;
      this.take(end + 2);
      this.finish();
      return true;
    }
    if (this.buf.length < a.inChunk + 2) {
      // Show a part of a chunk at once: the tests look at what has arrived so far.
      const part = this.take(Math.min(a.inChunk, this.buf.length));
      a.inChunk -= part.length;
      if (part.length) a.parts.push(part);
      return part.length > 0 && this.buf.length > 0;
    }
    a.parts.push(this.take(a.inChunk));
    if (this.take(2).toString() !== '\r\n') throw new Error('a chunk does not end with CRLF');
    a.inChunk = undefined;
    a.chunks++;
    return true;
  }

  finish() {
    this.now.complete = true;
    this.answers.push(this.now);
    this.now = null;
  }
}

export class Connection {
  // `target`: {port, host}; or with a `socket` that is connected, or about to be (TLS)
  constructor(target) {
    this.host = target.host ?? '127.0.0.1';
    this.port = target.port;
    this.methods = [];
    this.reader = new Reader(this.methods);
    this.ended = null; // 'fin' | 'reset' once the peer has closed
    this.bytes = 0;
    this.fault = null;
    this.socket = target.socket ?? net.connect({ port: this.port, host: this.host, noDelay: true });
    this.socket.on('data', (d) => {
      this.bytes += d.length;
      try { this.reader.feed(d); } catch (e) { this.fault = e; this.socket.destroy(); }
    });
    this.socket.on('end', () => { this.ended ??= 'fin'; });
    this.socket.on('error', (e) => { this.error = e; this.ended ??= 'reset'; });
    this.socket.on('close', () => { this.ended ??= 'fin'; });
  }

  send(bytes) {
    this.socket.write(bytes);
    return this;
  }

  request(method, path, headers = {}, body = undefined) {
    this.methods.push(method);
    const lines = [`${method} ${path} HTTP/1.1`];
    const all = { host: `${this.host}:${this.port}`, ...headers };
    if (body !== undefined && !('content-length' in all) && !('transfer-encoding' in all)) {
      all['content-length'] = String(Buffer.byteLength(body));
    }
    for (const [k, v] of Object.entries(all)) {
      for (const one of [v].flat()) if (one !== undefined) lines.push(`${k}: ${one}`);
    }
    this.socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (body !== undefined) this.socket.write(body);
    return this;
  }

  // The nth answer as far as it has come; undefined before its head.
  peek(n = 0) {
    const a = this.reader.answers[n] ?? (this.reader.answers.length === n ? this.reader.now : null);
    return a ?? undefined;
  }

  body(n = 0) {
    return Buffer.concat(this.peek(n)?.parts ?? []);
  }

  head(n = 0, ms = 10000) {
    return this.wait(() => this.peek(n) ?? (this.ended ? { status: 0, ended: this.ended } : null), ms, `head ${n}`);
  }

  // Waits for the nth answer to be complete or the connection to end.
  async answer(n = 0, ms = 15000) {
    await this.wait(() => this.reader.answers.length > n || this.ended, ms, `answer ${n}`);
    const a = this.peek(n) ?? { status: 0, headers: [], get: () => undefined, parts: [], complete: false };
    let complete = a.complete;
    if (a.framing === 'close') {
      await this.wait(() => this.ended, ms, 'the end of a close-delimited answer');
      complete = this.ended === 'fin';
    }
    const body = Buffer.concat(a.parts);
    return { ...a, complete, body, text: body.toString(), end: this.ended,
      json: () => JSON.parse(body.toString()) };
  }

  async wait(probe, ms, what) {
    return until(() => {
      if (this.fault) throw this.fault;
      return probe();
    }, ms, what);
  }

  closed(ms = 10000) {
    return until(() => this.ended, ms, 'the connection to be closed');
  }

  // Leaves like a client that is gone: 'fin' closes, 'reset' resets.
  leave(how = 'fin') {
    if (how === 'reset') this.socket.resetAndDestroy(); else this.socket.destroy();
  }
}

// One request on a connection of its own.
export async function ask(target, method, path, headers, body, ms) {
  const c = new Connection(target);
  try {
    c.request(method, path, headers, body);
    return await c.answer(0, ms);
  } finally {
    c.leave();
  }
}

// ---- SSE -------------------------------------------------------------------------------------

export function events(bytes) {
  return bytes.toString().split(/\n\n/).filter((b) => b.trim()).map((block) => {
    const ev = { event: undefined, data: '' };
    for (const line of block.split('\n')) {
      if (line.startsWith('event:')) ev.event = line.slice(6).trim();
      if (line.startsWith('data:')) ev.data += line.slice(5).trim();
    }
    try { ev.json = JSON.parse(ev.data); } catch { /* left out */ }
    return ev;
  });
}

const PING = /event: ping\ndata: \{"type": ?"ping"\}\n\n/g;

// A stream without the pings a gateway may put in (and without the provider's own).
export function withoutPings(bytes) {
  return bytes.toString('latin1').replace(PING, '');
}

export function countPings(bytes) {
  return (bytes.toString('latin1').match(PING) ?? []).length;
}
