// Clients come over TLS: versions, names, renewal, client certificates, resumption, slow handshakes.

import fs from 'node:fs';
import net from 'node:net';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { authority, dial, issue, replace, secureAsk } from '../lib/front.mjs';
import { until } from '../lib/wire.mjs';

const head = (gw) => ({ 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' });
const args = (...pairs) => pairs.flatMap((p) => ['--tls-cert', p.cert, '--tls-key', p.key]);

async function serve(t, options = {}) {
  const pair = issue(t, 'first');
  const s = await t.setup({ ...options, args: [...args(pair), ...(options.args ?? [])] });
  return { ...s, pair };
}

// A gateway that must not start: its exit code and what it says.
async function refusedStart(t, list, options = {}) {
  const gw = t.gateway();
  await gw.start({ args: list, expectFail: true, ...options });
  const code = await gw.proc.exit();
  const said = gw.proc.err + gw.proc.out;
  gw.logs += said;
  gw.proc = null;
  return { code, said };
}

test('front: JSON and streams over TLS 1.2 and 1.3', async (t) => {
  const { gw, prov } = await serve(t);
  match(gw.url, /^https:/);
  for (const v of ['TLSv1.2', 'TLSv1.3']) {
    for (const stream of [false, true]) {
      const body = message({ stream, text: `over ${v}` });
      const a = await secureAsk(t, gw, 'POST', '/v1/messages', { headers: head(gw), body, minVersion: v, maxVersion: v });
      equal(a.status, 200, a.error?.message ?? a.text);
      equal(a.protocol, v);
      equal(a.alpn, 'http/1.1');
      match(a.cipher, /GCM|CHACHA20/);
      if (v === 'TLSv1.2') match(a.cipher, /^ECDHE-/);
      const seen = (await prov.requests()).pop();
      sameBytes(a.body, seen.sent, 'the answer');
      sameBytes(seen.body, body, 'the request');
    }
  }
  const big = message({ text: 'z'.repeat(3 << 20) });
  const a = await secureAsk(t, gw, 'POST', '/v1/messages', { headers: head(gw), body: big });
  equal(a.status, 200);
  sameBytes((await prov.requests()).pop().body, big, 'a large body');
  // plain HTTP at this door gets nothing
  const plain = await gw.connect().request('GET', '/livez').answer().catch((e) => ({ status: 0, e }));
  equal(plain.status, 0);
});

test('front: old versions, weak suites and other protocols are refused', async (t) => {
  const { gw } = await serve(t);
  for (const how of [{ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:AES128-GCM-SHA256' }, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA256' },
    { ALPNProtocols: ['h2'] }]) {
    const a = await secureAsk(t, gw, 'GET', '/livez', how);
    ok(a.error, JSON.stringify(how));
  }
  equal((await secureAsk(t, gw, 'GET', '/livez')).status, 200);
  equal((await secureAsk(t, gw, 'GET', '/livez', { ALPNProtocols: undefined })).status, 200);
  const { tls } = await gw.json(['status']);
  ok(tls.refused >= 3, JSON.stringify(tls));
  equal(tls.in_progress, 0);
});

test('front: the certificate is chosen by name', async (t) => {
  const pairs = [issue(t, 'first'), issue(t, 'team', { san: 'DNS:Team.example,DNS:*.team.example' }),
    issue(t, 'exact', { san: 'DNS:x.team.example' })];
  const { gw } = await t.setup({ args: args(...pairs) });
  for (const [name, want] of [['localhost', 'first'], ['team.example', 'team'], ['TEAM.example', 'team'], ['a.team.example', 'team'],
    ['x.team.example', 'exact'], ['b.a.team.example', 'first'], ['nobody.example', 'first'], ['', 'first']]) {
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      const a = await secureAsk(t, gw, 'GET', '/livez', { servername: name, maxVersion });
      equal(a.name, want, `${name}: ${a.name} ${a.error}`);
    }
  }
  const status = await gw.json(['status']);
  equal(status.certificates.length, 3);
  equal(status.certificates[0].expires_in_days, 89);
  match((await gw.ok(['status'])).out, /certificate +localhost .*expires in 89 days/);
});

test('front: a renewed certificate is taken over, a bad one is not', async (t) => {
  const { gw, pair, prov } = await serve(t, { accounts: { a: { plans: [{ hold: 'stream' }] } } });
  const old = await dial(t, gw);
  const first = (await secureAsk(t, gw, 'GET', '/livez')).serial;
  const second = issue(t, 'second');
  replace(pair, second);
  match((await gw.ok(['reload'])).out, /reloaded/);
  const now = await secureAsk(t, gw, 'GET', '/livez');
  ok(now.serial !== first, 'the new one');
  equal(now.name, 'second');
  equal((await old.conn.request('GET', '/livez').answer()).status, 200, 'the old connection lives on');
  const refused = async (by, why) => {
    replace(pair, by);
    const r = await gw.cli(['reload']);
    equal(r.code, 78, r.out + r.err);
    match(r.out + r.err, why);
    equal((await secureAsk(t, gw, 'GET', '/livez')).serial, now.serial, 'the one in force stays');
  };
  await refused(t.shared.certs.expired, /expired on 2020-02-01.*stays/s);
  await refused({ cert: second.cert, key: issue(t, 'third').key }, /does not belong.*stays/s);
  await refused({ cert: gw.config ?? second.key, key: second.key }, /no certificate.*stays/s);
  fs.copyFileSync(second.cert, pair.cert);
  fs.chmodSync(pair.key, 0o644);
  const r = await gw.cli(['reload']);
  match(r.out + r.err, new RegExp(`chmod 600 ${pair.key}`));
  // SIGHUP does the same
  replace(pair, issue(t, 'fourth'));
  gw.proc.signal('SIGHUP');
  await until(async () => (await secureAsk(t, gw, 'GET', '/livez')).name === 'fourth', 5000, 'the fourth certificate');
  ok((await prov.requests()).length === 0);
  old.conn.leave();
});

test('front: what is wrong at the start is said, with exit 78', async (t) => {
  const good = issue(t, 'first');
  const other = issue(t, 'second');
  const { expired } = t.shared.certs;
  fs.chmodSync(expired.key, 0o600);
  for (const [list, why] of [[args(expired), /expired on 2020-02-01/], [args({ cert: good.cert, key: other.key }), /does not belong/],
    [args({ cert: '/none.pem', key: good.key }), /\/none\.pem: cannot be read/], [['--tls-cert', good.cert], /1 certificates and 0 keys/],
    [['--listen', 'https://127.0.0.1:0'], /needs a certificate/], [[...args(good), '--tls-client-auth', 'required'], /tls_client_ca/],
    [[...args(good), '--tls-client-auth', 'maybe'], /off, optional or required/],
    [[...args(good), '--listen', 'http://0.0.0.0:0'], /not a loopback address/], [['--listen', '0.0.0.0:0'], /tls_cert/]]) {
    const { code, said } = await refusedStart(t, list);
    equal(code, 78, said);
    match(said, why);
  }
});

test('front: an open address needs no permission with TLS; plain and TLS side by side', async (t) => {
  const pair = issue(t, 'first');
  const gw = t.gateway();
  await gw.start({ listen: ['0.0.0.0:0', 'http://127.0.0.1:0'], env: { SSL_CERT_PATH: pair.cert, SSL_KEY_PATH: pair.key } });
  const [secure, plain] = gw.bound().map((u) => new URL(u));
  equal(secure.protocol, 'https:');
  equal(plain.protocol, 'http:');
  equal((await secureAsk(t, gw, 'GET', '/livez', { port: Number(secure.port) })).status, 200);
  gw.port = Number(plain.port);
  equal((await gw.ask('GET', '/livez')).status, 200);
});

test('front: clients with certificates', async (t) => {
  const mine = issue(t, 'mine', { usage: 'clientAuth' });
  const server = issue(t, 'server');
  const stranger = issue(t, 'stranger', { usage: 'clientAuth', by: 'other-ca' });
  const ca = `${t.subdir('certs')}/clients.pem`;
  fs.copyFileSync(t.shared.certs.ca, ca);
  const { gw } = await serve(t, { args: ['--tls-client-ca', ca, '--tls-client-auth', 'required'] });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    const get = (client) => secureAsk(t, gw, 'GET', '/livez', { client, maxVersion });
    equal((await get(mine)).status, 200);
    ok((await get()).error, 'none');
    ok((await get(stranger)).error, 'of another authority');
    ok((await get(server)).error, 'not for a client');
    const tickets = await get(mine);
    equal(tickets.reused, false);
  }
  match(gw.logged(), /sent no certificate|unknown issuer/);
  // the authorities change: another one's clients, at once
  fs.copyFileSync(authority(t, 'other-ca'), ca);
  await gw.ok(['reload']);
  ok((await secureAsk(t, gw, 'GET', '/livez', { client: mine })).error);
  equal((await secureAsk(t, gw, 'GET', '/livez', { client: stranger })).status, 200);
  fs.writeFileSync(ca, 'nothing\n');
  equal((await gw.cli(['reload'])).code, 78);
  equal((await secureAsk(t, gw, 'GET', '/livez', { client: stranger })).status, 200, 'the old authorities stay');
});

