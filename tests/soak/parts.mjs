// The parts of a soak: a provider whose streams take their time, clients that look at how each one
// ends, those who mean harm, and those who only sit there. scripts/soak and tests/e2e play them.

import { fork } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Connection, events } from '../e2e/lib/wire.mjs';
import { message } from '../e2e/lib/harness.mjs';

export const sleep = (ms) => new Promise((go) => { setTimeout(go, ms); });

// ---- a provider ------------------------------------------------------------------------------

const sse = (type, more) => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const START = sse('message_start', { message: { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-6',
  content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 25, output_tokens: 1 } } })
  + sse('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
const DELTA = sse('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'so it goes on ' } });
const STOP = sse('content_block_stop', { index: 0 })
  + sse('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 15 } })
  + sse('message_stop', {});
const JSON_ANSWER = JSON.stringify({ id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-6',
  content: [{ type: 'text', text: 'Hello' }], stop_reason: 'end_turn', stop_sequence: null,
  usage: { input_tokens: 25, output_tokens: 15 } });

// Streams last for from `least` to `most` ms, an event every `every`. Its own process, so that what
// is measured here is not it.
export async function startProvider(options) {
  const child = fork(fileURLToPath(import.meta.url), ['provider', JSON.stringify(options ?? {})]);
  const port = await new Promise((go, no) => { child.on('message', go); child.on('exit', () => no(new Error('no provider'))); });
  return { port, url: `http://127.0.0.1:${port}`, stop: () => child.kill('SIGKILL') };
}

function provider({ least = 2000, most = 20000, every = 250 }) {
  const s = http.createServer((req, res) => {
    let text = '';
    req.on('data', (d) => { text += d; });
    req.on('end', () => {
      if (!/"stream": ?true/.test(text)) {
        res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(JSON_ANSWER) }).end(JSON_ANSWER);
        return;
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write(START);
      const until = Date.now() + least + Math.random() * (most - least);
      const timer = setInterval(() => {
        if (Date.now() < until) { res.write(DELTA); return; }
        clearInterval(timer);
        res.end(STOP);
      }, every);
      res.on('close', () => clearInterval(timer));
    });
  });
  s.keepAliveTimeout = 120000;
  s.listen(0, '127.0.0.1', () => process.send(s.address().port));
  process.on('disconnect', () => process.exit(0));
}

// ---- streams that are watched ----------------------------------------------------------------

// `n` streams at any time. How each ended: complete, told (an error event, and no end of the body), or
// wrong: refused, reset, truncated without a word.
export class Streams {
  constructor(target, key, n) {
    Object.assign(this, { target, key, sent: 0, complete: 0, told: 0, wrong: [], over: false });
    this.all = Array.from({ length: n }, (_, i) => this.client(i));
  }

  async client(i) {
    await sleep(Math.random() * 500); // not all in one moment
    while (!this.over) {
      const n = this.sent++;
      const c = new Connection(this.target);
      try {
        c.request('POST', '/v1/messages', { 'x-api-key': this.key, 'anthropic-version': '2023-06-01',
          'content-type': 'application/json', connection: 'close' }, message({ stream: true, text: `Stream ${i}, talk ${n}` }));
        const a = await c.answer(0, 120000);
        const last = events(a.body).at(-1)?.event;
        if (a.status === 200 && a.complete && last === 'message_stop') this.complete++;
        else if (a.status === 200 && !a.complete && last === 'error') this.told++;
        else this.wrong.push(`${n}: ${a.status} ${c.error?.code ?? ''} ${a.complete} ${last} ${a.text.slice(-160)}`);
      } catch (e) { this.wrong.push(`${n}: ${e.code ?? ''} ${e.message}`); }
      c.leave();
    }
  }

  async end() {
    this.over = true;
    await Promise.all(this.all);
  }
}

// ---- other processes -------------------------------------------------------------------------

// `role` in a process of its own, so that it takes no time from who measures. Its first message says
// that it has begun; `ask` gets one more.
export async function other(role, options) {
  const child = fork(fileURLToPath(import.meta.url), [role, JSON.stringify(options)], { execArgv: ['--max-old-space-size=4096'] });
  const queue = [];
  const waiting = [];
  child.on('message', (m) => { const w = waiting.shift(); if (w) w(m); else queue.push(m); });
  const next = () => (queue.length ? Promise.resolve(queue.shift()) : new Promise((go) => { waiting.push(go); }));
  const began = await next();
  return { began, ask: () => { child.send('tell'); return next(); }, stop: () => child.kill('SIGKILL') };
}

// Good clients: `clients` connections, `rate` requests a second in all; latencies in ms.
async function good({ port, key, rate, clients }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  let took = [];
  let wrong = [];
  const one = () => {
    const from = performance.now();
    const req = http.request({ port, host: '127.0.0.1', agent, method: 'POST', path: '/v1/messages',
      headers: { 'x-api-key': key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' } }, (res) => {
      res.resume();
      res.on('end', () => { took.push(performance.now() - from); if (res.statusCode !== 200) wrong.push(String(res.statusCode)); });
    });
    req.on('error', (e) => wrong.push(e.code));
    req.end(message());
  };
  const begin = performance.now();
  let sent = 0;
  setInterval(() => { for (; sent < (performance.now() - begin) * rate / 1000; sent++) one(); }, 5);
  process.on('message', () => {
    const sorted = took.sort((a, b) => a - b);
    const at = (q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
    process.send({ n: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1), wrong });
    took = [];
    wrong = [];
  });
  process.send('began');
}

// Slowloris: `sockets` connections that send a head a byte at a time and never end it; who is closed
// comes again.
function slow({ port, sockets, every = 1000 }) {
  const HEAD = 'POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
  let open = 0;
  let opened = 0;
  const begin = () => {
    let at = 0;
    const s = net.connect(port, '127.0.0.1');
    let timer;
    s.on('connect', () => { open++; opened++; s.write(HEAD[at++]); timer = setInterval(() => { s.write(HEAD[at++ % HEAD.length]); }, every); });
    s.on('error', () => {});
    s.on('close', (had) => { if (timer) { clearInterval(timer); open--; } setTimeout(begin, 50 + Math.random() * 200); });
  };
  for (let i = 0; i < sockets; i++) setTimeout(begin, i / 5);
  process.on('message', () => process.send({ open, opened }));
  setTimeout(() => process.send('began'), sockets / 5 + 500);
}

// TLS connections that have asked once and then sit there.
async function idle({ port, connections, ca }) {
  let open = 0;
  let wrong = 0;
  const trusted = fs.readFileSync(ca);
  const one = () => new Promise((go) => {
    const s = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: trusted, session: undefined }, () => {
      s.write('GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n');
    });
    s.once('data', () => { open++; go(); });
    s.on('error', () => { wrong++; go(); });
    s.on('close', () => { open--; });
  });
  for (let left = connections; left > 0; left -= 20) await Promise.all(Array.from({ length: Math.min(20, left) }, one));
  process.on('message', () => process.send({ open, wrong }));
  process.send('began');
}

const ROLES = { provider, good, slow, idle };
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('disconnect', () => process.exit(0));
  ROLES[process.argv[2]](JSON.parse(process.argv[3]));
}

// ---- what a process takes --------------------------------------------------------------------

export function residentKib(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}
