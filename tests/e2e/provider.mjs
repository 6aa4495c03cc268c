#!/usr/bin/env node
// A scripted provider for the end-to-end tests: HTTP or HTTPS, no packages. It speaks the Messages
// API and the others' dialects (lib/dialects): OpenAI's two, Azure, Bedrock, Vertex, Gemini, Ollama.
//
//   node provider.mjs [--port N] [--host ADDR] [--cert FILE --key FILE] [--script FILE]
//                     [--public-url URL] [--stay]
//
// Prints one line of JSON, {"port":..,"control":..}, when it listens. Ends when its standard input
// ends (so that it never outlives the test that started it), unless --stay is given.
//
// Every account key has a list of PLANS; the first one that fits a request and has uses left says
// how it is answered, otherwise the default answer of lib/answers.mjs is given. A plan:
//
//   when     {path, method, model, stream, reused}  all given members must fit (path: prefix)
//   times    how often the plan may be used (default: for ever)
//   status, error {type,message,details,code,param}, headers, body   a plain answer; `headers: null` drops the
//            account's usual limit headers, a member set to null drops that one header
//   blocks, usage, model, size   what a message answer says (size: characters per delta)
//   flavor, quirks, finish, exception   of other dialects, see there
//   gate     hold before event number N until POST /release (then `cut` at N breaks off)
//   hold     true: hold before the response head until POST /release
//   cut      {at: 'head' | 'body' | N, how: 'reset'|'fin'|'stall'|'error'|'end'|'garbage'}
//            'head': before the head; 'body': after it; N: after N events (or N bytes of a JSON body)
//   drip     bytes per write
//   gzip     compress a plain body if the request allows it
//   raw      base64 of bytes written as they are instead of an HTTP answer; then: 'fin'|'reset'|'';
//            a list of them is held before each but the first until POST /release
//
// The control port (JSON over HTTP, loopback): GET /requests, POST /accounts, POST /release,
// POST /forget, GET /connections, POST /close-idle, POST /refuse.

import http from 'node:http';
import https from 'node:https';
import fs from 'node:fs';
import zlib from 'node:zlib';
import { parseArgs } from 'node:util';
import * as answers from './lib/answers.mjs';
import { awsKeysOf, entraToken, gitlabToken, googleToken, presented, refuse } from './lib/credentials.mjs';
import { DIALECTS, find } from './lib/dialects/index.mjs';
import { refuseChecked } from './lib/checked.mjs';

const { values: opt } = parseArgs({ options: {
  port: { type: 'string', default: '0' }, host: { type: 'string', default: '127.0.0.1' },
  cert: { type: 'string' }, key: { type: 'string' }, script: { type: 'string' },
  'public-url': { type: 'string' }, stay: { type: 'boolean', default: false },
} });

const state = {
  accounts: {}, requests: [], sockets: new Set(), connections: 0, seq: 0,
  gates: [], batches: new Map(), files: new Map(), clientErrors: [], tokens: new Map(), responses: new Map(),
};

if (opt.script) setAccounts(JSON.parse(fs.readFileSync(opt.script, 'utf8')));

// {key: {name, plans, models, bearer, dialect, flavor, ...}}; `bearer` demands the key in
// Authorization; `dialect` says what paths mean that several dialects have (/models); other members
// are of the ways to show who one is, see lib/credentials.mjs.
function setAccounts(accounts) {
  for (const [key, a] of Object.entries(accounts)) {
    state.accounts[key] = { ...a, name: a.name ?? key, plans: a.plans ?? [],
      models: a.models ?? answers.DEFAULT_MODELS, only: a.models };
  }
}

// ---- the record of what arrived --------------------------------------------------------------

function record(req) {
  const { key, via } = presented(req, state);
  const entry = {
    n: state.requests.length, conn: req.socket.connId, onConn: ++req.socket.served,
    method: req.method, url: req.url, headers: pairs(req.rawHeaders), key, via, body: null, state: 'reading', at: Date.now(), endedAt: null, sent: [], answered: null,
  };
  state.requests.push(entry);
  return entry;
}

function pairs(raw) {
  const out = [];
  for (let i = 0; i < raw.length; i += 2) out.push([raw[i], raw[i + 1]]);
  return out;
}

function show(e) {
  return { ...e, body: e.body === null ? null : e.body.toString('base64'),
    sent: Buffer.concat(e.sent).toString('base64') };
}

// ---- answering -------------------------------------------------------------------------------

