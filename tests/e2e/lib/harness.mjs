// What a case is given: providers, gateways, clients and a folder of its own; and the checks that
// hold for every case: no credential where it does not belong, no sanitizer report, a clean exit.

import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection, ask, until } from './wire.mjs';
import { writeConfig } from './options.mjs';

export const HERE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const SANITIZER = /AddressSanitizer|ThreadSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed/;

export const cases = [];

// Registers a case. Options: timeout (ms), direct (needs no gateway), root (needs to be root).
export function test(name, options, fn) {
  if (typeof options === 'function') return test(name, {}, options);
  cases.push({ name, timeout: 60000, ...options, fn });
  return undefined;
}

export class Skip extends Error {}

// ---- processes -------------------------------------------------------------------------------

export class Proc {
  constructor(command, args, options = {}) {
    this.out = '';
    this.err = '';
    this.code = undefined;
    this.command = [path.basename(command), ...args].join(' ');
    this.child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...options });
    this.pid = this.child.pid;
    this.group = options.detached === true;
    this.child.stdin.on('error', () => {});
    this.child.stdout.on('data', (d) => { this.out += d; });
    this.child.stderr.on('data', (d) => { this.err += d; });
    this.done = new Promise((go) => {
      this.child.on('error', (e) => { this.err += `${e}\n`; this.code ??= 127; go(this); });
      this.child.on('close', (code, signal) => { this.code ??= code ?? signal; go(this); });
    });
    if (options.input !== undefined) this.child.stdin.end(options.input);
  }

  get running() { return this.code === undefined; }

  signal(name) {
    if (!this.running) return;
    try { process.kill(this.group ? -this.pid : this.pid, name); } catch { /* gone */ }
  }

  async exit(ms = 20000) {
    await until(() => !this.running, ms, `the end of: ${this.command}`);
    return this.code;
  }
}

// ---- the provider ----------------------------------------------------------------------------

export class Provider {
  static async start(t, options = {}) {
    const p = new Provider();
    const args = [path.join(HERE, 'provider.mjs')];
    if (options.tls) args.push('--cert', options.tls.cert, '--key', options.tls.key);
    if (options.host) args.push('--host', options.host);
    if (options.port) args.push('--port', String(options.port));
    if (options.publicUrl) args.push('--public-url', options.publicUrl);
    p.proc = t.spawn(process.execPath, args);
    await until(() => p.proc.out.includes('\n') || !p.proc.running, 10000, 'the provider');
    Object.assign(p, JSON.parse(p.proc.out));
    p.tls = Boolean(options.tls);
    p.url = `${p.tls ? 'https' : 'http'}://${options.name ?? (p.tls ? 'localhost' : '127.0.0.1')}:${p.port}`;
    t.providers.push(p);
    return p;
  }

  call(method, verb, body) {
    return new Promise((resolve, reject) => {
      const req = http.request({ port: this.control, host: '127.0.0.1', path: verb, method, agent: false }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (d) => { text += d; });
        res.on('end', () => resolve(JSON.parse(text)));
      });
      req.on('error', reject);
      req.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  accounts(map) { return this.call('POST', '/accounts', map); }

  async requests(pick = () => true) {
    const { requests } = await this.call('GET', '/requests');
    for (const r of requests) {
      r.body = r.body === null ? null : Buffer.from(r.body, 'base64');
      r.sent = Buffer.from(r.sent, 'base64');
      r.header = (n) => r.headers.find(([k]) => k.toLowerCase() === n)?.[1];
      r.names = r.headers.map(([k]) => k.toLowerCase());
    }
    return requests.filter(pick);
  }

  async clientErrors() { return (await this.call('GET', '/requests')).clientErrors; }

  // Waits for a request in the given state ('held', 'aborted', ...).
  waitState(state, ms = 5000) {
    return until(async () => (await this.requests((r) => r.state === state))[0], ms, `a request '${state}' at the provider`);
  }

  release() { return this.call('POST', '/release'); }
  connections() { return this.call('GET', '/connections'); }
}

// ---- the gateway -----------------------------------------------------------------------------

export class Gateway {
  constructor(t, dir) {
    this.t = t;
    this.dir = dir;
    this.state = path.join(dir, 'state');
    this.env = {};
    this.secrets = new Map(); // what must never be found: value -> what it is
    this.logs = '';
    this.outputs = '';
  }

  environment(extra) {
    return { PATH: process.env.PATH, HOME: this.dir, LANG: 'C.UTF-8', TZ: 'UTC',
      SLUICE_DRAIN_LEAD: '0', // no test waits for a balancer, unless it is about that
      ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:quarantine_size_mb=16',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1', ...this.env, ...extra };
  }

