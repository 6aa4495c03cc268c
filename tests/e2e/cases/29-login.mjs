// Logging in to an account: over the socket, without a daemon, and over the API; with a scripted
// provider that hands out the codes, the tokens and the keys.

import http from 'node:http';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { equal, match, ok } from '../lib/assert.mjs';

const challengeOf = (verifier) => crypto.createHash('sha256').update(verifier).digest('base64url');

// An authorization server: pages are visited by the test, codes are good once and for one verifier.
class Auth {
  constructor(t, gw) {
    Object.assign(this, { t, gw, codes: new Map(), keys: [], asked: [], pairs: [], refuse: null, slow: false });
  }

  static async start(t, gw) {
    const a = new Auth(t, gw);
    a.server = http.createServer((req, res) => {
      let text = '';
      req.on('data', (d) => { text += d; });
      req.on('end', () => {
        a.asked.push({ url: req.url, headers: req.headers, text });
        if (a.slow) return;
        const [status, object] = req.url === '/token' ? a.token(JSON.parse(text)) : a.key(req);
        res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object));
      });
    });
    await new Promise((go) => { a.server.listen(0, '127.0.0.1', go); });
    a.url = `http://127.0.0.1:${a.server.address().port}`;
    t.cleanups.push(() => a.server.closeAllConnections() ?? a.server.close());
    return a;
  }

  secret(what) {
    const s = this.t.secret();
    this.gw.secrets.set(s, what);
    return s;
  }

  // What a person does in the browser: gives CODE#STATE.
  visit(page, { state } = {}) {
    const q = new URL(page).searchParams;
    equal(q.get('response_type'), 'code');
    equal(q.get('code_challenge_method'), 'S256');
    const code = this.secret('a code');
    this.codes.set(code, { challenge: q.get('code_challenge'), state: q.get('state'), redirect: q.get('redirect_uri'),
      client: q.get('client_id') });
    return `${code}#${state ?? q.get('state')}`;
  }

  token(body) {
    if (this.refuse) return this.refuse;
    if (body.grant_type === 'refresh_token') return [400, { error: 'invalid_grant' }];
    const c = this.codes.get(body.code);
    this.codes.delete(body.code);
    if (body.code_verifier) this.gw.secrets.set(body.code_verifier, 'a verifier');
    if (!c || c.challenge !== challengeOf(body.code_verifier) || c.state !== body.state ||
      c.redirect !== body.redirect_uri || c.client !== body.client_id) return [400, { error: 'invalid_grant' }];
    const pair = { access_token: this.secret('an access token'), refresh_token: this.secret('a refresh token') };
    this.pairs.push(pair);
    return [200, { token_type: 'Bearer', expires_in: 28800, ...pair }];
  }

  key(req) {
    const token = /^Bearer (.*)$/.exec(req.headers.authorization ?? '')?.[1];
    if (req.url !== '/make' || !this.pairs.some((p) => p.access_token === token)) return [401, {}];
    const key = this.secret('a key that was made');
    this.keys.push(key);
    return [200, { raw_key: key }];
  }
}

const PAGE = /https:\/\/\S+authorize\?\S+/;

async function setup(t, { provider = 'claude-oauth', start = false } = {}) {
  const prov = await t.provider({});
  const gw = t.gateway();
  const auth = await Auth.start(t, gw);
  const login = ['--client-id', 'a-client-of-ours', '--token-url', `${auth.url}/token`];
  if (provider === 'console') login.push('--key-url', `${auth.url}/make`);
  const added = await gw.ok(['account', 'add', 'sub', '--provider', provider, '--base-url', prov.url, ...login]);
  match(added.out, /next: sluice account login sub/);
  gw.key = await gw.addKey('tester');
  if (start) await gw.start({ args: ['--log-level', 'debug'] }); // what is logged at most holds no secret either
  return { prov, gw, auth };
}

// `account login` as a person uses it: reads the page, brings the answer. `change` spoils the answer.
async function logIn(t, gw, auth, { args = [], change = (x) => x, watch } = {}) {
  const p = t.spawn(t.bin, ['account', 'login', 'sub', ...args, '--state-dir', gw.state], { env: gw.environment() });
  await until(() => PAGE.test(p.out + p.err) || !p.running, 10000, 'the page');
  if (p.running) {
    const answer = change(auth.visit(PAGE.exec(p.out + p.err)[0]));
    p.child.stdin.write(`${answer}\n`);
    if (watch) await watch(p);
  }
  await p.exit(20000);
  gw.outputs += p.out + p.err;
  return p;
}

