// The clouds: their SDKs at the gateway's doors, and accounts there behind it.

import crypto from 'node:crypto';
import { test } from '../lib/harness.mjs';
import { assert, deepEqual, equal, match, ok } from '../lib/assert.mjs';
import { sdk } from '../lib/clients.mjs';
import { events, until } from '../lib/wire.mjs';
import { message } from '../lib/harness.mjs';
import { awsKeys, bedrock, genai, vertex } from '../lib/vendors.mjs';
import { readFrames } from '../lib/dialects/bedrock.mjs';
import { UPSTREAMS, addUpstream, house } from '../lib/upstreams.mjs';

const HELLO = 'Hello from the scripted provider.';
const TOOL = { type: 'object', properties: { temp: { type: 'number' } }, required: ['temp'], additionalProperties: false };
const TOOLS = [{ name: 'save', description: 'Saves it.', input_schema: TOOL }];
const TWO = '[[tool:save {"temp":4}]] [[tool:save {"temp":5}]]';
const raised = (promise) => promise.then((v) => assert.fail(`nothing was raised: ${JSON.stringify(v)}`), (e) => e);
const NAMES = { bedrock: 'us.anthropic.claude-opus-4-8', 'bedrock old': 'global.anthropic.claude-sonnet-4-5-20250929-v1:0', vertex: 'claude-sonnet-4-6' };
const MODE = { anthropic: 'Messages', bedrock: 'Bedrock', vertex: 'Vertex' };

// A turn with tools, streamed and not, by an SDK with the interface of the Messages API.
async function turns(c, model, more = {}) {
  const tokens = 15;
  const q = { ...more, model, max_tokens: 256, messages: [{ role: 'user', content: 'Hi' }] };
  const made = await c.messages.create(q);
  equal(made.content[0].text, HELLO);
  equal(made.usage.output_tokens, tokens);
  const final = await c.messages.stream(q).finalMessage();
  equal(final.content[0].text, HELLO);
  equal(final.usage.output_tokens, tokens);
  equal(final.stop_reason, 'end_turn');
  for (const streamed of [false, true]) {
    const ask = { ...q, tools: TOOLS, messages: [{ role: 'user', content: TWO }] };
    const turn = streamed ? await c.messages.stream(ask).finalMessage() : await c.messages.create(ask);
    equal(turn.stop_reason, 'tool_use');
    const calls = turn.content.filter((b) => b.type === 'tool_use');
    deepEqual(calls.map((b) => b.input.temp), [4, 5]);
    const back = calls.map((b, i) => ({ type: 'tool_result', tool_use_id: b.id, content: `saved ${i}` }));
    const after = await c.messages.create({ ...ask, messages: [...ask.messages, { role: 'assistant', content: turn.content }, { role: 'user', content: back }] });
    equal(after.content[0].text, 'Tool said: saved 0 + saved 1');
  }
}

for (const kind of ['anthropic', 'bedrock', 'vertex-ai', 'openai', 'gemini']) {
  const args = ['openai', 'gemini'].includes(kind) ? ['--model', `*=${UPSTREAMS[kind].model}`] : [];
  test(`clouds: the Bedrock SDK on ${kind}`, async (t) => {
    const { gw } = await house(t, kind, { more: { [kind]: { args } } });
    const c = await bedrock(gw.url, { apiKey: gw.key });
    await turns(c, NAMES.bedrock);
    // What the SDK writes of itself only the newer models know.
    await turns(c, NAMES['bedrock old'], { anthropic_version: 'bedrock-2023-05-31' });
  });

  test(`clouds: the Vertex SDK on ${kind}`, async (t) => {
    const { gw } = await house(t, kind, { more: { [kind]: { args } } });
    const c = await vertex(`${gw.url}/v1`, gw.key);
    await turns(c, NAMES.vertex);
    ok((await c.messages.countTokens({ model: NAMES.vertex, messages: [{ role: 'user', content: 'Hi' }] })).input_tokens > 0);
  });

  test(`clouds: Google's SDK on ${kind}`, async (t) => {
    const { gw, model } = await house(t, kind);
    const c = await genai(gw.url, gw.key);
    const made = await c.models.generateContent({ model, contents: 'Hi', config: { systemInstruction: 'Be short.' } });
    equal(made.text, HELLO);
    equal(made.usageMetadata.promptTokenCount, 155);
    let text = '';
    for await (const ev of await c.models.generateContentStream({ model, contents: 'Hi' })) text += ev.text ?? '';
    equal(text, HELLO);
    const config = { tools: [{ functionDeclarations: [{ name: 'save', description: 'Saves it.', parametersJsonSchema: TOOL }] }] };
    const turn = await c.models.generateContent({ model, contents: TWO, config });
    deepEqual(turn.functionCalls.map((f) => f.args.temp), [4, 5]);
    const back = { role: 'user', parts: turn.functionCalls.map((f, i) => ({ functionResponse: { id: f.id, name: f.name, response: { result: `saved ${i}` } } })) };
    for (const b of back.parts) if (b.functionResponse.id === undefined) delete b.functionResponse.id;
    const contents = [{ role: 'user', parts: [{ text: TWO }] }, turn.candidates[0].content, back];
    equal((await c.models.generateContent({ model, contents, config })).text, 'Tool said: saved 0 + saved 1');
    const json = await c.models.generateContent({ model, contents: 'JSON: [[json:{"temp":3}]]', config: { responseMimeType: 'application/json', responseJsonSchema: TOOL } });
    equal(JSON.parse(json.text).temp, 3);
    ok((await c.models.countTokens({ model, contents: 'Hi' })).totalTokens > 0);
  });

  test(`clouds: the Messages API's SDK on ${kind}`, async (t) => {
    const { gw, prov } = await house(t, kind, { more: { [kind]: { args } } });
    for (const gen of ['new', 'old']) {
      const c = sdk(gen, gw.url, gw.key);
      await turns(c, 'claude-sonnet-4-6');
      ok((await c.messages.countTokens({ model: 'claude-sonnet-4-6', messages: [{ role: 'user', content: 'Hi' }] })).input_tokens > 0);
    }
    for (const r of await prov.requests()) ok(r.answered === 200, `${r.url}: ${r.sent.toString().slice(0, 200)}`);
  });
}