  // Runs a CLI verb on this state folder; `--state-dir` is added.
  async cli(args, { input = '', ms = 20000, env = {} } = {}) {
    const p = this.t.spawn(this.t.bin, [...args, '--state-dir', this.state],
      { input, env: this.environment(env) });
    await p.exit(ms);
    if (!args.includes('add')) this.outputs += p.out + p.err;
    if (SANITIZER.test(p.err)) throw new Error(`sanitizer report in ${p.command}:\n${p.err}`);
    return p;
  }

  async ok(args, options) {
    const p = await this.cli(args, options);
    if (p.code !== 0) throw new Error(`${p.command}: exit ${p.code}\n${p.out}${p.err}`);
    return p;
  }

  async json(args, options) {
    const p = await this.ok([...args, '--json'], options);
    try { return JSON.parse(p.out); } catch {
      throw new Error(`${p.command}: no JSON: ${p.out.slice(0, 400)}`);
    }
  }

  async addAccount(a) {
    const args = ['account', 'add', a.name, '--provider', a.kind ?? 'anthropic',
      '--base-url', a.url, '--secret-file', '-'];
    if (a.priority !== undefined) args.push('--priority', String(a.priority));
    if (a.weight !== undefined) args.push('--weight', String(a.weight));
    this.secrets.set(a.secret, `secret of account ${a.name}`);
    return this.ok(args, { input: `${a.secret}\n` });
  }

  async addKey(name) {
    const { key } = await this.json(['key', 'add', name]);
    this.secrets.set(key, `client key ${name}`);
    return key;
  }

  // options: listen [addresses], config {..}, args [..], env {..}, wrap [command..], expectFail
  async start(options = {}) {
    this.options = options;
    Object.assign(this.env, options.env ?? {});
    const args = ['serve', '--state-dir', this.state];
    for (const l of options.listen ?? ['127.0.0.1:0']) args.push('--listen', l);
    if (options.config) {
      this.config = writeConfig(path.join(this.dir, 'sluice.yaml'), options.config);
      args.push('--config', this.config);
    }
    args.push(...(options.args ?? []));
    const [command, ...before] = [...(options.wrap ?? []), this.t.bin];
    this.proc = this.t.spawn(command, [...before, ...args], { env: this.environment() });
    if (options.expectFail) return this;
    const wanted = (options.listen ?? ['127.0.0.1:0']).length;
    await until(() => this.bound().length >= wanted || !this.proc.running, 20000, 'the line "listening on"');
    if (!this.proc.running) throw new Error(`the gateway ended at its start (${this.proc.code}):\n${this.proc.out}${this.proc.err}`);
    [this.url] = this.bound();
    this.port = Number(new URL(this.url).port);
    return this;
  }

  bound() {
    return [...this.proc.out.matchAll(/listening on (https?:\/\/[^\s,]+)/g)].map((m) => m[1].replace(/\/$/, ''));
  }

  get target() { return { port: this.port, host: '127.0.0.1' }; }

  connect() { return this.t.track(new Connection(this.target)); }

  ask(method, urlPath, { key = this.key, headers = {}, body, ms, version = '2023-06-01' } = {}) {
    return ask(this.target, method, urlPath, headersFor(key, version, headers, body), body, ms);
  }

  post(body, options = {}) {
    return this.ask('POST', options.path ?? '/v1/messages', { body, ...options });
  }

  // A request whose answer is watched as it comes.
  open(body, options = {}) {
    const { key = this.key, headers = {}, version = '2023-06-01' } = options;
    return this.connect().request('POST', options.path ?? '/v1/messages',
      headersFor(key, version, headers, body), body);
  }

  // The list of booked requests, newest or oldest first as the program gives it.
  async records() {
    const value = await this.json(['requests']);
    return Array.isArray(value) ? value : Object.values(value).find(Array.isArray) ?? [];
  }

  // Waits for `n` records: they are written by another thread a moment after the answer.
  booked(n, ms = 5000) {
    return until(async () => {
      const rows = await this.records();
      return rows.length >= n ? rows : null;
    }, ms, `${n} booked requests`);
  }

  logged() { return this.logs + (this.proc ? this.proc.err + this.proc.out : ''); }

  // Ends the process: SIGTERM and exit 0 unless told otherwise.
  async stop({ signal = 'SIGTERM', codes = [0], ms = 20000 } = {}) {
    const p = this.proc;
    if (!p) return;
    if (p.running) p.signal(signal);
    const code = await p.exit(ms);
    this.logs += p.err + p.out;
    this.proc = null;
    if (SANITIZER.test(p.err)) throw new Error(`sanitizer report:\n${p.err.slice(-6000)}`);
    if (!codes.includes(code)) throw new Error(`the gateway ended with ${code}, not ${codes}:\n${p.err.slice(-3000)}`);
  }

  restart() {
    return this.stop().then(() => this.start(this.options));
  }