class Answer {
  constructor(req, res, entry, account, plan, where) {
    Object.assign(this, { req, res, entry, account, plan, where, state });
    this.dialect = DIALECTS[where.dialect];
    this.seq = ++state.seq;
    this.id = answers.pad(this.seq);
    this.requestId = `req_${this.id}`;
    this.gone = false;
    res.on('close', () => {
      this.gone = true;
      entry.endedAt = Date.now();
      if (entry.state !== 'done' && entry.state !== 'cut') entry.state = 'aborted';
    });
  }

  headers(extra) {
    const h = { ...this.dialect.headers(this), ...extra };
    if (this.plan.headers === null) {
      for (const k of Object.keys(h)) if (/^(?:anthropic-|x-)ratelimit/.test(k)) delete h[k];
    }
    for (const [k, v] of Object.entries(this.plan.headers ?? {})) {
      if (v === null) delete h[k]; else h[k] = v;
    }
    return h;
  }

  write(bytes) {
    const buf = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes);
    this.entry.sent.push(buf);
    return this.res.write(buf);
  }

  async held() {
    this.entry.state = 'held';
    await new Promise((go) => {
      state.gates.push(go);
      this.res.on('close', go);
    });
    if (!this.gone) this.entry.state = 'answering';
  }

  // Ends the answer badly; true when the caller must not go on.
  cut(how) {
    this.entry.state = 'cut';
    const sock = this.req.socket;
    switch (how) {
      case 'reset': flush(this.res, () => reset(sock)); return;
      case 'fin': flush(this.res, () => sock.end()); return;
      case 'stall': this.entry.state = 'stalled'; return;
      case 'end': this.res.end(); return;
      case 'error':
        this.write(this.dialect.streamError(this, 'Overloaded'));
        this.res.end();
        return;
      case 'garbage':
        this.write(this.dialect.garbage());
        this.res.end();
        return;
      default: throw new Error(`unknown cut ${how}`);
    }
  }

  async run(body) {
    const { plan, entry } = this;
    entry.state = 'answering';
    if (plan.hold) await this.held();
    if (this.gone) return;
    if (plan.raw !== undefined) return this.raw();
    if (plan.cut?.at === 'head') return this.cut(plan.cut.how);
    if (plan.status !== undefined && (plan.error || plan.body !== undefined)) return this.plain();
    if (this.where.call !== null) return this.dialect.run(this, this.where, body);
    const url = new URL(this.req.url, 'http://provider');
    if (this.dialect !== DIALECTS.anthropic) return this.error(404, `Not found: ${url.pathname}`);
    return this.route(url, body);
  }

  async raw() {
    const sock = this.req.socket;
    const parts = [this.plan.raw].flat().map((r) => Buffer.from(r, 'base64'));
    for (const [i, bytes] of parts.entries()) {
      if (i > 0) await this.held();
      if (this.gone) return;
      this.entry.sent.push(bytes);
      await new Promise((go) => { sock.write(bytes, go); });
    }
    this.entry.state = 'done';
    if (this.plan.then === 'fin') sock.end();
    if (this.plan.then === 'reset') reset(sock);
  }

  plain() {
    const { plan } = this;
    if (plan.body !== undefined) {
      return this.send(plan.status, plan.body, { 'content-type': plan.type ?? 'application/json' });
    }
    return this.error(plan.status, plan.error.message, plan.error);
  }

  // `e` may say more: {type, details, code, param}.
  error(status, message, e = {}) {
    return this.json(status, this.dialect.error(this, status, message, e), this.dialect.errorHeaders?.(this, status, e));
  }

  json(status, value, headers = {}) {
    return this.send(status, JSON.stringify(value), { 'content-type': 'application/json', ...headers });
  }

  // A body of known length, sent whole, dripped or broken off.
  async send(status, body, headers) {
    const { plan, res, entry } = this;
    let buf = Buffer.from(body);
    const extra = { ...headers };
    if (plan.gzip && /\bgzip\b/.test(this.req.headers['accept-encoding'] ?? '')) {
      buf = zlib.gzipSync(buf);
      extra['content-encoding'] = 'gzip';
    }
    entry.answered = status;
    res.writeHead(status, this.headers({ ...extra, 'content-length': String(buf.length) }));
    if (this.req.method === 'HEAD') { entry.state = 'done'; return res.end(); }
    if (plan.cut?.at === 'body') { res.flushHeaders(); return this.cut(plan.cut.how); }
    if (typeof plan.cut?.at === 'number') {
      this.write(buf.subarray(0, plan.cut.at));
      return this.cut(plan.cut.how);
    }
    await this.writeOut(buf);
    if (this.gone) return;
    entry.state = 'done';
    res.end();
  }

  async writeOut(buf) {
    const step = this.plan.drip ?? buf.length;
    for (let i = 0; i < buf.length && !this.gone; i += step) {
      if (!this.write(buf.subarray(i, i + step))) await drained(this.res);
      if (this.plan.drip) await turn();
    }
  }

  async stream(events, type = 'text/event-stream; charset=utf-8', headers = {}) {
    const { plan, res, entry } = this;
    entry.answered = plan.status ?? 200;
    res.writeHead(entry.answered, this.headers({ 'content-type': type, 'cache-control': 'no-cache', ...headers }));
    res.flushHeaders();
    for (let i = 0; i < events.length; i++) {
      if (plan.gate === i) await this.held();
      if (this.gone) return;
      if (plan.cut && (plan.cut.at === 'body' ? 0 : plan.cut.at) === i) return this.cut(plan.cut.how);
      await this.writeOut(Buffer.from(events[i]));
    }
    if (this.gone) return;
    if (plan.cut?.at === events.length) return this.cut(plan.cut.how);
    entry.state = 'done';
    res.end();
  }

  // ---- the API ----

  route(url, body) {
    const { method } = this.req;
    const p = url.pathname.replace(/^\/(?:api|anthropic)(?=\/v1\/)/, ''); // where other vendors have it
    const at = (m, re) => (method === m ? re.exec(p) : null);
    let m;
    if (at('POST', /^\/v1\/messages$/)) return this.messages(body, false);
    if (at('POST', /^\/v1\/messages\/count_tokens$/)) return this.messages(body, true);
    if (at('GET', /^\/v1\/models$/)) return this.json(200, answers.modelPage(this.account.models, url.searchParams));
    if ((m = at('GET', /^\/v1\/models\/([^/]+)$/))) return this.model(m[1]);
    if (p.startsWith('/v1/messages/batches')) return this.batches(url, body);
    if (p === '/v1/files' || p.startsWith('/v1/files/')) return this.filesApi(url, body);
    if (at('POST', /^\/v1\/echo$/)) return this.send(200, body, { 'content-type': 'application/octet-stream' });
    return this.error(404, `Not found: ${p}`);
  }

  messages(body, counting) {
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    const bad = answers.validate(req, this.req.headers['anthropic-version'], counting);
    if (bad) return this.error(400, bad);
    const odd = this.account.checked ? refuseChecked(req) : null;
    if (odd) return this.error(400, odd);
    if (req.model.startsWith('no-such')) return this.error(404, `model: ${req.model}`);
    if (counting) return this.json(200, { input_tokens: JSON.stringify(req.messages).length });
    const blocks = this.plan.blocks ?? answers.blocksFor(req, state.seq);
    const usage = this.plan.usage ?? answers.DEFAULT_USAGE;
    const args = [req, blocks, usage, state.seq, this.plan.model];
    if (this.plan.status && !req.stream) return this.json(this.plan.status, answers.messageOf(...args));
    if (!req.stream) return this.json(200, answers.messageOf(...args));
    return this.stream(answers.eventsOf(...args, this.plan.size));
  }

  model(id) {
    if (!this.account.models.includes(id)) return this.error(404, `model: ${id}`);
    return this.json(200, answers.modelInfo(id));
  }

  batches(url, body) {
    const [, id, verb] = /^\/v1\/messages\/batches(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const { method } = this.req;
    if (!id && method === 'POST') {
      const made = { id: `msgbatch_${answers.pad(state.seq)}`, owner: this.account.name,
        requests: JSON.parse(body.toString()).requests, status: 'ended' };
      state.batches.set(made.id, made);
      return this.json(200, this.batch({ ...made, status: 'in_progress' }));
    }
    const mine = [...state.batches.values()].filter((b) => b.owner === this.account.name);
    if (!id && method === 'GET') {
      return this.json(200, { data: mine.map((b) => this.batch(b)), has_more: false,
        first_id: mine[0]?.id ?? null, last_id: mine[mine.length - 1]?.id ?? null });
    }
    const b = mine.find((x) => x.id === id);
    if (!b) return this.error(404, `No batch found with id ${id}`);
    if (verb === 'results' && method === 'GET') {
      const lines = b.requests.map((r) => JSON.stringify({ custom_id: r.custom_id, result: {
        type: 'succeeded', message: answers.messageOf(r.params, answers.blocksFor(r.params, state.seq),
          answers.DEFAULT_USAGE, state.seq) } }));
      return this.send(200, `${lines.join('\n')}\n`, { 'content-type': 'application/x-jsonl' });
    }
    if (verb === 'cancel' && method === 'POST') return this.json(200, this.batch({ ...b, status: 'canceling' }));
    if (!verb && method === 'DELETE') {
      state.batches.delete(id);
      return this.json(200, { id, type: 'message_batch_deleted' });
    }
    if (!verb && method === 'GET') return this.json(200, this.batch(b));
    return this.error(404, `Not found: ${url.pathname}`);
  }

  batch(b) {
    const n = b.requests.length;
    const done = b.status === 'ended';
    return { id: b.id, type: 'message_batch', processing_status: b.status,
      request_counts: { processing: done ? 0 : n, succeeded: done ? n : 0, errored: 0, canceled: 0, expired: 0 },
      ended_at: done ? '2026-11-21T10:00:00Z' : null, created_at: '2026-11-21T09:00:00Z',
      expires_at: '2026-11-22T09:00:00Z', archived_at: null, cancel_initiated_at: null,
      results_url: done ? `${publicUrl()}/v1/messages/batches/${b.id}/results` : null };
  }

  filesApi(url, body) {
    const [, id, verb] = /^\/v1\/files(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const { method } = this.req;
    if (!id && method === 'POST') return this.upload(body);
    const mine = [...state.files.values()].filter((f) => f.owner === this.account.name);
    if (!id && method === 'GET') {
      return this.json(200, { data: mine.map((f) => f.meta), next_page: null, has_more: false,
        first_id: mine[0]?.meta.id ?? null, last_id: mine[mine.length - 1]?.meta.id ?? null });
    }
    const f = mine.find((x) => x.meta.id === id);
    if (!f) return this.error(404, `File not found: ${id}`);
    if (verb === 'content') return this.send(200, f.bytes, { 'content-type': f.meta.mime_type });
    if (method === 'DELETE') {
      state.files.delete(id);
      return this.json(200, { id, type: 'file_deleted' });
    }
    return this.json(200, f.meta);
  }

  upload(body) {
    const boundary = /boundary="?([^";]+)/.exec(this.req.headers['content-type'] ?? '')?.[1];
    if (!boundary) return this.error(400, 'multipart/form-data expected');
    const start = body.indexOf('\r\n\r\n') + 4;
    const end = body.indexOf(`\r\n--${boundary}`, start);
    const head = body.subarray(0, start).toString();
    const bytes = body.subarray(start, end);
    const meta = { id: `file_${answers.pad(state.seq)}`, type: 'file',
      filename: /filename="([^"]*)"/.exec(head)?.[1] ?? 'file', created_at: '2026-11-21T09:00:00Z',
      mime_type: /content-type: *([^\r\n]+)/i.exec(head)?.[1] ?? 'application/octet-stream',
      size_bytes: bytes.length, downloadable: true };
    state.files.set(meta.id, { owner: this.account.name, meta, bytes: Buffer.from(bytes) });
    return this.json(200, meta);
  }
}

