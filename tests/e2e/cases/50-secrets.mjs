// Canaries: every kind of secret is put in by every way there is, every door is tried with requests
// good and bad, and then none of them may be anywhere but where it belongs.

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { deepEqual, equal, match, ok } from '../lib/assert.mjs';
import { Canaries } from '../lib/canary.mjs';
import { issue, secureAsk } from '../lib/front.mjs';
import { awsKeys, googleKey } from '../lib/vendors.mjs';
import { ask, until } from '../lib/wire.mjs';

const word = (n = 30) => crypto.randomBytes(n).toString('base64url');

// An HTTP request to the admin's unix socket; the whole answer as text.
function overSocket(gw, method, urlPath, body, type = 'application/json') {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(body) };
    const req = http.request({ socketPath: path.join(gw.state, 'sluice.sock'), method, path: urlPath, headers, agent: false }, (res) => {
      let text = `${res.statusCode} ${JSON.stringify(res.headers)}\n`;
      res.setEncoding('utf8').on('data', (d) => { text += d; });
      res.on('end', () => resolve(text));
    });
    req.on('error', reject);
    req.end(body);
  });
}

// A house full of secrets; `said` collects everything that anybody is told.
async function stuffed(t) {
  const c = new Canaries();
  const said = [];
  const tell = (where, text, except) => said.push([where, text, except]);
  const prov = await t.provider();
  const gw = t.gateway();
  const verb = async (args, options = {}) => {
    const p = await gw.cli(args, options);
    tell(`sluice ${args.slice(0, 3).join(' ')}`, p.out + p.err, options.except);
    return p;
  };
  return { c, said, tell, prov, gw, verb };
}

async function addAccounts({ c, prov, gw, verb }, t) {
  const plain = c.add('a key by standard input', `sk-ant-api03-${word()}`);
  const filed = c.add('a key by file', `sk-ant-api03-${word()}`);
  const posted = c.add('a key by the API', `sk-${word()}`);
  const loud = c.add('a key its provider repeats', `sk-ant-api03-${word()}`);
  const aws = awsKeys({ session: true });
  const google = googleKey(`${prov.url}/token`);
  c.add("AWS's secret", aws.secret);
  c.add("AWS's session token", aws.token);
  google.file.private_key.split('\n').filter((l) => l.length === 64).slice(3, 6).forEach((l, i) => c.add(`Google's key, line ${i}`, l));
  const access = c.add('an access token', `sk-ant-oat01-${word()}`);
  const refresh = c.add('a refresh token', `sk-ant-ort01-${word()}`);
  const echo = { status: 401, error: { type: 'authentication_error', message: `no such key: ${loud} (Bearer ${loud})` }, headers: { 'x-debug': loud } };
  await prov.accounts({ [plain]: { name: 'plain' }, [filed]: { name: 'filed' }, [posted]: { name: 'posted', dialect: 'openai', flavor: 'compatible' },
    [loud]: { name: 'loud', plans: [echo] }, [access]: { name: 'plan', bearer: true },
    [aws.id]: { name: 'aws', strict: true, aws: { ...aws, region: 'us-east-1' } },
    [google.email]: { name: 'google', strict: true, project: 'a-project', location: 'us-east5', google: { publicKey: google.publicKey, keyId: google.file.private_key_id } } });
  const secrets = t.subdir('secrets');
  const file = (name, text) => { const f = path.join(secrets, name); fs.writeFileSync(f, text, { mode: 0o600 }); return f; };
  const add = async (name, kind, args, input) => {
    const p = await verb(['account', 'add', name, '--provider', kind, '--base-url', prov.url, ...args], { input });
    equal(p.code, 0, p.err);
  };
  await add('loud', 'anthropic', ['--secret-file', '-', '--priority', '1'], loud);
  await add('plain', 'anthropic', ['--secret-file', '-', '--priority', '2'], `${plain}\n`);
  await add('filed', 'anthropic', ['--secret-file', file('filed', filed), '--priority', '3']);
  await add('aws', 'bedrock', ['--region', 'us-east-1', '--secret-file', '-', '--priority', '4'], `${aws.id}:${aws.secret}:${aws.token}`);
  await add('google', 'vertex-ai', ['--region', 'us-east5', '--project', 'a-project', '--secret-file', file('google', JSON.stringify(google.file)), '--priority', '5']);
  await add('plan', 'claude-oauth', ['--client-id', 'ours', '--token-url', `${prov.url}/nowhere`, '--token-file', '-', '--priority', '6'],
    JSON.stringify({ access_token: access, refresh_token: refresh, expires_at: Date.now() + 3600000 }));
  return { posted, plain };
}

