// Who may reach the admin: the unix socket by its user, an address by token and certificate, and no
// web page by any name.

import { execFile } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { deepEqual, equal, match, ok } from '../lib/assert.mjs';
import { authority, issue, replace, secureAsk } from '../lib/front.mjs';
import { ask, until } from '../lib/wire.mjs';

const word = () => crypto.randomBytes(24).toString('hex');

function tokenFile(t, token, name = 'admin.token') {
  const file = path.join(t.subdir('admin'), name);
  fs.writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return file;
}

async function adminPort(gw) {
  const { admin_listen: at } = await gw.json(['status']);
  return { url: at, port: Number(new URL(at).port) };
}

// A request to the unix socket: {status, headers, text}.
function overSocket(gw, method, urlPath, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({ socketPath: path.join(gw.state, 'sluice.sock'), method, path: urlPath, headers, agent: false }, (res) => {
      let text = '';
      res.setEncoding('utf8').on('data', (d) => { text += d; });
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, text }));
    });
    req.on('error', reject);
    req.end(body);
  });
}

async function refusedStart(t, config) {
  const gw = t.gateway();
  await gw.start({ config, expectFail: true });
  const code = await gw.proc.exit();
  const said = gw.proc.err + gw.proc.out;
  gw.logs += said;
  gw.proc = null;
  return { code, said };
}

const CORS = /^access-control-/;