test('clouds: the Bedrock door speaks Bedrock, errors and all', async (t) => {
  const { gw, up, prov } = await house(t, 'anthropic');
  const body = JSON.stringify({ anthropic_version: 'bedrock-2023-05-31', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }], anthropic_beta: ['context-management-2025-06-27'] });
  const post = (verb, model = NAMES['bedrock old'].replace(':', '%3A')) => gw.ask('POST', `/model/${model}/${verb}`, { key: null, version: null, body, headers: { authorization: `Bearer ${gw.key}` } });
  const a = await post('invoke-with-response-stream');
  equal(a.get('content-type'), 'application/vnd.amazon.eventstream');
  const frames = readFrames(a.body);
  deepEqual([frames[0].event.type, frames.at(-1).event.type], ['message_start', 'message_stop']);
  equal(frames.filter((f) => f.event?.type === 'content_block_delta').map((f) => f.event.delta.text).join(''), HELLO);
  const [r] = await prov.requests();
  equal(r.url, '/v1/messages');
  match(r.header('anthropic-beta'), /context-management-2025-06-27/);
  const sent = JSON.parse(r.body);
  equal(sent.model, 'claude-sonnet-4-5-20250929');
  ok(!('anthropic_version' in sent) && !('anthropic_beta' in sent) && sent.stream === true, r.body.toString());
  const count = await gw.ask('POST', `/model/${NAMES.bedrock}/count-tokens`, { body: JSON.stringify({ input: { invokeModel: { body: Buffer.from(body).toString('base64') } } }) });
  ok(count.json().inputTokens > 0, count.text);
  await up.anthropic.set({ plans: [{ status: 400, error: { message: 'prompt is too long: 9 tokens > 8 maximum' } }] });
  const e = await post('invoke');
  equal(e.status, 400);
  match(e.get('x-amzn-errortype') ?? '', /^ValidationException/);
  match(e.json().message, /prompt is too long/);
  await up.anthropic.set({ plans: [{ cut: { at: 6, how: 'error' } }] });
  const cut = readFrames((await post('invoke-with-response-stream')).body).at(-1);
  equal(cut.headers[':message-type'], 'exception');
  const wrong = await gw.ask('POST', `/model/${NAMES.bedrock}/invoke`, { key: 'slc_wrong', body });
  ok(wrong.status === 403 || wrong.status === 401, String(wrong.status));
});

test('clouds: a signed request is told that keys are wanted', async (t) => {
  const { gw, prov } = await house(t, 'anthropic');
  const k = awsKeys();
  const c = await bedrock(gw.url, { awsAccessKey: k.id, awsSecretKey: k.secret });
  const e = await raised(c.messages.create({ model: NAMES.bedrock, max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }));
  ok(e.status === 401 || e.status === 403, String(e.status));
  match(e.message, /key|Bearer/i);
  equal((await prov.requests()).length, 0);
});