// A reset, not a polite end, under TLS too: only the socket below can send one.
function reset(sock) {
  (sock.encrypted ? sock._parent : sock).resetAndDestroy();
  if (sock.encrypted) sock.destroy();
}

// Runs `then` once everything written has been handed to the kernel.
function flush(res, then) {
  setImmediate(() => {
    if (res.writableLength || res.socket?.writableLength) flush(res, then); else then();
  });
}
const drained = (res) => new Promise((go) => { res.once('drain', go); res.once('close', go); });
const turn = () => new Promise((go) => setImmediate(go));

// ---- requests --------------------------------------------------------------------------------

function fits(plan, req, entry, parsed) {
  const w = plan.when ?? {};
  if (plan.times !== undefined && plan.times <= 0) return false;
  if (w.path !== undefined && !req.url.startsWith(w.path)) return false;
  if (w.method !== undefined && w.method !== req.method) return false;
  if (w.reused !== undefined && w.reused !== (entry.onConn > 1)) return false;
  if (w.model !== undefined && parsed?.model !== w.model) return false;
  if (w.stream !== undefined && w.stream !== (parsed?.stream === true)) return false;
  return true;
}

function choose(account, req, entry) {
  let parsed = null;
  try { parsed = JSON.parse(entry.body.toString()); } catch { /* no JSON, no model */ }
  const plan = account.plans.find((p) => fits(p, req, entry, parsed));
  if (!plan) return {};
  if (plan.times !== undefined) plan.times--;
  return plan;
}

