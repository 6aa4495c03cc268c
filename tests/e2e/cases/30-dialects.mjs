// The scripted provider's other dialects against the vendors' own clients, with no gateway between:
// what those accept, stream, sign and raise shows that it behaves like the real ones.

import crypto from 'node:crypto';
import { test } from '../lib/harness.mjs';
import { ask } from '../lib/wire.mjs';
import { assert, deepEqual, equal, match, ok, rejects } from '../lib/assert.mjs';
import { READ_PROMPT, NOTE, claude } from '../lib/clients.mjs';
import { awsKeys, azureOpenai, bedrock, genai, googleKey, openai, vercel, vertex } from '../lib/vendors.mjs';
import { canonical, refuse, signature } from '../lib/sigv4.mjs';
import { chunk, crc32, exception, frame, readFrames } from '../lib/dialects/bedrock.mjs';

const KEY = 'sk-scripted-direct';
const direct = { direct: true };
const TOOL = { type: 'object', properties: { temp: { type: 'number' } }, required: ['temp'], additionalProperties: false };
const TWO = '[[tool:save {"temp":4}]] [[tool:save {"temp":5}]]';
const HELLO = 'Hello from the scripted provider.';

async function provider(t, accounts) {
  const p = await t.provider();
  await p.accounts(accounts);
  return p;
}
const sha = (s) => crypto.createHash('sha256').update(s).digest('hex');
const raised = (promise) => promise.then(() => assert.fail('nothing was raised'), (e) => e);

test('dialects: signatures as published', direct, async () => {
  const at = { secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', date: '20150830T123600Z', region: 'us-east-1', service: 'service' };
  const headers = [['Host', 'example.amazonaws.com'], ['X-Amz-Date', at.date]];
  const vanilla = (method, url) => canonical({ method, url, headers, signed: ['host', 'x-amz-date'], body: '' });
  equal(sha(vanilla('GET', '/')), 'bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63');
  equal(signature({ ...at, request: vanilla('GET', '/') }), '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31');
  equal(signature({ ...at, request: vanilla('POST', '/') }), '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b');
  equal(signature({ ...at, request: vanilla('GET', '/?Param2=value2&Param1=value1') }), 'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500');
  const body = '{"anthropic_version":"bedrock-2023-05-31","max_tokens":16,"messages":[{"role":"user","content":"hi"}]}';
  const h = [['host', 'bedrock-runtime.us-east-1.amazonaws.com'], ['content-type', 'application/json'],
    ['x-amz-content-sha256', sha(body)], ['x-amz-date', '20260102T030405Z']];
  const mine = (url, more = []) => signature({ ...at, date: '20260102T030405Z', service: 'bedrock', request: canonical({ method: 'POST', url, headers: [...h, ...more], body,
    signed: ['content-type', 'host', 'x-amz-content-sha256', 'x-amz-date', ...more.map(([k]) => k)] }) });
  const path = (colon) => `/model/us.anthropic.claude-sonnet-4-5-20250929-v1${colon}0/invoke`;
  equal(mine(path('%3A')), '2e8e82a0d57658e7f4f14582960092e60844536f684c32466e60d7b2b57e6bdd');
  equal(mine(path(':')), 'f414d8006c0a50d8bc79b58871e2a5c1310a171deb59fecb9c39a6fd277efe93');
  equal(mine(path('%3A'), [['x-amz-security-token', 'EXAMPLETOKEN']]), '1571af25861798769bc0f117140759c50e245a7b1f930ffc4c072cb1e975c25a');
  equal(refuse({ method: 'GET', url: '/', headers: [...headers, ['authorization', 'AWS4-HMAC-SHA256 nonsense']], body: '' }, at).name, 'IncompleteSignatureException');
});

test('dialects: frames as published', direct, async () => {
  equal(crc32(Buffer.from('123456789')).toString(16), 'cbf43926');
  equal(frame({}, '').toString('hex'), '000000100000000005c248eb7d98c8ff');
  const f = chunk({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } }, 'abcd');
  equal(f.length, 226);
  equal(f.subarray(8, 12).toString('hex'), 'd638d3ce');
  equal(f.subarray(-4).toString('hex'), '528ecb0b');
  const e = exception('throttlingException', 'Too many tokens, please wait before trying again.');
  equal(e.length, 176);
  equal(e.subarray(8, 12).toString('hex'), '4f5086b3');
  equal(e.subarray(-4).toString('hex'), 'f70ae57f');
  equal(readFrames(Buffer.concat([f, e]))[1].json.message, 'Too many tokens, please wait before trying again.');
});

