// The sample configurations of tests/e2e/balancers, with other addresses, in front of the gateway.
// scripts/bootstrap --tests installs the balancers if it can; one that is not there is a skipped case.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { HERE, message, test } from '../lib/harness.mjs';
import { equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { issue } from '../lib/front.mjs';
import { freePort, program } from '../lib/programs.mjs';
import { Connection, events, until } from '../lib/wire.mjs';

// The client comes from another address than the balancer, where the system lets it.
const CLIENT = process.env.SLUICE_E2E_ADDRESS ?? '127.0.0.1';

// The sample with `changes` [from, to]; each must be found.
function sample(t, name, changes) {
  let text = fs.readFileSync(path.join(HERE, 'balancers', name), 'utf8');
  for (const [from, to] of changes) {
    ok(text.includes(from), `${name} has ${from}`);
    text = text.replaceAll(from, to);
  }
  const file = path.join(t.dir, name);
  fs.writeFileSync(file, text);
  return file;
}

async function client(t, port, ca) {
  const raw = net.connect({ port, host: '127.0.0.1', localAddress: CLIENT });
  const socket = tls.connect({ socket: raw, servername: 'localhost', ca: fs.readFileSync(ca), ALPNProtocols: ['http/1.1'] });
  const c = t.track(new Connection({ port, host: 'localhost', socket }));
  await until(() => socket.authorized || c.ended, 5000, 'a handshake');
  ok(socket.authorized, String(c.error));
  return c;
}

const head = (gw) => ({ 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' });

// What must hold behind each of them.
async function check(t, { gw, prov, plan }, port) {
  const { ca } = t.shared.certs;
  await until(async () => {
    const c = await client(t, port, ca).catch(() => null);
    const a = c && await c.request('GET', '/readyz').answer();
    c?.leave();
    return a?.status === 200;
  }, 15000, 'the balancer');
  // one connection, many requests: no reused one is dead
  const c = await client(t, port, ca);
  for (let i = 0; i < 30; i++) {
    const body = message({ text: `number ${i}` });
    const a = await c.request('POST', '/v1/messages', head(gw), body).answer(i);
    equal(a.status, 200, a.text);
    const seen = (await prov.requests()).pop();
    sameBytes(seen.body, body, 'the request');
    sameBytes(a.body, seen.sent, 'the answer');
  }
  for (const row of await gw.booked(30)) match(row.client, new RegExp(`^${CLIENT.replaceAll('.', '\\.')}(:|$)`));
  equal((await prov.requests()).length, 30, 'nothing was sent twice');
  c.leave();
  // events go on as they come
  await plan('a', [{ gate: 3 }]);
  const s = await client(t, port, ca);
  s.request('POST', '/v1/messages', head(gw), message({ stream: true }));
  equal((await s.head()).status, 200);
  await until(() => events(s.body()).length >= 3, 5000, 'three events while the provider holds the fourth');
  await prov.release();
  const a = await s.answer();
  ok(a.complete);
  match(a.text, /message_stop/);
  s.leave();
  // a client that leaves is noticed behind the balancer
  await plan('a', [{ gate: 3 }]);
  const gone = await client(t, port, ca);
  gone.request('POST', '/v1/messages', head(gw), message({ stream: true }));
  await until(() => events(gone.body()).length >= 2, 5000, 'events');
  gone.leave();
  await prov.waitState('aborted');
}

test('balancers: HAProxy, TLS and PROXY v2', { timeout: 60000 }, async (t) => {
  const bin = program(t, 'haproxy');
  const pair = issue(t, 'front');
  const pem = path.join(t.dir, 'haproxy.pem');
  fs.writeFileSync(pem, fs.readFileSync(pair.cert, 'utf8') + fs.readFileSync(pair.key, 'utf8'), { mode: 0o600 });
  const s = await t.setup({ listen: ['proxy+http://127.0.0.1:0'], args: ['--trusted-proxies', '127.0.0.1'] });
  const port = await freePort();
  const file = sample(t, 'haproxy.cfg', [['bind :8443', `bind 127.0.0.1:${port}`], ['/etc/haproxy/sluice.pem', pem], ['10.0.0.11:8080', `127.0.0.1:${s.gw.port}`]]);
  execFileSync(bin, ['-c', '-f', file], { stdio: 'pipe' });
  const p = t.spawn(bin, ['-db', '-f', file]);
  await check(t, s, port);
  // it drains: the balancer sends nobody any more, and says so itself
  s.gw.proc.signal('SIGTERM');
  equal(await s.gw.proc.exit(), 0);
  p.signal('SIGTERM');
});

function nginx(t, file) {
  const bin = program(t, 'nginx');
  const p = t.spawn(bin, ['-p', t.dir, '-c', file, '-e', 'stderr', '-g', `daemon off; master_process off; pid ${path.join(t.dir, 'nginx.pid')};`]);
  t.cleanups.push(() => p.signal('SIGTERM'));
  return p;
}

test('balancers: nginx, TLS and x-forwarded-for', { timeout: 60000 }, async (t) => {
  program(t, 'nginx');
  const pair = issue(t, 'front');
  const s = await t.setup({ args: ['--trusted-proxies', '127.0.0.1'] });
  const port = await freePort();
  const at = (n) => path.join(t.subdir('nginx'), n);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${at(n)};`).join(' ');
  const file = sample(t, 'nginx.conf', [['listen 8443 ssl', `listen 127.0.0.1:${port} ssl`], ['/etc/nginx/sluice.pem', pair.cert],
    ['/etc/nginx/sluice.key', pair.key], ['10.0.0.11:8080', `127.0.0.1:${s.gw.port}`], ['http {', `http { access_log off; ${paths}`]]);
  nginx(t, file);
  await check(t, s, port);
  // what a client says of itself counts for nothing
  const c = await client(t, port, t.shared.certs.ca);
  const n = (await s.gw.records()).length;
  await c.request('POST', '/v1/messages', { ...head(s.gw), 'x-forwarded-for': '203.0.113.1' }, message()).answer();
  const rows = await s.gw.booked(n + 1);
  ok(rows.every((r) => !r.client.startsWith('203.')), 'the client is who connected');
});

test('balancers: nginx passes bytes on, TLS in the gateway', { timeout: 60000 }, async (t) => {
  program(t, 'nginx');
  const so = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules'].map((d) => path.join(d, 'ngx_stream_module.so')).find((f) => fs.existsSync(f));
  if (!so) t.skip('the stream module of nginx is not installed');
  const pair = issue(t, 'front');
  const s = await t.setup({ listen: ['proxy+https://127.0.0.1:0'], args: ['--trusted-proxies', '127.0.0.1', '--tls-cert', pair.cert, '--tls-key', pair.key] });
  const port = await freePort();
  const file = sample(t, 'nginx-stream.conf', [['modules/ngx_stream_module.so', so], ['listen 8443', `listen 127.0.0.1:${port}`], ['10.0.0.11:8443', `127.0.0.1:${s.gw.port}`]]);
  nginx(t, file);
  await check(t, s, port);
});