test('admin: an address with a token: names, origins, forms, and never a CORS header', async (t) => {
  const token = word();
  const { gw } = await t.setup({ config: { admin_listen: '127.0.0.1:0', admin_token_file: tokenFile(t, token), admin_hosts: ['admin.example.com'] } });
  gw.secrets.set(token, 'the admin token');
  const { url, port } = await adminPort(gw);
  match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const at = { host: '127.0.0.1', port };
  const good = { host: `127.0.0.1:${port}`, authorization: `Bearer ${token}` };
  const post = { ...good, 'content-type': 'application/json' };
  const rows = [
    ['the token', 'GET', '/api/status', good, 200],
    ['no token', 'GET', '/api/status', { host: good.host }, 401],
    ['another token', 'GET', '/api/status', { ...good, authorization: `Bearer ${word()}` }, 401],
    ['an empty one', 'GET', '/api/status', { ...good, authorization: 'Bearer ' }, 401],
    ['its beginning', 'GET', '/api/status', { ...good, authorization: `Bearer ${token.slice(0, -1)}` }, 401],
    ['a client key', 'GET', '/api/status', { ...good, authorization: `Bearer ${gw.key}` }, 401],
    ['in the query', 'GET', `/api/status?token=${'x'.repeat(40)}`, { host: good.host }, 401],
    ['localhost', 'GET', '/api/status', { ...good, host: `localhost:${port}` }, 200],
    ['a name that was given', 'GET', '/api/status', { ...good, host: `Admin.Example.com:${port}` }, 200],
    ['a rebound name', 'GET', '/api/status', { ...good, host: `evil.example:${port}` }, 421],
    ['a name that begins like a number', 'GET', '/api/status', { ...good, host: `127.0.0.1.evil.example:${port}` }, 421],
    ['a name that ends like a good one', 'GET', '/api/status', { ...good, host: 'evil-admin.example.com' }, 421],
    ['its own origin', 'GET', '/api/status', { ...good, origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' }, 200],
    ['another origin', 'GET', '/api/status', { ...good, origin: 'https://evil.example' }, 403],
    ['no origin at all', 'GET', '/api/status', { ...good, origin: 'null' }, 403],
    ['another port', 'GET', '/api/status', { ...good, origin: 'http://127.0.0.1:1' }, 403],
    ['a page elsewhere', 'GET', '/api/status', { ...good, 'sec-fetch-site': 'cross-site' }, 403],
    ['a page nearby', 'GET', '/api/status', { ...good, 'sec-fetch-site': 'same-site' }, 403],
    ['typed in', 'GET', '/api/status', { ...good, 'sec-fetch-site': 'none' }, 200],
    ['a question before', 'OPTIONS', '/api/keys', { ...good, origin: 'https://evil.example', 'access-control-request-method': 'POST' }, 403],
    ['a form', 'POST', '/api/keys', { ...good, 'content-type': 'application/x-www-form-urlencoded' }, 415, 'name=evil'],
    ['plain text', 'POST', '/api/keys', { ...good, 'content-type': 'text/plain' }, 415, '{"name":"evil"}'],
    ['JSON', 'POST', '/api/keys', post, 200, '{"name":"remote"}'],
  ];
  for (const [what, method, urlPath, headers, status, body] of rows) {
    const a = await ask(at, method, urlPath, headers, body);
    equal(a.status, status, `${what}: ${a.status} ${a.text}`);
    deepEqual(a.headers.map(([k]) => k).filter((k) => CORS.test(k)), [], what);
    equal(a.get('x-content-type-options'), 'nosniff');
    if (status === 401) equal(a.get('www-authenticate'), 'Bearer');
    if (status === 200 && urlPath === '/api/keys') gw.secrets.set(a.json().key, 'client key remote');
  }
  const { keys } = await gw.json(['key', 'list']);
  deepEqual(keys.map((k) => k.name).sort(), ['remote', 'tester'], 'nobody else made a key');
  match(gw.logged(), /an admin request is refused/);
  match(gw.logged(), /"verb":"key add","by":"127\.0\.0\.1:\d+"/, 'what changes something is told');
  // the clients' door knows no admin, with or without the token
  equal((await ask(gw.target, 'GET', '/api/status', { host: 'localhost', authorization: `Bearer ${token}` })).status, 404);
  // a body is not waited for when nobody is there
  const slow = await ask(at, 'POST', '/api/keys', { host: good.host, 'content-type': 'application/json', 'content-length': '100000' }, '');
  equal(slow.status, 401);
});

test('admin: an address with certificates, and with both', async (t) => {
  const pair = issue(t, 'door');
  const ada = issue(t, 'ada', { usage: 'clientAuth' });
  const stranger = issue(t, 'stranger', { usage: 'clientAuth', by: 'other-ca' });
  const config = { admin_listen: '127.0.0.1:0', admin_tls_cert: pair.cert, admin_tls_key: pair.key, admin_tls_client_ca: authority(t, 'test-ca') };
  const { gw } = await t.setup({ config });
  let { url, port } = await adminPort(gw);
  match(url, /^https:/);
  equal((await secureAsk(t, gw, 'GET', '/api/status', { port, client: ada })).status, 200);
  ok((await secureAsk(t, gw, 'GET', '/api/status', { port })).error, 'without a certificate');
  ok((await secureAsk(t, gw, 'GET', '/api/status', { port, client: stranger })).error, "another authority's");
  equal((await secureAsk(t, gw, 'GET', '/api/status', { port, client: ada, headers: { origin: 'https://evil.example' } })).status, 403,
    'a browser that has the certificate, on an evil page');
  equal((await secureAsk(t, gw, 'POST', '/api/keys', { port, client: ada, headers: { 'content-type': 'text/plain' }, body: '{"name":"evil"}' })).status, 415);
  // renewed without a restart, also with the sandbox closed
  replace(pair, issue(t, 'renewed'));
  await gw.ok(['reload']);
  const a = await secureAsk(t, gw, 'GET', '/api/status', { port, client: ada });
  equal(a.status, 200, a.error?.message);
  await gw.stop();
  const token = word();
  await gw.start({ config: { ...config, admin_token_file: tokenFile(t, token) } });
  ({ port } = await adminPort(gw));
  equal((await secureAsk(t, gw, 'GET', '/api/status', { port, client: ada })).status, 401, 'the certificate alone');
  equal((await secureAsk(t, gw, 'GET', '/api/status', { port, client: ada, headers: { authorization: `bearer ${token}` } })).status, 200);
});

test('admin: a token is read again, and a bad one leaves the old one', async (t) => {
  const [first, second] = [word(), word()];
  const file = tokenFile(t, first);
  const { gw } = await t.setup({ config: { admin_listen: '127.0.0.1:0', admin_token_file: file } });
  const { port } = await adminPort(gw);
  const tried = async (token) => (await ask({ host: '127.0.0.1', port }, 'GET', '/api/status', { host: 'localhost', authorization: `Bearer ${token}` })).status;
  equal(await tried(first), 200);
  for (const [text, mode] of [['short', 0o600], [second, 0o644], ['two words of thirty-two letters or more', 0o600]]) {
    fs.writeFileSync(file, text);
    fs.chmodSync(file, mode);
    const p = await gw.cli(['reload']);
    ok(p.code !== 0, text);
    match(p.err, /admin_token_file/);
    ok(!p.err.includes(second), 'the token is not in the sentence');
    equal(await tried(first), 200);
  }
  fs.chmodSync(file, 0o600);
  fs.writeFileSync(`${file}.new`, second, { mode: 0o600 });
  fs.renameSync(`${file}.new`, file); // another file of its name
  await gw.ok(['reload']);
  equal(await tried(first), 401);
  equal(await tried(second), 200);
});

test('admin: an address is never open to whoever comes', async (t) => {
  const token = tokenFile(t, word());
  const pair = issue(t, 'pair');
  const loose = tokenFile(t, word(), 'loose.token');
  fs.chmodSync(loose, 0o640);
  const rows = [
    [{ admin_listen: '127.0.0.1:0' }, /admin_token_file, or admin_tls_client_ca/],
    [{ admin_listen: '127.0.0.1:0', admin_tls_cert: pair.cert, admin_tls_key: pair.key }, /could do everything/],
    [{ admin_listen: '0.0.0.0:0', admin_token_file: token }, /not a loopback address/],
    [{ admin_listen: '127.0.0.1.evil.example:1', admin_token_file: token }, /admin/],
    [{ admin_listen: '127.0.0.1', admin_token_file: token }, /has no port/],
    [{ admin_listen: '127.0.0.1:0', admin_token_file: '/nowhere/token' }, /admin_token_file: \/nowhere/],
    [{ admin_listen: '127.0.0.1:0', admin_token_file: loose }, /chmod 600/],
    [{ admin_listen: '127.0.0.1:0', admin_token_file: token, admin_tls_cert: pair.cert }, /one needs the other/],
    [{ admin_listen: '127.0.0.1:0', admin_token_file: token, admin_tls_client_ca: pair.cert }, /needs admin_tls_cert/],
  ];
  for (const [config, says] of rows) {
    const { code, said } = await refusedStart(t, config);
    ok(typeof code === 'number' && code !== 0, `${JSON.stringify(config)}: ${code}`);
    match(said, says);
  }
});

test('admin: the unix socket is for its user, whatever mode it has', async (t) => {
  const { gw } = await t.setup();
  const socket = path.join(gw.state, 'sluice.sock');
  equal(fs.statSync(socket).mode & 0o777, 0o600);
  equal(fs.statSync(gw.state).mode & 0o777, 0o700);
  equal((await overSocket(gw, 'GET', '/api/status')).status, 200);
  for (const headers of [{ origin: 'http://localhost' }, { origin: 'null' }, { 'sec-fetch-site': 'same-site' }, { 'sec-fetch-site': 'cross-site' }]) {
    equal((await overSocket(gw, 'GET', '/api/status', { headers })).status, 403, JSON.stringify(headers));
  }
  if (process.getuid() !== 0) return;
  // every lock but the last is opened: the folders, the socket's mode
  for (let d = gw.state; d.startsWith(t.shared.tmp); d = path.dirname(d)) fs.chmodSync(d, 0o711);
  fs.chmodSync(socket, 0o666);
  const stranger = (uid) => new Promise((resolve) => {
    execFile('setpriv', ['--reuid', String(uid), '--clear-groups', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}',
      '--unix-socket', socket, 'http://localhost/api/status'], (_e, out) => resolve(out));
  });
  equal(await stranger(0), '200', 'this works for our own user');
  equal(await stranger(65534), '000', 'nobody');
  await until(() => /turned away at the admin's socket.*user 65534, process \d+/.test(gw.logged()), 3000, 'a word in the log');
});

test('hosts: clients may say only the names that were given', async (t) => {
  const { gw, prov } = await t.setup({ config: { hosts: ['llm.example.com', '*.gw.example.com'] } });
  const rows = [['llm.example.com', 200], ['LLM.Example.Com:8443', 200], ['llm.example.com.', 200], ['a.gw.example.com', 200], ['gw.example.com', 421],
    ['evil.example', 421], ['llm.example.com.evil.example', 421], ['xllm.example.com', 421], ['10.0.0.1', 421],
    ['localhost', 200], [`127.0.0.1:${gw.port}`, 200], ['[::1]', 200], ['localhost.evil.example', 421], ['127.0.0.1.evil.example', 421]];
  let served = 0;
  for (const [host, status] of rows) {
    const a = await gw.post(message(), { headers: { host } });
    equal(a.status, status, `${host}: ${a.text}`);
    served += status === 200 ? 1 : 0;
    if (status === 421) equal(a.json().type, 'error');
  }
  equal((await prov.requests()).length, served, 'nothing else went out');
  equal((await ask(gw.target, 'GET', '/livez', { host: 'probe' })).status, 200, 'a balancer asks by any name');
  fs.writeFileSync(gw.config, 'hosts: [other.example.com]\n');
  await gw.ok(['reload']);
  equal((await gw.post(message(), { headers: { host: 'llm.example.com' } })).status, 421);
  equal((await gw.post(message(), { headers: { host: 'other.example.com' } })).status, 200);
});