test('front: a client certificate that may be there must be good', async (t) => {
  const mine = issue(t, 'mine', { usage: 'clientAuth' });
  const stranger = issue(t, 'stranger', { usage: 'clientAuth', by: 'other-ca' });
  const { gw } = await serve(t, { args: ['--tls-client-ca', t.shared.certs.ca, '--tls-client-auth', 'optional'] });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    const get = (client) => secureAsk(t, gw, 'GET', '/livez', { client, maxVersion });
    equal((await get(mine)).status, 200);
    equal((await get()).status, 200);
    ok((await get(stranger)).error);
  }
});

test('front: sessions are resumed, in both versions', async (t) => {
  const { gw } = await serve(t);
  for (const v of ['TLSv1.2', 'TLSv1.3']) {
    const d = await dial(t, gw, { minVersion: v, maxVersion: v });
    equal((await d.conn.request('GET', '/livez').answer()).status, 200);
    const session = await until(() => d.conn.session, 5000, 'a session');
    d.conn.leave();
    for (let i = 0; i < 2; i++) {
      const a = await secureAsk(t, gw, 'GET', '/livez', { session, minVersion: v, maxVersion: v });
      equal(a.status, 200);
      ok(a.reused, v);
    }
  }
  equal((await gw.json(['status'])).tls.resumed, 4);
});