test('dialects: openai SDK, Chat Completions', direct, async (t) => {
  const p = await provider(t, { [KEY]: { dialect: 'openai' } });
  const c = await openai(`${p.url}/v1`, KEY);
  const q = { model: 'gpt-6-sol', messages: [{ role: 'user', content: 'Hi' }] };
  const made = await c.chat.completions.create(q);
  equal(made.choices[0].message.content, HELLO);
  equal(made.usage.prompt_tokens, 155);
  match(made._request_id, /^req_/);
  const tools = [{ type: 'function', function: { name: 'save', parameters: TOOL, strict: true } }];
  const stream = c.chat.completions.stream({ ...q, tools, messages: [{ role: 'user', content: TWO }], stream_options: { include_usage: true } });
  const turn = (await stream.finalChatCompletion()).choices[0];
  equal(turn.finish_reason, 'tool_calls');
  deepEqual(turn.message.tool_calls.map((x) => JSON.parse(x.function.arguments).temp), [4, 5]);
  equal((await stream.totalUsage()).completion_tokens, 15);
  const after = await c.chat.completions.create({ ...q, tools, messages: [{ role: 'user', content: TWO }, { role: 'assistant', content: null, tool_calls: turn.message.tool_calls.map(({ id, type, function: f }) => ({ id, type, function: { name: f.name, arguments: f.arguments } })) },
    ...turn.message.tool_calls.map((x, i) => ({ role: 'tool', tool_call_id: x.id, content: `saved ${i}` }))] });
  equal(after.choices[0].message.content, 'Tool said: saved 0 + saved 1');
  const schema = { type: 'json_schema', json_schema: { name: 'w', strict: true, schema: TOOL } };
  const parsed = await c.chat.completions.parse({ ...q, response_format: schema, messages: [{ role: 'user', content: 'JSON: [[json:{"temp":3}]]' }] });
  equal(JSON.parse(parsed.choices[0].message.content).temp, 3);
  const lp = await c.chat.completions.create({ ...q, logprobs: true, top_logprobs: 2 });
  equal(lp.choices[0].logprobs.content[0].top_logprobs.length, 2);
  deepEqual((await c.models.list()).data.map((m) => m.id), ['gpt-6.1-sol', 'gpt-6-sol', 'gpt-6-luna', 'gpt-4.1']);
  equal((await c.models.retrieve('gpt-4.1')).object, 'model');
  deepEqual((await c.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] })).data[1].embedding, [0.25, -0.5, 0.125]);
});

test('dialects: openai SDK, what is refused', direct, async (t) => {
  const p = await provider(t, { [KEY]: { dialect: 'openai', models: ['gpt-6-sol', 'gpt-4.1'] } });
  const OpenAI = (await import('openai')).default;
  const c = await openai(`${p.url}/v1`, KEY);
  const hi = [{ role: 'user', content: 'Hi' }];
  const odd = { 'max_tokens on a reasoning model': { max_tokens: 5 }, 'an unknown field': { top_k: 5 }, 'empty tools': { tools: [] },
    'tool_choice alone': { tool_choice: 'auto' }, 'temperature': { temperature: 0.2 }, 'five stops': { stop: ['a', 'b', 'c', 'd', 'e'] },
    'stream_options alone': { stream_options: { include_usage: true } }, 'a part of another dialect': { messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] },
    'a cache mark': { messages: [{ role: 'user', content: [{ type: 'text', text: 'x', cache_control: { type: 'ephemeral' } }] }] },
    'a lone tool message': { messages: [...hi, { role: 'tool', tool_call_id: 'x', content: 'y' }] },
    'an unanswered call': { messages: [...hi, { role: 'assistant', content: null, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] }, ...hi] },
    'a lax strict schema': { response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema: { type: 'object', properties: {} } } } } };
  for (const [what, more] of Object.entries(odd)) {
    const e = await raised(c.chat.completions.create({ model: 'gpt-6-sol', messages: hi, ...more }));
    ok(e instanceof OpenAI.BadRequestError, `${what}: ${e.message}`);
    equal(e.type, 'invalid_request_error', what);
  }
  equal((await raised(c.chat.completions.create({ model: 'gpt-9', messages: hi }))).code, 'model_not_found');
  equal((await raised((await openai(`${p.url}/v1`, 'wrong')).chat.completions.create({ model: 'gpt-6-sol', messages: hi }))).code, 'invalid_api_key');
  await p.accounts({ [KEY]: { dialect: 'openai', plans: [{ cut: { at: 3, how: 'error' } }] } });
  const loop = async () => { for await (const ev of await c.chat.completions.create({ model: 'gpt-6-sol', messages: hi, stream: true })) ok(ev.choices); };
  equal((await raised(loop())).code, 'server_error');
});