test('clouds: streams of Bedrock: wrong sums, exceptions, silence', async (t) => {
  const { gw, up } = await house(t, 'bedrock', { config: { ping_interval: '200ms' } });
  for (const plan of [{ cut: { at: 5, how: 'garbage' } }, { cut: { at: 5, how: 'error' }, exception: 'throttlingException' }, { cut: { at: 5, how: 'reset' } }]) {
    await up.bedrock.set({ plans: [plan] });
    await gw.ok(['account', 'reset-limit', 'bedrock']);
    const a = await gw.post(message({ stream: true }));
    equal(a.status, 200, a.text);
    const evs = events(a.body);
    const last = evs.filter((x) => x.event !== 'ping').at(-1);
    equal(last.event, 'error', `${JSON.stringify(plan)}: ${a.text.slice(-300)}`);
    ok(!a.text.includes('message_stop') && !a.text.includes('wrong'));
  }
  await up.bedrock.set({ plans: [{ cut: { at: 1, how: 'error' }, exception: 'throttlingException', times: 1 }] });
  await gw.ok(['account', 'reset-limit', 'bedrock']);
  await addUpstream(gw, gw.t.providers[0], 'anthropic', { priority: 2 });
  const b = await gw.post(message({ stream: true }));
  ok(b.text.includes('message_stop'), `before the first word another account serves: ${b.text}`);
});

test('clouds: silence of Bedrock is filled with pings', async (t) => {
  const { gw, prov } = await house(t, 'bedrock', { config: { ping_interval: '200ms' }, more: { bedrock: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  await until(() => (c.body().toString().match(/event: ping/g) ?? []).length >= 2, 10000, 'pings');
  await prov.release();
  ok((await c.answer()).text.includes('message_stop'));
});

test('clouds: a bought token is bought once, and again when it is refused', async (t) => {
  const { gw, prov } = await house(t, 'vertex-ai');
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => gw.post(message({ stream: i % 2 === 0 }))));
  for (const a of all) equal(a.status, 200, a.text);
  const bought = () => prov.requests((r) => r.via === 'token endpoint');
  equal((await bought()).length, 1);
  for (const k of await prov.call('GET', '/tokens')) gw.secrets.set(k, 'a bought token');
  await prov.call('POST', '/expire');
  equal((await gw.post(message())).status, 200);
  equal((await bought()).length, 2);
  for (const k of await prov.call('GET', '/tokens')) gw.secrets.set(k, 'a bought token');
});

test('clouds: Azure by deployment, with a key and with Entra', async (t) => {
  const { gw, prov, seen } = await house(t, 'azure-openai', { more: { 'azure-openai': { plans: [{ quirks: { filters: true }, when: { stream: true } }] } } });
  const body = (more = {}) => JSON.stringify({ model: 'my-gpt', messages: [{ role: 'user', content: 'Hi' }], ...more });
  for (const more of [{}, { stream: true }]) {
    const a = await gw.post(body(more), { path: '/v1/chat/completions' });
    equal(a.status, 200, a.text);
    ok(more.stream ? a.text.includes('[DONE]') : a.json().choices[0].message.content === HELLO, a.text);
  }
  for (const r of await seen()) {
    equal(r.url, '/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21');
    equal(r.via, 'api-key');
  }
  const claude = await gw.post(JSON.stringify({ model: 'my-gpt', max_tokens: 99, messages: [{ role: 'user', content: 'Hi' }] }));
  equal(claude.json().content?.[0]?.text, HELLO, claude.text);
  await gw.ok(['account', 'pause', 'azure-openai']);
  const secret = 'entra-secret-canary-0123456789';
  gw.secrets.set(secret, 'an Entra secret');
  await prov.accounts({ 'app-1': { dialect: 'azure', models: ['my-gpt'], entra: { tenant: 'a-tenant', secret, scope: 'https://cognitiveservices.azure.com/.default' } } });
  await gw.ok(['account', 'add', 'entra', '--provider', 'azure-openai', '--base-url', prov.url, '--api-version', '2024-10-21', '--tenant-id', 'a-tenant', '--client-id', 'app-1',
    '--token-url', `${prov.url}/a-tenant/oauth2/v2.0/token`, '--secret-file', '-'], { input: secret });
  const e = await gw.post(body(), { path: '/v1/chat/completions' });
  equal(e.status, 200, e.text);
  equal((await seen()).at(-1).via, 'token');
});

test('clouds: Claude in Foundry, with a key and with Entra', async (t) => {
  const prov = await t.provider();
  const gw = t.gateway();
  const key = crypto.randomBytes(24).toString('base64url');
  const secret = 'entra-secret-canary-9876543210';
  for (const s of [key, secret]) gw.secrets.set(s, 'a secret of Foundry');
  await prov.accounts({ [key]: { name: 'keyed', ways: ['x-api-key'] },
    'app-2': { name: 'entra', ways: ['token'], entra: { tenant: 'a-tenant', secret, scope: 'https://ai.azure.com/.default' } } });
  const add = ['--provider', 'azure-foundry', '--base-url', prov.url, '--secret-file', '-'];
  await gw.ok(['account', 'add', 'keyed', '--priority', '1', ...add], { input: key });
  await gw.ok(['account', 'add', 'entra', '--priority', '2', '--tenant-id', 'a-tenant', '--client-id', 'app-2', '--deployment', 'my-claude',
    '--token-url', `${prov.url}/a-tenant/oauth2/v2.0/token`, ...add], { input: secret });
  gw.key = await gw.addKey('tester');
  await gw.start({});
  await turns(sdk('new', gw.url, gw.key), 'claude-sonnet-4-6');
  await gw.ok(['account', 'pause', 'keyed']);
  const a = await gw.post(message());
  equal(a.status, 200, a.text);
  const seen = await prov.requests((r) => r.via !== 'token endpoint');
  equal(seen[0].via, 'x-api-key');
  for (const r of seen) equal(r.url.split('?')[0], '/anthropic/v1/messages');
  equal(seen.at(-1).via, 'token');
  equal(JSON.parse(seen.at(-1).body).model, 'my-claude');
  for (const k of await prov.call('GET', '/tokens')) gw.secrets.set(k, 'a bought token');
});

test('clouds: GitLab Duo, whose token comes with headers', async (t) => {
  const prov = await t.provider();
  const gw = t.gateway();
  const pat = `glpat-${crypto.randomBytes(15).toString('base64url')}`;
  gw.secrets.set(pat, 'a personal access token');
  await prov.accounts({ duo: { name: 'duo', ways: ['token'], gitlab: { pat, headers: { 'X-Gitlab-Realm': 'saas', 'X-Gitlab-Instance-Id': 'i-1' } } } });
  await gw.ok(['account', 'add', 'duo', '--provider', 'gitlab', '--base-url', prov.url, '--token-url', prov.url, '--secret-file', '-'], { input: pat });
  gw.key = await gw.addKey('tester');
  await gw.start({});
  await turns(sdk('new', gw.url, gw.key), 'claude-sonnet-4-6');
  const seen = () => prov.requests((r) => r.via !== 'token endpoint');
  for (const r of await seen()) {
    equal(r.url.split('?')[0], '/anthropic/v1/messages');
    deepEqual([r.via, r.header('x-gitlab-realm'), r.header('x-gitlab-instance-id')], ['token', 'saas', 'i-1']);
  }
  for (const k of await prov.call('GET', '/tokens')) gw.secrets.set(k, 'a bought token');
  await prov.call('POST', '/expire');
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests((r) => r.via === 'token endpoint')).length, 2);
  for (const k of await prov.call('GET', '/tokens')) gw.secrets.set(k, 'a bought token');
});