  stateFiles() {
    if (!fs.existsSync(this.state)) return [];
    return fs.readdirSync(this.state, { recursive: true, withFileTypes: true })
      .filter((e) => e.isFile()).map((e) => path.join(e.parentPath ?? e.path, e.name));
  }

  // No account secret and no client key in the folder, the log or what the verbs printed.
  findSecrets() {
    const found = [];
    const look = (where, bytes) => {
      for (const [value, what] of this.secrets) {
        if (bytes.includes(value)) found.push(`${what} in ${where}`);
      }
    };
    for (const f of this.stateFiles()) look(path.basename(f), fs.readFileSync(f).toString('latin1'));
    look('the log', this.logged());
    look('the output of a verb', this.outputs);
    return found;
  }
}

function headersFor(key, version, headers, body) {
  const h = {};
  if (key) h['x-api-key'] = key;
  if (version) h['anthropic-version'] = version;
  if (body !== undefined) h['content-type'] = 'application/json';
  return { ...h, ...headers };
}

// ---- the context of one case -----------------------------------------------------------------

export class Context {
  constructor(c, shared) {
    this.name = c.name;
    this.bin = shared.bin;
    this.shared = shared;
    this.dir = fs.mkdtempSync(path.join(shared.tmp, 'case-'));
    this.procs = [];
    this.providers = [];
    this.gateways = [];
    this.connections = [];
    this.cleanups = [];
  }

  spawn(command, args, options) {
    const p = new Proc(command, args, options);
    this.procs.push(p);
    return p;
  }

  track(c) { this.connections.push(c); return c; }
  skip(why) { throw new Skip(why); }
  provider(options) { return Provider.start(this, options); }

  subdir(name) {
    const d = path.join(this.dir, name);
    fs.mkdirSync(d, { recursive: true });
    return d;
  }

  gateway() {
    const g = new Gateway(this, this.subdir(`gw${this.gateways.length}`));
    this.gateways.push(g);
    return g;
  }

  secret() { return `sk-ant-api03-canary-${crypto.randomBytes(18).toString('base64url')}`; }

  // The usual set-up: one provider holding every account, a gateway with them, one client key.
  // accounts: {name: {priority, weight, kind, plans, models, bearer, provider}}
  async setup({ accounts = { a: {} }, tls, config, listen, env, args, wrap, urlName, start = true } = {}) {
    const prov = await this.provider({ tls, name: urlName });
    const gw = this.gateway();
    const keys = {};
    const list = Object.entries(accounts);
    for (const [i, [name, a]] of list.entries()) {
      keys[name] = this.secret();
      const at = a.provider ?? prov;
      await at.accounts({ [keys[name]]: { name, plans: a.plans, models: a.models, bearer: a.bearer } });
      await gw.addAccount({ name, kind: a.kind, url: a.url ?? at.url, secret: keys[name],
        priority: a.priority ?? i + 1, weight: a.weight });
    }
    gw.key = await gw.addKey('tester');
    if (start) await gw.start({ config, listen, env: env ?? {}, args, wrap });
    return { gw, prov, keys, plan: (name, plans) => prov.accounts({ [keys[name]]: { name, plans, models: accounts[name].models } }) };
  }

  // The checks that hold for every case; then everything is ended and removed.
  async finish(failed) {
    const faults = [];
    const attempt = async (fn) => { try { await fn(); } catch (e) { faults.push(e.message); } };
    for (const c of this.connections) c.leave();
    if (!failed) {
      for (const g of this.gateways) await attempt(() => g.stop());
      for (const g of this.gateways) faults.push(...g.findSecrets());
      for (const p of this.providers) {
        if (p.proc.running) await attempt(() => this.providerClean(p));
      }
    }
    for (const p of this.procs) p.signal('SIGKILL');
    for (const p of this.procs) await attempt(() => p.exit(5000));
    for (const fn of this.cleanups) await attempt(fn);
    return faults;
  }

  async providerClean(p) {
    const keys = this.gateways.flatMap((g) => [...g.secrets].filter(([, w]) => w.startsWith('client key')).map(([v]) => v));
    for (const r of await p.requests()) {
      if (r.state.startsWith('bug')) throw new Error(`provider: ${r.state}`);
      const bytes = JSON.stringify(r.headers) + r.url + (r.body ?? '');
      for (const k of keys) {
        if (bytes.includes(k)) throw new Error(`a client key reached the provider: ${r.method} ${r.url}`);
      }
    }
  }

  report() {
    return this.gateways.map((g) => g.logged()).join('\n').split('\n').slice(-25).join('\n');
  }
}

// ---- request bodies --------------------------------------------------------------------------

export function message(options = {}) {
  const { text = 'Hi', model = 'claude-sonnet-4-6', max_tokens = 256, ...rest } = options;
  return JSON.stringify({ model, max_tokens, messages: [{ role: 'user', content: text }], ...rest });
}