// What the token endpoints say; null: the path is none of theirs. Tokens they gave are in the
// control port's list, so that a test can look whether one got lost somewhere.
function tokenAnswer(req, entry, pathname) {
  const entra = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(pathname);
  const gitlab = pathname === '/api/v4/ai/third_party_agents/direct_access';
  const aws = gitlab ? gitlabToken(req, state) : awsKeysOf(req, state, pathname);
  if (aws) { entry.via = 'token endpoint'; return aws; }
  if (req.method !== 'POST' || (!entra && pathname !== '/token')) return null;
  entry.via = 'token endpoint';
  return entra ? entraToken(req, entry.body, state, entra[1]) : googleToken(req, entry.body, state, publicUrl());
}

function onRequest(req, res) {
  const entry = record(req);
  const parts = [];
  req.on('data', (d) => parts.push(d));
  req.on('error', () => { if (entry.state === 'reading') entry.state = 'aborted'; });
  req.on('aborted', () => { if (entry.state === 'reading') entry.state = 'aborted'; });
  req.on('end', () => {
    entry.body = Buffer.concat(parts);
    entry.readAt = Date.now();
    const account = state.accounts[entry.key];
    const url = new URL(req.url, 'http://provider');
    const where = find(req.method, url.pathname, url.searchParams, account?.dialect);
    const token = tokenAnswer(req, entry, url.pathname);
    const refused = token ? null : refuse(entry, account, where.dialect);
    const plan = refused || token ? {} : choose(account, req, entry);
    const answer = new Answer(req, res, entry, account ?? { name: 'nobody' }, plan, where);
    if (token && token[2]) { entry.state = 'done'; return res.writeHead(token[0], { 'content-type': token[2] }).end(token[1]); }
    if (token) return answer.json(...token);
    if (refused) return answer.error(refused.status, refused.message, refused);
    answer.run(entry.body).catch((e) => {
      entry.state = `bug: ${e.stack}`;
      req.socket.destroy();
    });
  });
}

