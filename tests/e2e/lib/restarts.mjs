// What the cases about restarts share: a service manager's part, and clients that go on asking.

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { HERE, message } from './harness.mjs';
import { Connection, ask, events, until } from './wire.mjs';
import { writeConfig } from './options.mjs';

// The lines of the log with that message, as objects.
export function logged(gw, msg) {
  return gw.logged().split('\n').filter((l) => l.includes(`"msg":"${msg}"`)).map((l) => JSON.parse(l));
}

export function running(pid) {
  try { process.kill(pid, 0); } catch { return false; }
  // one that has ended and that nobody has asked about is not running
  try { return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')); } catch { return true; }
}

export async function ended(pid, ms = 20000) {
  await until(() => !running(pid), ms, `the end of process ${pid}`);
}

// Opens sockets and starts gateways that get them, see launcher.pl.
export class Manager {
  // sockets: {name: 'address:port'}
  static async start(t, gw, sockets, { config = {}, env = {}, args = [] } = {}) {
    const m = new Manager();
    m.gw = gw;
    m.log = path.join(gw.dir, 'managed.log');
    fs.writeFileSync(m.log, '');
    const file = writeConfig(path.join(gw.dir, 'managed.yaml'), config);
    m.proc = t.spawn('perl', [path.join(HERE, 'lib/launcher.pl'),
      ...Object.entries(sockets).map(([n, at]) => `${n}=${at}`), '--', t.bin, 'serve',
      '--state-dir', gw.state, '--config', file, ...args],
    { env: gw.environment({ LAUNCHER_LOG: m.log, ...env }) });
    t.cleanups.push(() => m.leave());
    await until(() => m.lines('socket').length === Object.keys(sockets).length || !m.proc.running, 10000, 'the sockets');
    if (!m.proc.running) throw new Error(m.proc.err);
    m.ports = Object.fromEntries(m.lines('socket').map(([n, p]) => [n, Number(p)]));
    return m;
  }

  lines(word) {
    return this.proc.out.split('\n').filter((l) => l.startsWith(`${word} `)).map((l) => l.split(' ').slice(1));
  }

  said() { return fs.readFileSync(this.log, 'utf8'); }

  tell(line) { this.proc.child.stdin.write(`${line}\n`); }

  get pid() { return Number(this.lines('started').at(-1)?.[0]); }

  exited(pid) { return this.lines('exited').find(([p]) => Number(p) === pid)?.[1]; }

  // Starts one more process and waits until it serves, or has ended.
  async serve() {
    const before = this.lines('started').length;
    const at = this.said().length;
    this.tell('start');
    await until(() => this.lines('started').length > before, 5000, 'a process');
    const { pid } = this;
    await until(() => /"msg":"sandbox closed"|STATUS|no gateway key|"msg":"listening"/.test(this.said().slice(at)) || this.exited(pid), 20000, 'its doors');
    return pid;
  }

  async stop(signal = 'TERM') {
    const { pid } = this;
    this.tell(`signal ${signal}`);
    await until(() => this.exited(pid) !== undefined, 20000, 'its end');
    return this.exited(pid);
  }

  leave() {
    if (this.proc.running && this.pid && this.exited(this.pid) === undefined) {
      try { process.kill(this.pid, 'SIGKILL'); } catch { /* gone */ }
    }
    this.proc.signal('SIGKILL');
  }
}

// Clients that ask without a pause: new connections, kept ones and streams. What went wrong is in
// `wrong`; `sent` counts what was asked, `booked` how many records there must be.
export class Traffic {
  constructor(target, key, { fresh = 8, kept = 4, streams = 0, pace = 0 } = {}) {
    Object.assign(this, { target, pace, sent: 0, done: 0, wrong: [], told: 0, over: false });
    this.headers = { 'x-api-key': key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' };
    this.agent = new http.Agent({ keepAlive: true });
    this.all = [];
    for (let i = 0; i < fresh; i++) this.all.push(this.client((b) => this.fresh(b)));
    for (let i = 0; i < kept; i++) this.all.push(this.client((b) => this.kept(b)));
    for (let i = 0; i < streams; i++) this.all.push(this.client((b) => this.stream(b), { stream: true }));
  }

  async fresh(body) {
    return ask(this.target, 'POST', '/v1/messages', { ...this.headers, connection: 'close' }, body, 60000);
  }

  kept(body) {
    return new Promise((go, no) => {
      const req = http.request({ ...this.target, path: '/v1/messages', method: 'POST', headers: this.headers,
        agent: this.agent }, (res) => {
        let text = '';
        res.setEncoding('utf8').on('data', (d) => { text += d; });
        res.on('end', () => go({ status: res.statusCode, complete: res.complete, text })).on('error', no);
      });
      req.on('error', no);
      req.end(body);
    });
  }

  // A stream may end with an error event, which a client understands; it may not just end.
  async stream(body) {
    const c = new Connection(this.target);
    try {
      c.request('POST', '/v1/messages', { ...this.headers, connection: 'close' }, body);
      const a = await c.answer(0, 120000);
      const last = events(a.body).at(-1)?.event;
      if (!a.complete && a.status === 200 && last === 'error') {
        this.told++;
        return { status: 200, complete: true };
      }
      return a.complete && last !== 'message_stop' && a.status === 200 ? { status: 200, text: 'no terminal event', complete: false } : a;
    } finally { c.leave(); }
  }

  async client(send, extra = {}) {
    while (!this.over) {
      const n = this.sent++;
      try {
        const r = await send(message({ stream: n % 4 === 0, text: `Talk ${n}`, ...extra }));
        if (r.status !== 200 || r.complete === false) this.wrong.push(`${n}: ${r.status} ${String(r.text).slice(0, 300)}`);
      } catch (e) { this.wrong.push(`${n}: ${e.code ?? ''} ${e.message}`); }
      this.done++;
      if (this.pace) await new Promise((go) => { setTimeout(go, this.pace); });
    }
  }

  async end() {
    this.over = true;
    await Promise.all(this.all);
    this.agent.destroy();
  }
}

// The admin's API, without a process for each question.
export function admin(gw, method, urlPath, body) {
  return new Promise((go, no) => {
    const req = http.request({ socketPath: path.join(gw.state, 'sluice.sock'), agent: false, method, path: urlPath,
      headers: { host: 'sluice', 'content-type': 'application/json' } }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (d) => { text += d; });
      res.on('end', () => go({ status: res.statusCode, text, json: () => JSON.parse(text) })).on('error', no);
    });
    req.on('error', no);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

// How many requests are booked in the gateway's folder.
export async function countBooked(gw) {
  const ids = new Set();
  for (let before = 0; ;) {
    const { requests } = (await admin(gw, 'GET', `/api/requests?limit=1000${before ? `&before=${before}` : ''}`)).json();
    for (const r of requests) ids.add(r.id);
    if (requests.length < 1000) return ids.size;
    before = Math.min(...requests.map((r) => r.row));
  }
}

export async function allBooked(gw, n, ms = 15000) {
  let have = 0;
  await until(async () => {
    have = await countBooked(gw).catch(() => have);
    return have >= n;
  }, ms, 'the records').catch(() => { throw new Error(`${have} records, not ${n}`); });
  if (have !== n) throw new Error(`${have} records, not ${n}`);
}

// A service manager's notification socket. Node has no datagrams over unix sockets, perl has.
export class Listener {
  static async start(t) {
    const l = new Listener();
    l.path = path.join(fs.mkdtempSync('/tmp/sluice-n-'), 'notify');
    t.cleanups.push(() => fs.rmSync(path.dirname(l.path), { recursive: true, force: true }));
    const script = 'use Socket; $| = 1; socket(my $s, PF_UNIX, SOCK_DGRAM, 0) or die; '
      + 'bind($s, pack_sockaddr_un($ARGV[0])) or die; print "open\\n"; '
      + 'while (defined recv($s, my $m, 8192, 0)) { $m =~ s/\\n/\\t/g; print "$m\\n" }';
    l.proc = t.spawn('perl', ['-e', script, l.path]);
    await until(() => l.proc.out.startsWith('open\n') || !l.proc.running, 5000, 'the notification socket');
    if (!l.proc.running) t.skip(`no perl here to play systemd: ${l.proc.err.slice(0, 80)}`);
    l.at = 0;
    return l;
  }

  // Each message as an object of its lines.
  get all() {
    return this.proc.out.split('\n').slice(1, -1).map((m) => Object.fromEntries(m.split('\t')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])));
  }

  // The next message, behind those that were waited for, that is like this.
  wait(probe, what = 'a notification', ms = 8000) {
    return until(() => {
      const all = this.all;
      const i = all.findIndex((m, k) => k >= this.at && probe(m));
      if (i >= 0) this.at = i + 1;
      return all[i];
    }, ms, what);
  }
}