test('dialects: openai SDK, Responses', direct, async (t) => {
  const p = await provider(t, { [KEY]: { dialect: 'openai' } });
  const c = await openai(`${p.url}/v1`, KEY);
  const tools = [{ type: 'function', name: 'save', parameters: TOOL, strict: true }];
  const made = await c.responses.create({ model: 'gpt-6-sol', input: 'Hi [[think]]', include: ['reasoning.encrypted_content'] });
  equal(made.output_text, HELLO);
  ok(made.output[0].encrypted_content);
  const kinds = [];
  const stream = c.responses.stream({ model: 'gpt-6-sol', input: `[[think]] ${TWO}`, tools }).on('event', (e) => kinds.push([e.sequence_number, e.type]));
  const final = await stream.finalResponse();
  deepEqual(kinds.map(([n]) => n), kinds.map((_, i) => i), 'the events number themselves');
  deepEqual(final.output.map((i) => i.type), ['reasoning', 'message', 'function_call', 'function_call']);
  equal(final.usage.output_tokens_details.reasoning_tokens, 7);
  const calls = final.output.filter((i) => i.type === 'function_call');
  const results = calls.map((x, i) => ({ type: 'function_call_output', call_id: x.call_id, output: `saved ${i}` }));
  equal((await c.responses.create({ model: 'gpt-6-sol', previous_response_id: final.id, input: results })).output_text, 'Tool said: saved 0 + saved 1');
  const whole = [{ role: 'user', content: TWO }, ...final.output, ...results].map(({ parsed, parsed_arguments, ...i }) => i);
  equal((await c.responses.create({ model: 'gpt-6-sol', input: whole.map((i) => (i.content && i.role === 'assistant' ? { ...i, content: i.content.map(({ parsed, ...x }) => x) } : i)) })).output_text, 'Tool said: saved 0 + saved 1');
  match((await raised(c.responses.create({ model: 'gpt-6-sol', input: results }))).message, /No tool call found/);
  match((await raised(c.responses.create({ model: 'gpt-6-sol', input: 'x', max_tokens: 5 }))).message, /Unknown parameter/);
  equal((await c.responses.compact({ model: 'gpt-6-sol', input: 'Hi' })).object, 'response.compaction');
  await p.accounts({ [KEY]: { dialect: 'openai', plans: [{ cut: { at: 5, how: 'error' } }] } });
  await rejects(c.responses.stream({ model: 'gpt-6-sol', input: 'Hi' }).finalResponse());
});

test('dialects: openai SDK, Azure', direct, async (t) => {
  const p = await provider(t, { [KEY]: { models: ['my-gpt'], plans: [{ times: 1, quirks: { filters: true } }] }, 'app-1': { models: ['my-gpt'], entra: { tenant: 'ten', secret: 's3cret', scope: 'https://cognitiveservices.azure.com/.default' } } });
  const c = await azureOpenai(p.url, KEY, 'my-gpt');
  const q = { model: 'my-gpt', messages: [{ role: 'user', content: 'Hi' }] };
  let text = '';
  for await (const ev of await c.chat.completions.create({ ...q, stream: true })) text += ev.choices[0]?.delta.content ?? '';
  equal(text, HELLO);
  match((await p.requests())[0].url, /^\/openai\/deployments\/my-gpt\/chat\/completions\?api-version=2024-10-21$/);
  equal((await raised((await azureOpenai(p.url, KEY, 'other')).chat.completions.create(q))).code, 'DeploymentNotFound');
  equal((await raised((await azureOpenai(p.url, 'wrong', 'my-gpt')).chat.completions.create(q))).status, 401);
  const buy = (secret) => ask(p, 'POST', '/ten/oauth2/v2.0/token', { 'content-type': 'application/x-www-form-urlencoded' },
    `grant_type=client_credentials&client_id=app-1&client_secret=${secret}&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default`);
  equal((await buy('wrong')).status, 401);
  const { access_token: token } = (await buy('s3cret')).json();
  const entra = await azureOpenai(p.url, undefined, 'my-gpt', { azureADTokenProvider: async () => token });
  equal((await entra.chat.completions.create(q)).choices[0].message.content, HELLO);
  await p.call('POST', '/expire');
  equal((await raised(entra.chat.completions.create(q))).status, 401);
});

