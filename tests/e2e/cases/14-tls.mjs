// TLS towards the provider: only a certificate that is right in every way is accepted.

import { message, test } from '../lib/harness.mjs';
import { equal, match, ok, sameBytes } from '../lib/assert.mjs';

const trust = (t) => ({ SSL_CERT_FILE: t.shared.certs.ca });

test('tls: JSON and stream through a good certificate', async (t) => {
  const { gw, prov } = await t.setup({ tls: t.shared.certs.good, env: trust(t) });
  const body = message({ text: '[[think]]' });
  const a = await gw.post(body);
  equal(a.status, 200, a.text);
  const s = await gw.post(message({ stream: true }));
  const seen = await prov.requests();
  sameBytes(seen[0].body, body, 'request body');
  sameBytes(a.body, seen[0].sent, 'answer');
  ok(s.complete);
  sameBytes(s.body, seen[1].sent, 'stream');
  equal(seen[1].conn, seen[0].conn, 'the connection is kept');
});

test('tls: an address as the name', async (t) => {
  const prov = await t.provider({ tls: t.shared.certs.good, name: '127.0.0.1' });
  const { gw } = await t.setup({ env: trust(t), accounts: { a: { provider: prov } } });
  const a = await gw.post(message());
  equal(a.status, 200, a.text);
});

for (const [what, cert, reason] of [['a wrong name', 'wrongName', /name|CN|host/i],
  ['an expired certificate', 'expired', /expired/i], ['a self-signed certificate', 'selfSigned', /trust|self|issuer|CA/i],
  ['an unknown authority', 'otherCa', /trust|issuer|unknown|CA/i]]) {
  test(`tls: ${what} is refused with a clear reason`, async (t) => {
    const { gw, prov } = await t.setup({ tls: t.shared.certs[cert], env: trust(t) });
    const a = await gw.post(message());
    ok(a.status >= 500, `status ${a.status}`);
    equal(a.json().type, 'error');
    equal((await prov.requests()).length, 0, 'no request reached the provider');
    match(gw.logged(), reason);
    const tried = await gw.cli(['account', 'test', 'a']);
    ok(tried.code !== 0, 'account test fails');
    match(tried.out + tried.err, reason);
  });
}

test('tls: a bad certificate fails over to a good one', async (t) => {
  const good = await t.provider({ tls: t.shared.certs.good });
  const { gw, prov } = await t.setup({ tls: t.shared.certs.expired, env: trust(t), accounts: { a: {}, b: { provider: good } } });
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200, a.text);
  equal((await prov.requests()).length, 0);
  equal((await good.requests()).length, 1);
});

test('tls: a plain server behind https fails over', async (t) => {
  const plain = await t.provider();
  const good = await t.provider({ tls: t.shared.certs.good });
  const { gw } = await t.setup({ env: trust(t), accounts: {
    a: { provider: plain, url: `https://localhost:${plain.port}` }, b: { provider: good } } });
  equal((await gw.post(message())).status, 200);
});

test('tls: breaks in mid-stream', async (t) => {
  for (const how of ['reset', 'fin']) {
    const { gw, prov } = await t.setup({ tls: t.shared.certs.good, env: trust(t),
      accounts: { a: { plans: [{ cut: { at: 5, how } }] } } });
    const a = await gw.open(message({ stream: true })).answer();
    ok(!a.complete, `${how}: no clean end`);
    ok(a.text.includes('event: error'), `${how}: ${a.text}`);
    sameBytes(a.body.subarray(0, (await prov.requests())[0].sent.length), (await prov.requests())[0].sent, 'bytes before');
  }
});

test('tls: a large body and a long stream', { timeout: 90000 }, async (t) => {
  const blocks = [{ type: 'text', text: 'x'.repeat(2 << 20) }];
  const { gw, prov } = await t.setup({ tls: t.shared.certs.good, env: trust(t),
    accounts: { a: { plans: [{ blocks, size: 5000 }] } } });
  const body = message({ stream: true, text: 'y'.repeat(3 << 20) });
  const a = await gw.post(body, { ms: 60000 });
  ok(a.complete);
  const [seen] = await prov.requests();
  sameBytes(seen.body, body, 'request body');
  sameBytes(a.body, seen.sent, 'stream');
});

test('tls: a stale kept connection is replaced', async (t) => {
  const { gw, prov, keys } = await t.setup({ tls: t.shared.certs.good, env: trust(t),
    accounts: { a: { plans: [{ when: { reused: true }, cut: { at: 'head', how: 'reset' } }] }, b: {} } });
  for (let i = 0; i < 3; i++) equal((await gw.post(message())).status, 200);
  ok((await prov.requests()).every((r) => r.key === keys.a));
});

test('tls: 10 at once', async (t) => {
  const { gw, prov } = await t.setup({ tls: t.shared.certs.good, env: trust(t) });
  const all = await Promise.all(Array.from({ length: 10 }, () => gw.post(message({ stream: true }))));
  const sent = new Set((await prov.requests()).map((r) => r.sent.toString()));
  for (const a of all) ok(a.complete && sent.has(a.text));
});