// Mistakes, each with a secret in it.
async function stumble({ c, gw, tell, verb, prov }) {
  const slip = c.add('a secret in a mistake', `sk-ant-api03-${word()}`);
  for (const args of [['account', 'add', 'x', '--provider', 'anthropic', '--secret', slip], ['account', 'add', 'x', '--provider', 'anthropic', `--secret=${slip}`],
    ['account', 'add', 'x', '--provider', 'anthropic', '--secret-file', '/nowhere'], ['account', 'add', 'x', '--provider', 'anthropic', '--base-url', `https://user:${slip}@host.example`, '--secret-file', '-'],
    ['account', 'add', 'x', '--provider', 'vertex-ai', '--secret-file', '-'],
    ['account', 'import', 'plan', '--token-file', '-'], ['account', 'set', 'plain', '--base-url', `http://u:${slip}@127.0.0.1:1`],
    ['vault', 'rotate', '--new-key-file', '-']]) {
    const p = await verb(args, { input: `${slip}\n` });
    ok(p.code !== 0, args.slice(0, 3).join(' '));
  }
  const bodies = [`{"name":"x","provider":"anthropic","secret":"${slip}"`, `{"name":"x","provider":"nope","secret":"${slip}"}`, `{"name":"x","provider":"anthropic","secrett":"${slip}"}`,
    `{"name":"plain","provider":"anthropic","secret":"${slip}"}`, `{"name":"x","provider":"anthropic","secret":{"key":"${slip}"}}`, `{"name":"x","provider":"anthropic","base_url":"ftp://u:${slip}@h","secret":"a"}`,
    `${slip}`, `{"name":"x","provider":"anthropic","secret":"${`${slip} `.repeat(800)}"}`];
  for (const body of bodies) {
    const a = await overSocket(gw, 'POST', '/api/accounts', body);
    ok(!a.startsWith('200'), body.slice(0, 60));
    tell(`the API's answer to ${body.slice(0, 30)}`, a);
  }
  for (const urlPath of [`/api/accounts?secret=${slip}`, `/api/status?token=${slip}`]) tell(urlPath.slice(0, 20), await overSocket(gw, 'GET', urlPath));
  // clients' mistakes: what they present is nobody else's business either
  const vendor = c.add("a provider's key that a client sends", `sk-ant-api03-${word()}`);
  const wrong = c.add('a wrong gateway key', `slc_${word(6)}_${word(32)}`);
  const asked = [{ headers: { 'x-api-key': vendor } }, { headers: { authorization: `Bearer ${vendor}` } }, { headers: { 'x-api-key': wrong } }, { headers: { authorization: `Basic ${Buffer.from(`u:${wrong}`).toString('base64')}` } },
    { path: `/v1/messages?key=${wrong}`, headers: {} }, { path: '/v1beta/models/gemini-3-pro:generateContent', headers: { 'x-goog-api-key': wrong } }, { path: '/openai/v1/chat/completions', headers: { 'api-key': wrong } },
    { headers: { 'x-api-key': `${wrong}\u00e9` } }, { headers: { 'x-api-key': wrong, cookie: `session=${wrong}` } }];
  for (const [i, { path: urlPath = '/v1/messages', headers }] of asked.entries()) {
    const a = await ask(gw.target, 'POST', urlPath, { host: 'localhost', 'content-type': 'application/json', 'anthropic-version': '2023-06-01', ...headers }, message());
    ok(a.status >= 400, `${urlPath}: ${a.status}`);
    tell(`the answer to bad request ${i}`, a.raw + a.text);
  }
  for (const r of await prov.requests()) for (const s of [vendor, wrong, slip]) ok(!(JSON.stringify(r.headers) + r.url).includes(s), 'it went to a provider');
}

// Everything that can be read.
async function look({ gw, tell, verb }) {
  for (const args of [['status'], ['account', 'list'], ['provider', 'list'], ['group', 'list'], ['key', 'list'], ['requests'], ['config', 'check'], ['route', 'explain', '--model', 'claude-sonnet-4-6'],
    ...['plain', 'filed', 'loud', 'aws', 'google', 'plan'].map((n) => ['account', 'show', n]), ['account', 'test', 'loud'], ['account', 'test', 'plain']]) {
    await verb(args);
    await verb([...args, '--json']);
  }
  const { requests } = await gw.json(['requests']);
  for (const r of requests.slice(0, 12)) {
    await verb(['requests', 'show', r.id]);
    await verb(['requests', 'show', r.id, '--json']);
  }
  for (const p of ['/api/status', '/api/accounts', '/api/accounts/plain', '/api/accounts/plan', '/api/keys', '/api/groups', '/api/groups/default', '/api/providers', '/api/requests', '/api/nothing',
    '/api/route/explain?model=claude-sonnet-4-6', '/metrics', '/']) tell(`GET ${p}`, await overSocket(gw, 'GET', p));
  for (const args of [['--help'], ['serve', '--help'], ['account', 'add', '--help'], ['help', 'account', 'import'], ['version'], ['nonsense']]) await verb(args);
}