function makeServer() {
  const common = { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, maxHeaderSize: 65536 };
  const s = opt.cert
    ? https.createServer({ ...common, cert: fs.readFileSync(opt.cert), key: fs.readFileSync(opt.key) }, onRequest)
    : http.createServer(common, onRequest);
  const seen = (sock) => {
    sock.connId = ++state.connections;
    sock.served = 0;
    state.sockets.add(sock);
    sock.on('close', () => state.sockets.delete(sock));
    sock.on('error', () => {});
  };
  s.on(opt.cert ? 'secureConnection' : 'connection', seen);
  s.on('tlsClientError', (e) => state.clientErrors.push(String(e.code ?? e.message)));
  s.on('clientError', (e, sock) => {
    state.clientErrors.push(String(e.code ?? e.message));
    sock.destroy();
  });
  s.on('checkContinue', (req, res) => { res.writeContinue(); onRequest(req, res); });
  return s;
}

function publicUrl() {
  return opt['public-url'] ?? `${opt.cert ? 'https' : 'http'}://${opt.host}:${server.address().port}`;
}

// ---- the control port ------------------------------------------------------------------------

const control = {
  'GET /requests': () => ({ requests: state.requests.map(show), clientErrors: state.clientErrors }),
  'POST /accounts': (body) => { setAccounts(body); return {}; },
  'POST /release': () => {
    const gates = state.gates.splice(0);
    gates.forEach((go) => go());
    return { released: gates.length };
  },
  'POST /forget': () => { state.requests.length = 0; return {}; },
  'GET /tokens': () => [...state.tokens.keys()],
  'POST /expire': () => { // every token that was bought
    for (const t of state.tokens.values()) t.until = 0;
    return {};
  },
  'GET /connections': () => ({ open: state.sockets.size, total: state.connections }),
  'POST /close-idle': () => {
    server.closeIdleConnections();
    return {};
  },
  'POST /refuse': () => {
    server.close();
    for (const s of state.sockets) s.destroy();
    return {};
  },
};

const controlServer = http.createServer((req, res) => {
  const parts = [];
  req.on('data', (d) => parts.push(d));
  req.on('end', () => {
    const handler = control[`${req.method} ${req.url}`];
    const body = parts.length ? JSON.parse(Buffer.concat(parts).toString()) : undefined;
    const value = handler ? handler(body) : { error: 'no such verb' };
    res.writeHead(handler ? 200 : 404, { 'content-type': 'application/json' });
    res.end(JSON.stringify(value));
  });
});

const server = makeServer();
server.listen(Number(opt.port), opt.host, () => {
  controlServer.listen(0, '127.0.0.1', () => {
    console.log(JSON.stringify({ port: server.address().port, control: controlServer.address().port }));
  });
});

if (!opt.stay) {
  process.stdin.on('end', () => process.exit(0));
  process.stdin.on('error', () => process.exit(0));
  process.stdin.resume();
}
process.on('SIGTERM', () => process.exit(0));
