// Claude Code's real command line through the gateway.

import { test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { NOTE, READ_PROMPT, claude } from '../lib/clients.mjs';

const slow = { timeout: 120000 };

function toolTurn(run, seen) {
  equal(run.code, 0, run.out + run.err);
  equal(run.result.is_error, false, run.out);
  ok(run.result.result.includes(NOTE), run.result.result);
  const turns = seen.filter((r) => r.method === 'POST' && r.body.includes('"tools":[{'));
  ok(turns.length >= 2, `${turns.length} turns`);
  ok(turns.some((r) => r.body.includes('"tool_result"')), 'the tool result went back');
}

for (const [name, env] of [['ANTHROPIC_AUTH_TOKEN', (k) => ({ ANTHROPIC_AUTH_TOKEN: k })],
  ['ANTHROPIC_API_KEY', (k) => ({ ANTHROPIC_API_KEY: k })],
  ['both', (k) => ({ ANTHROPIC_API_KEY: k, ANTHROPIC_AUTH_TOKEN: k })]]) {
  test(`claude: a tool turn with ${name}`, slow, async (t) => {
    const { gw, prov, keys } = await t.setup();
    const run = await claude(t, gw.url, env(gw.key), READ_PROMPT);
    const seen = await prov.requests();
    toolTurn(run, seen);
    for (const r of seen) {
      equal(r.key, keys.a);
      equal(r.via, 'x-api-key');
    }
    ok(seen.some((r) => /claude-code-20250219/.test(r.header('anthropic-beta') ?? '')), 'betas pass');
    ok(seen.some((r) => r.header('x-claude-code-session-id')), 'the session header passes');
    const posts = seen.filter((r) => r.method === 'POST').length;
    const rows = (await gw.booked(posts)).filter((r) => JSON.stringify(r).includes('messages'));
    equal(rows.length, posts, 'one record per request');
  });
}

test('claude: a tool turn over TLS towards the provider', slow, async (t) => {
  const { gw, prov } = await t.setup({ tls: t.shared.certs.good, env: { SSL_CERT_FILE: t.shared.certs.ca } });
  toolTurn(await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT), await prov.requests());
});

test('claude: the first account is limited, the second serves the turn', slow, async (t) => {
  const { gw, prov } = await t.setup({ accounts: {
    a: { plans: [{ status: 429, error: { message: 'limit' }, headers: { 'retry-after': '3600' } }] }, b: {} } });
  const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT);
  toolTurn(run, await prov.requests());
  ok(!run.out.includes('api_retry'), 'the client noticed nothing');
});

for (const how of ['reset', 'fin']) {
  test(`claude: a stream broken by ${how} is asked for again`, slow, async (t) => {
    const { gw, prov } = await t.setup({ accounts: {
      a: { plans: [{ times: 1, when: { stream: true }, cut: { at: 5, how } }] } } });
    const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, '[[say:came through in the end]]');
    equal(run.code, 0, run.out + run.err);
    equal(run.result.result, 'came through in the end');
    ok((await prov.requests((r) => r.method === 'POST')).length >= 2);
  });
}

test('claude: a wrong key is told at once', slow, async (t) => {
  const { gw, prov } = await t.setup();
  const from = Date.now();
  const run = await claude(t, gw.url, { ANTHROPIC_API_KEY: 'slc_wrong' }, 'Hi');
  ok(Date.now() - from < 30000, `took ${Date.now() - from} ms: it retried`);
  ok(run.result?.is_error ?? run.code !== 0, run.out);
  match(run.out, /API key|authenticat|401/i);
  equal((await prov.requests()).length, 0);
});

test('claude: its own vendor token is refused at once and kept nowhere', slow, async (t) => {
  const { gw, prov } = await t.setup();
  const token = 'sk-ant-oat01-canary-claude-3c1d55e2-AAAAAAAA';
  gw.secrets.set(token, 'a client\'s vendor token');
  const from = Date.now();
  await claude(t, gw.url, { CLAUDE_CODE_OAUTH_TOKEN: token }, 'Hi');
  ok(Date.now() - from < 30000, `took ${Date.now() - from} ms`);
  equal((await prov.requests()).length, 0);
});

test('claude: the 400 the client reads comes word for word', slow, async (t) => {
  const { gw, prov } = await t.setup({ accounts: {
    a: { plans: [{ status: 400, error: { message: 'prompt is too long: 250000 tokens > 200000 maximum' } }] }, b: {} } });
  const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, 'Hi');
  match(run.out, /prompt is too long/i);
  const seen = await prov.requests();
  ok(seen.every((r) => r.key === seen[0].key), 'no other account was asked');
});

test('claude: model discovery', slow, async (t) => {
  const { gw, prov } = await t.setup();
  const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key, CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY: '1' }, '[[say:fine]]');
  equal(run.code, 0, run.out + run.err);
  ok((await prov.requests((r) => r.url.startsWith('/v1/models'))).length <= 2);
});

test('claude: against the built-in demo provider', slow, async (t) => {
  const gw = t.gateway();
  await gw.start({ args: ['--demo'] });
  gw.key = await gw.addKey('demo-user');
  const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, 'Say hello.');
  equal(run.code, 0, run.out + run.err);
  equal(run.result.is_error, false, run.out);
  ok(run.result.result.length > 0);
  ok((await gw.booked(1)).length >= 1);
});

test('claude: a tool turn against the built-in demo provider', slow, async (t) => {
  const gw = t.gateway();
  await gw.start({ args: ['--demo'] });
  gw.key = await gw.addKey('demo-user');
  const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT);
  equal(run.code, 0, run.out + run.err);
  ok(run.lines.some((l) => l.type === 'user' && JSON.stringify(l).includes(NOTE)), 'the tool was called');
  ok(run.result.result.includes(NOTE), run.result.result);
});