// A role's keys are fetched: of a container from the address that the environment names, of a
// machine from the one that all machines have.
async function byRole(t, prov, aws, credential, env) {
  const gw = t.gateway();
  const k = awsKeys({ session: true });
  for (const s of [k.secret, k.token]) gw.secrets.set(s, 'keys of a role');
  await prov.accounts({ [k.id]: { name: 'role', strict: true, aws: { ...k, ...aws, region: 'us-east-1' } } });
  // The mock is in our own network: only then may the container's endpoint be.
  await gw.ok(['account', 'add', 'role', '--provider', 'bedrock', '--base-url', prov.url, '--allow-private', '--region', 'us-east-1', '--credential', credential], { env });
  gw.key = await gw.addKey('tester');
  await gw.start({ env });
  for (const stream of [false, true]) {
    const a = await gw.post(message({ stream }));
    equal(a.status, 200, a.text);
  }
  const seen = await prov.requests((r) => r.via !== 'token endpoint');
  equal(seen.length, 2);
  for (const r of seen) equal(r.via, 'sigv4');
  return prov.requests((r) => r.via === 'token endpoint');
}

test("clouds: Bedrock with a container's role", async (t) => {
  const prov = await t.provider();
  const asked = await byRole(t, prov, { container: 'a-container-token' }, 'container',
    { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${prov.url}/container/keys`, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'a-container-token' });
  equal(asked.length, 1);
});

test("clouds: Bedrock with a machine's role", async (t) => {
  if (!process.env.SLUICE_E2E_METADATA) return t.skip('no network namespace in which to have the address of the metadata service');
  const prov = await t.provider({ host: '169.254.169.254', port: 80, name: '169.254.169.254' });
  const asked = await byRole(t, prov, { role: 'a-role' }, 'instance', {});
  deepEqual(asked.map((r) => r.url), ['/latest/api/token', '/latest/meta-data/iam/security-credentials/', '/latest/meta-data/iam/security-credentials/a-role']);
});