test('dialects: Bedrock SDK, signed and with a token', direct, async (t) => {
  const keys = awsKeys({ session: true });
  const p = await provider(t, { [KEY]: { name: 'token' }, [keys.id]: { aws: { ...keys, region: 'us-east-1' } } });
  const signed = await bedrock(p.url, { awsAccessKey: keys.id, awsSecretKey: keys.secret, awsSessionToken: keys.token });
  const q = { model: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', max_tokens: 99, messages: [{ role: 'user', content: 'Hi [[think]]' }] };
  for (const c of [signed, await bedrock(p.url, { apiKey: KEY })]) {
    const made = await c.messages.create({ ...q, anthropic_version: 'bedrock-2023-05-31' });
    equal(made.content[1].text, HELLO);
    const final = await c.messages.stream({ ...q, anthropic_version: 'bedrock-2023-05-31' }).finalMessage();
    equal(final.content[0].signature, made.content[0].signature);
    equal(final.usage.output_tokens, 15);
  }
  const wrong = await bedrock(p.url, { awsAccessKey: keys.id, awsSecretKey: `${keys.secret}x`, awsSessionToken: keys.token });
  equal((await raised(wrong.messages.create(q))).status, 403);
  match((await raised(signed.messages.create({ ...q, service_tier: 'auto', anthropic_version: 'bedrock-2023-05-31' }))).message, /service_tier: Extra inputs/);
  await p.accounts({ [KEY]: { plans: [{ cut: { at: 4, how: 'error' }, exception: 'throttlingException' }] } });
  const loop = async () => { for await (const ev of await (await bedrock(p.url, { apiKey: KEY })).messages.create({ ...q, anthropic_version: 'bedrock-2023-05-31', stream: true })) ok(ev.type); };
  match((await raised(loop())).message, /throttling|Overloaded/i);
});

test('dialects: Vertex SDK, with a token that a signed JWT bought', direct, async (t) => {
  const p = await t.provider();
  const key = googleKey(`${p.url}/token`);
  await p.accounts({ [key.email]: { name: 'v', google: { publicKey: key.publicKey }, project: 'a-project' } });
  // Google's library has the address of the endpoint built in: the JWT is made by hand.
  const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const jwt = (claims, alg = 'RS256') => {
    const text = `${part({ alg, typ: 'JWT' })}.${part({ iss: key.email, scope: 'https://www.googleapis.com/auth/cloud-platform', aud: key.file.token_uri, iat: now, exp: now + 3600, ...claims })}`;
    return `${text}.${crypto.sign('RSA-SHA256', Buffer.from(text), key.file.private_key).toString('base64url')}`;
  };
  const buy = (assertion) => ask(p, 'POST', '/token', { 'content-type': 'application/x-www-form-urlencoded' },
    `grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=${assertion}`);
  for (const bad of [jwt({ aud: 'https://elsewhere' }), jwt({ exp: now + 7200 }), jwt({ iss: 'x@y' }), jwt({}, 'HS256'), `${jwt({})}A`, 'x.y']) {
    equal((await buy(bad)).json().error, 'invalid_grant');
  }
  const { access_token } = (await buy(jwt({}))).json();
  const c = await vertex(`${p.url}/v1`, access_token);
  const q = { model: 'claude-sonnet-4-5@20250929', max_tokens: 99, messages: [{ role: 'user', content: 'Hi' }] };
  equal((await c.messages.create(q)).content[0].text, HELLO);
  equal((await c.messages.stream(q).finalMessage()).usage.output_tokens, 15);
  ok((await c.messages.countTokens({ model: q.model, messages: q.messages })).input_tokens > 0);
  equal((await raised((await vertex(`${p.url}/v1`, 'ya29.wrong')).messages.create(q))).status, 401);
});

test('dialects: Google\'s SDK', direct, async (t) => {
  const p = await provider(t, { [KEY]: { dialect: 'gemini' } });
  const c = await genai(p.url, KEY);
  const made = await c.models.generateContent({ model: 'gemini-3-pro', contents: 'Hi' });
  equal(made.text, HELLO);
  equal(made.usageMetadata.promptTokenCount, 155);
  let text = '';
  for await (const ev of await c.models.generateContentStream({ model: 'gemini-3-pro', contents: 'Hi' })) text += ev.text ?? '';
  equal(text, HELLO);
  const config = { tools: [{ functionDeclarations: [{ name: 'save', parametersJsonSchema: TOOL }] }] };
  const turn = await c.models.generateContent({ model: 'gemini-3-pro', contents: TWO, config });
  deepEqual(turn.functionCalls.map((f) => f.args.temp), [4, 5]);
  const back = { role: 'user', parts: turn.functionCalls.map((f, i) => ({ functionResponse: { name: f.name, response: { result: `saved ${i}` } } })) };
  const contents = [{ role: 'user', parts: [{ text: TWO }] }, turn.candidates[0].content, back];
  equal((await c.models.generateContent({ model: 'gemini-3-pro', contents, config })).text, 'Tool said: saved 0 + saved 1');
  const unsigned = { role: 'model', parts: turn.candidates[0].content.parts.map(({ thoughtSignature, ...x }) => x) };
  match((await raised(c.models.generateContent({ model: 'gemini-3-pro', contents: [contents[0], unsigned, back], config }))).message, /thought_signature/);
  match((await raised(c.models.generateContent({ model: 'gemini-3-pro', contents: [contents[0], contents[1], { role: 'user', parts: [back.parts[0]] }], config }))).message, /number of function response parts/);
  ok((await c.models.countTokens({ model: 'gemini-3-pro', contents: 'Hi' })).totalTokens > 0);
  match((await raised((await genai(p.url, 'wrong')).models.generateContent({ model: 'gemini-3-pro', contents: 'Hi' }))).message, /API key not valid/);
});

test('dialects: Ollama\'s own', direct, async (t) => {
  const p = await provider(t, { '': { models: ['qwen3-coder'] } });
  const body = (more) => JSON.stringify({ model: 'qwen3-coder', messages: [{ role: 'user', content: 'Hi' }], ...more });
  const a = await ask(p, 'POST', '/api/chat', {}, body({}));
  const lines = a.text.trim().split('\n').map((l) => JSON.parse(l));
  equal(lines.map((l) => l.message.content).join(''), HELLO);
  equal(lines.at(-1).done_reason, 'stop');
  equal((await ask(p, 'POST', '/api/chat', {}, body({ stream: false }))).json().message.content, HELLO);
  equal((await ask(p, 'POST', '/api/chat', {}, body({ model: 'x' }))).status, 404);
  equal((await ask(p, 'POST', '/api/chat', {}, body({ messages: [{ role: 'user', content: [] }] }))).status, 400);
});

test('dialects: Vercel\'s SDK', direct, async (t) => {
  const p = await provider(t, { [KEY]: { ways: ['x-api-key', 'bearer'] } });
  const { ai, anthropic, compatible, bedrock: aws } = await vercel(p.url, KEY);
  for (const model of [anthropic('claude-sonnet-4-6'), compatible('gpt-4.1'), aws('us.anthropic.claude-sonnet-4-5-20250929-v1:0')]) {
    let temp = 0;
    const tools = { save: ai.tool({ inputSchema: ai.jsonSchema(TOOL), execute: async (x) => { temp = x.temp; return 'saved well'; } }) };
    const one = await ai.generateText({ model, prompt: '[[tool:save {"temp":4}]]', tools, stopWhen: ai.isStepCount(3), maxRetries: 0 });
    equal(one.text, 'Tool said: saved well', model.provider);
    equal(temp, 4);
    const two = ai.streamText({ model, prompt: 'Hi', maxRetries: 0 });
    equal(await two.text, HELLO, model.provider);
    equal((await two.usage).outputTokens, 15, model.provider);
  }
});

test('dialects: Claude Code in its Bedrock and Vertex modes', { ...direct, timeout: 120000 }, async (t) => {
  const p = await provider(t, { [KEY]: { name: 'any', ways: ['bearer'] } });
  const modes = { bedrock: { CLAUDE_CODE_USE_BEDROCK: '1', ANTHROPIC_BEDROCK_BASE_URL: p.url, CLAUDE_CODE_SKIP_BEDROCK_AUTH: '1', AWS_REGION: 'us-east-1' },
    vertex: { CLAUDE_CODE_USE_VERTEX: '1', ANTHROPIC_VERTEX_BASE_URL: `${p.url}/v1`, CLAUDE_CODE_SKIP_VERTEX_AUTH: '1', CLOUD_ML_REGION: 'us-east5', ANTHROPIC_VERTEX_PROJECT_ID: 'a-project' } };
  const models = { bedrock: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', vertex: 'claude-sonnet-4-5@20250929' };
  for (const [mode, env] of Object.entries(modes)) {
    const run = await claude(t, undefined, { ...env, ANTHROPIC_AUTH_TOKEN: KEY }, READ_PROMPT, { model: models[mode] });
    equal(run.code, 0, run.out + run.err);
    ok(run.result.result.includes(NOTE), run.result.result);
  }
});