test('secrets: none is anywhere but where it belongs', { timeout: 120000 }, async (t) => {
  const s = await stuffed(t);
  const { c, gw, prov, said, tell, verb } = s;
  const master = c.add('the master key', crypto.randomBytes(32).toString('hex'));
  const token = c.add('the admin token', crypto.randomBytes(24).toString('hex'));
  const found = { id: 'AKIAFOUND', secret: c.add("AWS's secret in the environment", word()) };
  const pair = issue(t, 'tls');
  fs.readFileSync(pair.key, 'latin1').split('\n').filter((l) => l.length > 40).slice(0, 2).forEach((l, i) => c.add(`the TLS key, line ${i}`, l));
  const dir = t.subdir('own');
  fs.writeFileSync(path.join(dir, 'token'), token, { mode: 0o600 });
  const config = { master_key_env: true, admin_listen: '127.0.0.1:0', admin_token_file: path.join(dir, 'token'), admin_tls_cert: pair.cert, admin_tls_key: pair.key, log_level: 'debug' };
  const env = { SLUICE_MASTER_KEY: master, AWS_ACCESS_KEY_ID: found.id, AWS_SECRET_ACCESS_KEY: found.secret };
  Object.assign(gw.env, { SLUICE_MASTER_KEY_ENV: 'true', ...env });
  const { posted } = await addAccounts(s, t);
  const made = await gw.cli(['key', 'add', 'tester', '--json']);
  gw.key = JSON.parse(made.out).key;
  c.add('a gateway key', gw.key.slice(-40));
  await gw.start({ config });

  // over the API, too
  const api = JSON.stringify({ name: 'posted', provider: 'openai-compatible', base_url: `${prov.url}/v1`, secret: posted, priority: 7 });
  const answer = await overSocket(gw, 'POST', '/api/accounts', api);
  match(answer, /^200 /);
  tell('POST /api/accounts', answer);

  // the process itself
  const proc = (name) => fs.readFileSync(`/proc/${gw.proc.pid}/${name}`);
  if (fs.existsSync('/proc/self/cmdline')) {
    tell('/proc/PID/cmdline', proc('cmdline'));
    const before = fs.readdirSync(`/proc/${gw.proc.pid}/task`).map((n) => fs.readFileSync(`/proc/${gw.proc.pid}/task/${n}/children`, 'utf8').trim());
    deepEqual(before.filter(Boolean), [], 'no children');
    let environ = null;
    try { environ = proc('environ'); } catch { /* not even root may, here */ }
    if (environ) tell('/proc/PID/environ', environ, ["AWS's secret in the environment"]);
  }

  // requests that are served, by each account, and refused
  for (const stream of [false, true]) tell('a good answer', (await gw.post(message({ stream }))).text);
  for (const account of ['plain', 'filed', 'loud', 'aws', 'google', 'plan', 'posted']) {
    const a = await gw.post(message({ model: account === 'posted' ? 'some-model' : 'claude-sonnet-4-6' }), { headers: { 'x-sluice-account': account } });
    equal(a.status === 200, account !== 'loud', `${account}: ${a.status} ${a.text}`);
    tell(`the answer of ${account}`, a.raw + a.text);
  }
  const { admin_listen: at } = await gw.json(['status']);
  const port = Number(new URL(at).port);
  for (const headers of [{}, { authorization: `Bearer ${token}` }, { authorization: `Bearer ${token}x` }, { authorization: token }]) {
    const a = await secureAsk(t, gw, 'GET', '/api/status', { port, headers });
    tell('the admin over TLS', a.raw + a.text);
  }
  await stumble(s);
  await look(s);
  await verb(['reload']);
  await verb(['backup', path.join(dir, 'copy.db')]);
  gw.proc.signal('SIGHUP');
  await until(() => /reloaded/.test(gw.logged()), 5000, 'a reload');

  const faults = () => {
    const out = [];
    for (const [where, text, except] of said) out.push(...c.find(where, text, except));
    out.push(...c.find('the log', gw.logged()));
    for (const f of gw.stateFiles()) out.push(...c.find(path.basename(f), fs.readFileSync(f)));
    out.push(...c.find('the backup', fs.readFileSync(path.join(dir, 'copy.db'))));
    return out;
  };
  deepEqual(faults(), [], 'while it runs');
  ok(gw.logged().includes('"level":"debug"'), 'the log tells everything it can');
  match(gw.logged(), /"verb":"backup"/);
  // an end by force: what it says then, and what it leaves
  gw.proc.signal('SIGABRT');
  await gw.proc.exit(10000);
  gw.logs += gw.proc.err + gw.proc.out;
  gw.proc = null;
  deepEqual(faults(), [], 'after a crash');
  deepEqual(fs.readdirSync(gw.dir).filter((f) => /core/.test(f)), [], 'no core');
  for (const f of gw.stateFiles()) equal(fs.statSync(f).mode & 0o077, 0, f);
});

test('secrets: the canary sees what it looks for', async () => {
  const c = new Canaries();
  const value = c.add('it', `sk-ant-${word()}+/=&"é`);
  const b = Buffer.from(value);
  for (const lead of ['', 'a', 'ab', 'abc']) {
    deepEqual(c.find('x', Buffer.concat([Buffer.from(lead), b, Buffer.from('tail')]).toString('base64')), ['it in x'], `base64 behind ${lead.length}`);
  }
  for (const text of [value, JSON.stringify({ value }), encodeURIComponent(value), b.toString('hex'), Buffer.from(`..${value}`), b.toString('base64url'), value.slice(5, -4)]) equal(c.find('x', text).length, 1);
  deepEqual(c.find('x', word()), []);
});