test('front: a handshake has ten seconds', { timeout: 40000 }, async (t) => {
  const { gw } = await serve(t);
  const started = Date.now();
  let closed = 0;
  for (const begin of ['', '\x16\x03\x01\x02\x00', '\x16']) {
    const s = net.connect({ port: gw.port, host: '127.0.0.1' });
    s.on('error', () => {}).on('close', () => { closed += 1; }).resume();
    if (begin) s.write(Buffer.from(begin, 'latin1'));
    t.track({ leave: () => s.destroy() });
  }
  equal((await secureAsk(t, gw, 'GET', '/livez')).status, 200, 'others do not wait');
  await until(() => closed === 3, 20000, 'three closed connections');
  ok(Date.now() - started > 9000, 'not before');
  const { arrivals } = await gw.json(['status']);
  equal(arrivals.now, 0);
  equal(arrivals.failed_handshake, 3);
});

test('front: a drain ends connections over TLS politely', async (t) => {
  const { gw } = await serve(t);
  const d = await dial(t, gw);
  equal((await d.conn.request('GET', '/livez').answer()).status, 200);
  gw.proc.signal('SIGTERM');
  await d.conn.closed();
  equal(d.conn.error, undefined, 'a proper end, not a reset');
  equal(await gw.proc.exit(), 0);
});