const trust = (prov, auth) => prov.accounts({ [auth.pairs.at(-1).access_token]: { name: 'sub', bearer: true } });
const show = (gw) => gw.json(['account', 'show', 'sub']);

test('login: over the socket, and the account serves at once', async (t) => {
  const { prov, gw, auth } = await setup(t, { start: true });
  ok((await gw.post(message())).status >= 400, 'nobody can serve yet');
  const p = await logIn(t, gw, auth);
  equal(p.code, 0, p.err);
  match(p.out, /under its provider's terms/);
  match(p.out, /account `sub` has a new token/);
  match(p.out, /expires in 7h59m|expires in 8h00m/);
  await trust(prov, auth);
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).at(-1).key, auth.pairs[0].access_token);
  const [sent] = auth.asked;
  match(sent.headers['user-agent'], /^sluice\//);
  equal(sent.headers['content-type'], 'application/json');
  equal((await show(gw)).token.generation, 1);
  await gw.restart();
  equal((await gw.post(message())).status, 200, 'and after a restart');
});

test('login: without a daemon, from a file and with JSON', async (t) => {
  const { prov, gw, auth } = await setup(t);
  const fifo = path.join(gw.dir, 'answer');
  execFileSync('mkfifo', ['-m', '600', fifo]);
  const p = t.spawn(t.bin, ['account', 'login', 'sub', '--json', '--answer-file', fifo, '--state-dir', gw.state],
    { env: gw.environment() });
  await until(() => PAGE.test(p.err) || !p.running, 10000, 'the page');
  equal(p.out, '', 'standard output is for the object');
  fs.writeFileSync(fifo, auth.visit(PAGE.exec(p.err)[0]));
  equal(await p.exit(), 0, p.err);
  const reply = JSON.parse(p.out);
  equal(reply.state, 'ready');
  equal(reply.token.state, 'held');
  await trust(prov, auth);
  await gw.start({});
  equal((await gw.post(message())).status, 200);
});

test('login: begun over the API, answered later', async (t) => {
  const { prov, gw, auth } = await setup(t, { start: true });
  const first = await gw.json(['account', 'login', 'sub', '--begin']);
  const second = await gw.json(['account', 'login', 'sub', '--begin']);
  const call = (answer) => gw.cli(['account', 'callback', 'sub', '--answer-file', '-', '--json'], { input: answer });
  const old = await call(auth.visit(first.url));
  equal(old.code, 77, 'a later login has taken its place');
  match(old.err, /another login/);
  equal((await call('nonsense')).code, 2);
  const done = await call(`https://platform.claude.com/oauth/code/callback?${new URLSearchParams(
    { code: auth.visit(second.url).split('#')[0], state: second.state })}`);
  equal(done.code, 0, done.err);
  equal(JSON.parse(done.out).state, 'ready');
  equal((await call('a#b')).code, 5, 'it is over');
  await trust(prov, auth);
  equal((await gw.post(message())).status, 200);
  equal(auth.asked.length, 1);
});

