// Who is let in, and where credentials may and may not be.

import { message, test } from '../lib/harness.mjs';
import { equal, isError, match, ok } from '../lib/assert.mjs';
import { ask } from '../lib/wire.mjs';

test('keys: in either header, or in both with one good', async (t) => {
  const { gw, prov, keys } = await t.setup();
  const bad = `${gw.key.slice(0, -1)}${gw.key.endsWith('A') ? 'B' : 'A'}`;
  const good = [
    { 'x-api-key': gw.key },
    { authorization: `Bearer ${gw.key}` },
    { 'x-api-key': gw.key, authorization: `Bearer ${gw.key}` },
    { 'x-api-key': 'nonsense', authorization: `Bearer ${gw.key}` },
    { 'x-api-key': gw.key, authorization: 'Bearer nonsense' },
    { 'x-api-key': bad, authorization: `bearer ${gw.key}` },
  ];
  for (const headers of good) {
    const a = await gw.post(message(), { key: null, headers });
    equal(a.status, 200, `${JSON.stringify(Object.keys(headers))}: ${a.text}`);
  }
  const seen = await prov.requests();
  equal(seen.length, good.length);
  for (const r of seen) {
    equal(r.via, 'x-api-key');
    equal(r.key, keys.a);
  }
});

test('keys: none, wrong ones and a revoked one are refused for good', async (t) => {
  const { gw, prov } = await t.setup();
  const flipped = `${gw.key.slice(0, -1)}${gw.key.endsWith('A') ? 'B' : 'A'}`;
  for (const headers of [{}, { 'x-api-key': 'slc_nope' }, { 'x-api-key': flipped },
    { authorization: 'Bearer x' }, { authorization: 'Basic eDp5' }, { 'x-api-key': '' },
    { 'x-api-key': 'x'.repeat(5000) }]) {
    for (const path of ['/v1/messages', '/v1/messages/count_tokens', '/v1/files']) {
      const a = await gw.post(message(), { key: null, headers, path });
      isError(a, 401, 'authentication_error');
      equal(a.get('x-should-retry'), 'false');
    }
  }
  isError(await gw.ask('GET', '/v1/models', { key: null }), 401, 'authentication_error');
  equal((await gw.post(message())).status, 200);
  await gw.addKey('another'); // so that a key is still configured
  await gw.ok(['key', 'revoke', 'tester']);
  isError(await gw.post(message()), 401, 'authentication_error');
  equal((await prov.requests()).length, 1);
});

test('keys: a refused request leaves the connection usable or says it closes', async (t) => {
  const { gw } = await t.setup();
  const c = gw.connect();
  const body = message({ text: 'x'.repeat(300000) });
  c.request('POST', '/v1/messages', { 'x-api-key': 'slc_wrong', 'content-type': 'application/json' }, body);
  const a = await c.answer(0);
  isError(a, 401, 'authentication_error');
  if (/close/.test(a.get('connection') ?? '')) {
    await c.closed();
  } else {
    c.request('POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' }, message());
    equal((await c.answer(1)).status, 200);
  }
});

test('keys: a client\'s own vendor token is refused and kept nowhere', async (t) => {
  const { gw, prov } = await t.setup();
  const token = 'sk-ant-oat01-canary-of-a-client-7f3a9c-AAAA';
  gw.secrets.set(token, 'a client\'s vendor token');
  for (const headers of [{ authorization: `Bearer ${token}`, 'anthropic-beta': 'oauth-2025-04-20' },
    { 'x-api-key': token }]) {
    const a = await gw.post(message(), { key: null, headers });
    isError(a, 401, 'authentication_error');
    equal(a.get('x-should-retry'), 'false');
    ok(!a.text.includes(token));
  }
  const mixed = await gw.post(message(), { headers: { authorization: `Bearer ${token}` } });
  ok(mixed.status === 200 || mixed.status === 401, `status ${mixed.status}`);
  for (const r of await prov.requests()) ok(!JSON.stringify(r.headers).includes(token), 'forwarded');
  // The folder, the log and the verbs' output are searched when the case ends.
  await gw.records();
});

test('keys: account secrets and client keys are nowhere in clear', async (t) => {
  const { gw, keys } = await t.setup({ accounts: { a: {}, b: {} } });
  const shown = [];
  for (const headers of [{}, { 'x-api-key': keys.a }, { authorization: `Bearer ${keys.b}` }]) {
    const a = await gw.post(message({ stream: true }), { headers });
    shown.push(a.text + JSON.stringify(a.headers));
  }
  shown.push((await gw.post('{"broken', {})).text);
  for (const verb of [['account', 'list'], ['account', 'show', 'a'], ['key', 'list'], ['status'],
    ['requests'], ['config', 'check']]) {
    shown.push((await gw.cli([...verb, '--json'])).out, (await gw.cli(verb)).out);
  }
  for (const text of shown) {
    for (const [value, what] of gw.secrets) ok(!text.includes(value), `${what} in: ${text.slice(0, 200)}`);
  }
  await gw.stop();
  equal(gw.findSecrets().join('; '), '');
});

test('keys: without any key only this machine is served, and the start says so', async (t) => {
  const prov = await t.provider();
  const gw = t.gateway();
  const secret = t.secret();
  await prov.accounts({ [secret]: { name: 'a' } });
  await gw.addAccount({ name: 'a', url: prov.url, secret });
  await gw.start({ listen: ['0.0.0.0:0'], config: { allow_public_listen: true } });
  equal((await gw.post(message(), { key: null })).status, 200);
  match(gw.logged(), /no gateway key.*only programs on this machine/);
  // What a page in a browser of this machine, or a proxy on it, would send.
  for (const headers of [{ host: 'evil.example' }, { origin: 'https://evil.example' }, { 'x-forwarded-for': '10.1.1.1' }]) {
    isError(await gw.post(message(), { key: null, headers }), 401, 'authentication_error');
  }
  // Another address of this machine stands for another machine: that is what the peer looks like.
  if (process.env.SLUICE_E2E_ADDRESS) {
    const target = { host: process.env.SLUICE_E2E_ADDRESS, port: gw.port };
    const a = await ask(target, 'POST', '/v1/messages', { 'anthropic-version': '2023-06-01' }, message());
    isError(a, 401, 'authentication_error');
    equal(a.get('x-should-retry'), 'false');
  }
  equal((await prov.requests()).length, 1);
});
