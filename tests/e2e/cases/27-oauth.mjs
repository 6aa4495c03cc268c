// Accounts with a rotating token: renewed before its use, once for everybody, and never lost.

import http from 'node:http';
import { message, test } from '../lib/harness.mjs';
import { equal, ok } from '../lib/assert.mjs';

// A token endpoint. `answer(body)` gives [status, object]; bodies are kept in `asked`.
async function tokenServer(answer) {
  const asked = [];
  const s = http.createServer((req, res) => {
    let text = '';
    req.on('data', (d) => { text += d; });
    req.on('end', () => {
      asked.push({ body: JSON.parse(text), agent: req.headers['user-agent'] });
      const [status, object] = answer(JSON.parse(text), asked.length);
      res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object));
    });
  });
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  return { asked, url: `http://127.0.0.1:${s.address().port}/v1/oauth/token`, close: () => s.close() };
}

const pair = (t, n) => ({ access: t.secret(), refresh: t.secret(), n });

async function setup(t, { tokens, expiresAt, unknown, next }) {
  const prov = await t.provider({});
  const gw = t.gateway();
  const server = await tokenServer(next);
  for (const p of tokens) {
    if (p !== unknown) await prov.accounts({ [p.access]: { name: `token-${p.n}`, bearer: true } });
    gw.secrets.set(p.access, `access token ${p.n}`);
    gw.secrets.set(p.refresh, `refresh token ${p.n}`);
  }
  const set = { access_token: tokens[0].access, refresh_token: tokens[0].refresh, expires_at: expiresAt };
  await gw.ok(['account', 'add', 'sub', '--provider', 'claude-oauth', '--base-url', prov.url, '--token-url', server.url,
    '--client-id', 'a-client-of-ours', '--token-file', '-'], { input: JSON.stringify(set) });
  gw.key = await gw.addKey('tester');
  return { prov, gw, server };
}

test('oauth: a token that has run out is renewed once for all, and survives a restart', async (t) => {
  const [a, b] = [pair(t, 1), pair(t, 2)];
  const { prov, gw, server } = await setup(t, { tokens: [a, b], expiresAt: Date.now() - 1000,
    next: () => [200, { access_token: b.access, refresh_token: b.refresh, expires_in: 28800 }] });
  try {
    await gw.start({});
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => gw.post(message({ stream: i % 2 === 0 }))));
    for (const r of answers) equal(r.status, 200, r.text);
    equal(server.asked.length, 1, 'one renewal');
    equal(server.asked[0].body.grant_type, 'refresh_token');
    equal(server.asked[0].body.refresh_token, a.refresh);
    equal(server.asked[0].body.client_id, 'a-client-of-ours');
    ok(/^sluice\//.test(server.asked[0].agent), server.asked[0].agent);
    for (const r of await prov.requests()) {
      equal(r.key, b.access, 'only the new token is used');
      ok(r.header('anthropic-beta').split(',').includes('oauth-2025-04-20'), r.header('anthropic-beta'));
    }
    await gw.stop();
    await gw.start({});
    equal((await gw.post(message())).status, 200);
    equal(server.asked.length, 1, 'what was renewed is kept');
  } finally { server.close(); }
});

test('oauth: a refused token is renewed once and the request is replayed', async (t) => {
  const [a, b] = [pair(t, 1), pair(t, 2)];
  const { prov, gw, server } = await setup(t, { tokens: [a, b], expiresAt: Date.now() + 28800000, unknown: a,
    next: () => [200, { access_token: b.access, refresh_token: b.refresh, expires_in: 28800 }] });
  try {
    await gw.start({});
    const r = await gw.post(message({ stream: true }));
    equal(r.status, 200, r.text);
    ok(r.complete && r.text.includes('message_stop'));
    equal(server.asked.length, 1);
    const [row] = await gw.booked(1);
    equal(row.attempts.map((x) => x.reason).join(), 'token_refused,served');
  } finally { server.close(); }
});

test('oauth: a grant that is dead asks for a person, and another account serves', async (t) => {
  const a = pair(t, 1);
  const { prov, gw, server } = await setup(t, { tokens: [a], expiresAt: Date.now() - 1000,
    next: () => [400, { error: 'invalid_grant', error_description: 'revoked' }] });
  try {
    const spare = t.secret();
    await prov.accounts({ [spare]: { name: 'spare' } });
    await gw.addAccount({ name: 'spare', url: prov.url, secret: spare, priority: 9 });
    await gw.start({});
    equal((await gw.post(message())).status, 200);
    equal((await gw.post(message())).status, 200);
    equal(server.asked.length, 1, 'a dead grant is not tried again');
    const shown = await gw.json(['account', 'show', 'sub']);
    ok(JSON.stringify(shown).includes('"login"'), JSON.stringify(shown));
    for (const r of await prov.requests()) equal(r.key, spare);
  } finally { server.close(); }
});