test('login: answers and codes that are refused leave the account as it was', { timeout: 120000 }, async (t) => {
  const { prov, gw, auth } = await setup(t, { start: true });
  equal((await logIn(t, gw, auth)).code, 0);
  await trust(prov, auth);
  const wrong = await logIn(t, gw, auth, { change: (a) => a.replace(/#.*/, '#another-state') });
  equal(wrong.code, 77);
  match(wrong.err, /belongs to another login/);
  const made_up = await logIn(t, gw, auth, { change: (a) => `made-up${a.slice(a.indexOf('#'))}` });
  equal(made_up.code, 77);
  match(made_up.err, /refuses the code/);
  const empty = await logIn(t, gw, auth, { change: () => '' });
  equal(empty.code, 2);
  for (const [answer, code, why] of [[[401, { error: 'invalid_client' }], 77, /client id/],
    [[500, {}], 1, /cannot answer now/], [[302, {}], 77, /redirected/], [[200, { access_token: '' }], 1, /not understood/]]) {
    auth.refuse = answer;
    const p = await logIn(t, gw, auth);
    equal(p.code, code, p.err);
    match(p.err, why);
  }
  auth.refuse = null;
  const shown = await show(gw);
  equal(shown.state, 'ready');
  equal(shown.token.generation, 1);
  equal((await gw.post(message())).status, 200);
});

test('login: a dead account comes back with its history', async (t) => {
  const { prov, gw, auth } = await setup(t, { start: true });
  equal((await logIn(t, gw, auth)).code, 0);
  await trust(prov, auth);
  await gw.ok(['account', 'set', 'sub', '--priority', '4', '--quota', 'org']);
  equal((await gw.post(message())).status, 200);
  const { created_at } = await show(gw);
  // the provider refuses the token, and the refresh token too
  await prov.accounts({ [auth.pairs[0].access_token]: { name: 'sub', bearer: true,
    plans: [{ status: 401, error: { type: 'authentication_error', message: 'revoked' } }] } });
  ok((await gw.post(message())).status >= 400);
  equal((await show(gw)).state, 'login');
  match((await gw.ok(['account', 'show', 'sub'])).out, /sluice account login sub/);
  equal((await logIn(t, gw, auth)).code, 0);
  await trust(prov, auth);
  equal((await gw.post(message())).status, 200, 'at once');
  const shown = await show(gw);
  equal(shown.state, 'ready');
  equal(shown.created_at, created_at);
  equal(shown.priority, 4);
  equal(shown.quota, 'org');
  equal(shown.token.generation, 2);
  const rows = await gw.booked(3);
  ok(rows.every((r) => r.account === 'sub' || r.account === null), JSON.stringify(rows.map((r) => r.account)));
});

test('login: the console: a key is made, the tokens are dropped', async (t) => {
  const { prov, gw, auth } = await setup(t, { provider: 'console', start: true });
  equal((await show(gw)).reason, 'no_key');
  const p = await logIn(t, gw, auth);
  equal(p.code, 0, p.err);
  match(p.out, /account `sub` has a new key/);
  await prov.accounts({ [auth.keys[0]]: { name: 'sub' } });
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).at(-1).via, 'x-api-key');
  equal(auth.asked[1].headers['content-type'], 'application/x-www-form-urlencoded');
  equal(auth.asked[1].text, '');
  equal((await show(gw)).token, null);
  await gw.restart();
  equal((await gw.post(message())).status, 200, 'and after a restart');
});

test('login: a person who leaves, and an endpoint that hangs', async (t) => {
  const { gw, auth } = await setup(t, { start: true });
  auth.slow = true;
  const p = await logIn(t, gw, auth, { watch: async (proc) => {
    await until(() => auth.asked.length === 1, 10000, 'the exchange');
    proc.signal('SIGINT');
  } });
  ok(p.code !== 0);
  await until(async () => (await new Promise((go) => { auth.server.getConnections((_, n) => go(n)); })) === 0, 10000,
    'the exchange to be given up');
  auth.slow = false;
  equal((await logIn(t, gw, auth)).code, 0);
  auth.slow = true; // and a stop in the middle of one
  await logIn(t, gw, auth, { watch: async () => {
    await until(() => auth.asked.length === 3, 10000, 'the exchange');
    await gw.stop();
  } });
  equal((await gw.json(['account', 'show', 'sub'])).token.generation, 1);
});

// Every argument of every process is seen by every user: nothing secret is ever in one.
test('login: no secret on a command line', async (t) => {
  const { gw, auth } = await setup(t, { start: true });
  let seen = '';
  const p = await logIn(t, gw, auth, { watch: async (proc) => {
    try { seen += fs.readFileSync(`/proc/${proc.pid}/cmdline`, 'latin1') + fs.readFileSync(`/proc/${proc.pid}/environ`, 'latin1'); } catch { /* gone */ }
    seen += fs.readFileSync(`/proc/${gw.proc.pid}/cmdline`, 'latin1');
  } });
  equal(p.code, 0, p.err);
  ok(seen.includes('serve'));
  for (const [value, what] of gw.secrets) ok(!seen.includes(value), `${what} in a command line`);
  equal((await gw.cli(['account', 'login', 'sub', '--code', 'x'])).code, 2);
});
