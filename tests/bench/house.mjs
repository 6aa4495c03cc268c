// Everything that runs: the upstream, the contestants, the load; on free ports, and ended with us.
//
// A contestant is a process that listens on a plain and on a TLS port and leads to four backs:
//   plain, tls    the upstream over HTTP and over HTTPS
//   slow, fast    streams of the upstream that need no header to be asked for: 40 and 2,000 events/s

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const BACKS = ['plain', 'tls', 'slow', 'fast'];
const FRONTS = ['plain', 'tls'];

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const say = (text) => process.stderr.write(`bench: ${text}\n`);

export function which(name) {
  const dirs = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`.split(':');
  return dirs.map((d) => path.join(d, name)).find((f) => fs.existsSync(f));
}

const children = new Set();
let closing = false;

// Ends what was started, and us.
export function endAll() {
  closing = true;
  for (const c of children) c.kill('SIGKILL');
}

// A child that the kernel ends with us, however we end.
export function run(program, args, options = {}) {
  if (closing) throw new Error('ending');
  const wrap = which('setpriv');
  const argv = wrap ? [wrap, '--pdeathsig', 'KILL', program, ...args] : [program, ...args];
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.out = '';
  child.err = '';
  child.stdout?.on('data', (d) => { child.out += d; child.emit('said', String(d)); });
  child.stderr?.on('data', (d) => { child.err = (child.err + d).slice(-4000); });
  children.add(child);
  child.ended = new Promise((done) => {
    child.on('error', (e) => { children.delete(child); child.err += e; done(127); });
    child.on('close', (code) => { children.delete(child); done(code); });
  });
  return child;
}

export async function end(child, signal = 'SIGTERM') {
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await child.ended;
  clearTimeout(timer);
}

// Waits until what() is true, or the child has ended.
async function until(child, what, ms) {
  for (const late = Date.now() + ms; Date.now() < late; await sleep(5)) {
    if (await what()) return;
    if (child.exitCode !== null || child.signalCode !== null) break;
  }
  throw new Error(`${path.basename(child.spawnfile)} did not start: ${child.err}${child.out}`);
}

function answers(port) {
  return new Promise((done) => {
    const s = net.connect(port, '127.0.0.1');
    s.on('connect', () => { s.destroy(); done(true); });
    s.on('error', () => done(false));
  });
}

// Below the range from which clients get theirs, so that none of them takes it first.
let lastPort = 10000 + (process.pid * 37) % 20000;
export async function freePort() {
  for (;;) {
    lastPort = lastPort >= 32000 ? 10000 : lastPort + 1;
    const free = await new Promise((done) => {
      const s = net.createServer().on('error', () => done(false));
      s.listen(lastPort, '127.0.0.1', () => s.close(() => done(true)));
    });
    if (free) return lastPort;
  }
}

// The process and all below it.
export function tree(pid) {
  const below = [];
  try {
    for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
      const list = fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
      if (list) below.push(...list.split(/\s+/).map(Number));
    }
  } catch { /* it has ended, or the kernel does not tell */ }
  return [pid, ...below.flatMap(tree)];
}

const status = (pid, field) =>
  Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`${field}:\\s+(\\d+)`))?.[1] ?? 0);
export const peakKib = (pids) => pids.reduce((sum, p) => sum + status(p, 'VmHWM'), 0);
export const residentKib = (pids) => pids.reduce((sum, p) => sum + status(p, 'VmRSS'), 0);

// CPU time in ns of the threads of a process: the first, and all others.
export function threadsNs(pid) {
  const each = fs.readdirSync(`/proc/${pid}/task`).map((t) =>
    [Number(t), Number(fs.readFileSync(`/proc/${pid}/task/${t}/schedstat`, 'utf8').split(' ')[0])]);
  const first = each.find(([t]) => t === pid)[1];
  return { loop: first, rest: each.reduce((sum, [, ns]) => sum + ns, 0) - first };
}

export class House {
  constructor(options) {
    Object.assign(this, options); // bin, sluice, descriptors, tls
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
    this.serial = 0;
  }

  at(name) { return path.join(this.dir, name); }

  async open() {
    if (this.tls) {
      execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
        '-nodes', '-keyout', this.at('key.pem'), '-out', this.at('cert.pem'), '-days', '60', '-subj',
        '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
      fs.writeFileSync(this.at('both.pem'),
        fs.readFileSync(this.at('cert.pem'), 'utf8') + fs.readFileSync(this.at('key.pem'), 'utf8'));
    }
    const args = ['plain=any', 'plain=held.25.1', 'plain=held.5.10'];
    if (this.tls) args.push('tls=any', `cert=${this.at('cert.pem')}`, `key=${this.at('key.pem')}`);
    this.upstream = run(path.join(this.bin, 'upstream'), args);
    await until(this.upstream, () => this.upstream.out.includes('\n'), 10000);
    const [plain, slow, fast, tls] = this.upstream.out.trim().split(' ').map(Number);
    this.back = { plain, slow, fast, tls };
    this.prepareSluice();
  }

  async close() {
    if (this.upstream) await end(this.upstream, 'SIGKILL');
    fs.rmSync(this.dir, { recursive: true, force: true });
  }

  backs(tls) { return BACKS.filter((b) => this.back[b] && (tls || b !== 'tls')); }
  fronts(tls) { return tls ? FRONTS : ['plain']; }

  // ---- contestants: all are told to keep connections to the upstream, to pass each event on at once,
  // and to log nothing

  cli(state, ...args) {
    return execFileSync(this.sluice, [...args, '--state-dir', state], { encoding: 'utf8' });
  }

  // One state folder with an account, a group and a key for each back; copied for each start.
  prepareSluice() {
    const state = this.at('state');
    this.key = {};
    fs.writeFileSync(this.at('secret'), 'bench-upstream-key', { mode: 0o600 });
    for (const b of this.backs(this.tls)) {
      this.cli(state, 'group', 'set', b);
      this.cli(state, 'account', 'add', b, '--provider', 'anthropic-compatible', '--base-url',
        `http${b === 'tls' ? 's' : ''}://127.0.0.1:${this.back[b]}`, '--secret-file', this.at('secret'),
        '--group', b);
      this.key[b] = JSON.parse(this.cli(state, 'key', 'add', b, '--group', b, '--json')).key;
    }
  }

  sluiceArgs(state, plain, tls) {
    const args = ['serve', '--listen', `http://127.0.0.1:${plain}`, '--state-dir', state, '--log-level',
      'warn', '--max-connections', '60000'];
    if (tls) {
      args.push('--listen', `https://127.0.0.1:${tls}`, '--tls-cert', this.at('cert.pem'), '--tls-key',
        this.at('key.pem'), '--ca-file', this.at('cert.pem'));
    }
    return args;
  }

  async startSluice(wrap, withTls, program) {
    const state = this.at(`state.${++this.serial}`);
    fs.cpSync(this.at('state'), state, { recursive: true });
    const plain = await freePort();
    const tls = withTls ? await freePort() : 0;
    const argv = [...wrap, program || this.sluice, ...this.sluiceArgs(state, plain, tls)];
    const child = run(argv[0], argv.slice(1), { env: { ...process.env, SLUICE_DRAIN_LEAD: '0' } });
    await until(child, () => child.out.includes('listening'), 60000);
    return { child, state, port: (front) => (front === 'tls' ? tls : plain), key: (back) => this.key[back] };
  }

  async ports(tls) {
    const ports = {};
    for (const f of this.fronts(tls)) {
      ports[f] = {};
      for (const b of this.backs(tls)) ports[f][b] = await freePort();
    }
    return ports;
  }

  async startNginx(wrap, withTls) {
    const ports = await this.ports(withTls);
    const dir = this.at(`nginx.${++this.serial}`);
    fs.mkdirSync(dir);
    const servers = this.fronts(withTls).flatMap((f) => this.backs(withTls).map((b) => `
  server {
    listen 127.0.0.1:${ports[f][b]}${f === 'tls' ? ' ssl' : ''} backlog=8192;
    location / { proxy_pass http${b === 'tls' ? 's' : ''}://${b}; }
  }`));
    const tls = withTls ? `
  ssl_certificate ${this.at('cert.pem')}; ssl_certificate_key ${this.at('key.pem')};
  ssl_protocols TLSv1.2 TLSv1.3;` : '';
    fs.writeFileSync(path.join(dir, 'nginx.conf'), `
worker_processes 1;
daemon off;
master_process off;
pid ${dir}/nginx.pid;
error_log ${dir}/error crit;
worker_rlimit_nofile ${this.descriptors};
events { worker_connections ${this.descriptors * 2}; }
http {
  access_log off;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f;
  uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  client_max_body_size 32m; client_body_buffer_size 1m;
  keepalive_requests 100000000; keepalive_timeout 600s;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
  proxy_read_timeout 600s;${tls}
  ${this.backs(withTls).map((b) => `upstream ${b} { server 127.0.0.1:${this.back[b]}; keepalive 1024; keepalive_requests 100000000; }`).join('\n  ')}
  ${servers.join('')}
}
`);
    const argv = [...wrap, which('nginx'), '-p', dir, '-e', `${dir}/error`, '-c', `${dir}/nginx.conf`];
    const child = run(argv[0], argv.slice(1));
    await until(child, () => answers(ports.plain.plain), 60000);
    return { child, port: (f, b) => ports[f][b], key: () => 'none' };
  }

  async startHaproxy(wrap, withTls) {
    const ports = await this.ports(withTls);
    const cfg = this.at(`haproxy.${++this.serial}.cfg`);
    const fronts = this.fronts(withTls).flatMap((f) => this.backs(withTls).map((b) => `
frontend ${f}-${b}
  bind 127.0.0.1:${ports[f][b]}${f === 'tls' ? ` ssl crt ${this.at('both.pem')}` : ''} backlog 8192
  default_backend ${b}`));
    const backs = this.backs(withTls).map((b) => `
backend ${b}
  server u 127.0.0.1:${this.back[b]}${b === 'tls' ? ' ssl verify none' : ''}`);
    fs.writeFileSync(cfg, `
global
  nbthread 1
  maxconn ${Math.floor((this.descriptors - 100) / 2)}
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-no-delay
${fronts.join('\n')}
${backs.join('\n')}
`);
    const argv = [...wrap, which('haproxy'), '-db', '-f', cfg];
    const child = run(argv[0], argv.slice(1));
    await until(child, () => answers(ports.plain.plain), 60000);
    return { child, port: (f, b) => ports[f][b], key: () => 'none' };
  }

  // A contestant, through a program that watches it if there is one; with TLS only where it is used.
  async start(kind, { wrap = [], tls = false, sluice = '' } = {}) {
    const c = await { sluice: () => this.startSluice(wrap, tls, sluice), nginx: () => this.startNginx(wrap, tls),
      haproxy: () => this.startHaproxy(wrap, tls) }[kind]();
    c.kind = kind;
    c.pids = tree(c.child.pid);
    c.stop = async () => {
      await end(c.child, kind === 'sluice' && wrap.length === 0 ? 'SIGKILL' : 'SIGTERM');
      if (c.state) fs.rmSync(c.state, { recursive: true, force: true });
    };
    return c;
  }

  // The upstream itself, in the place of a contestant.
  direct() {
    return { kind: 'direct', pids: [], port: (front, back) => this.back[front === 'tls' ? 'tls' : back],
      key: () => 'none', stop: async () => {} };
  }

  // ---- load

  // Runs the load generator on a contestant; returns what it has seen. started() is called when
  // measuring begins.
  async load(c, front, back, words, started) {
    const args = Object.entries({ port: c.port(front, back), key: c.key(back), tls: front === 'tls' ? 1 : 0,
      pids: c.pids.join(','), ...words }).map(([k, v]) => `${k}=${v}`);
    const child = run(path.join(this.bin, 'load'), args);
    if (started) child.on('said', (d) => { if (d.includes('holding')) started(child); });
    const patience = Number(words.run_ms ?? 0) + Number(words.warm_ms ?? 0) + (words.requests ? 600000 : 150000);
    const timer = setTimeout(() => child.kill('SIGKILL'), patience);
    const code = await child.ended;
    clearTimeout(timer);
    const line = child.out.trim().split('\n').at(-1);
    if (code !== 0 || !line.startsWith('{')) throw new Error(`${c.kind}: ${child.err} ${child.out}`);
    return JSON.parse(line);
  }
}
