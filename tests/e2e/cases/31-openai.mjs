// OpenAI's SDK through the gateway, whoever serves it.

import { test } from '../lib/harness.mjs';
import { assert, deepEqual, equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { openai } from '../lib/vendors.mjs';
import { MIDDLE, addUpstream, house } from '../lib/upstreams.mjs';

const HELLO = 'Hello from the scripted provider.';
const TOOL = { type: 'object', properties: { temp: { type: 'number' } }, required: ['temp'], additionalProperties: false };
const TOOLS = [{ type: 'function', function: { name: 'save', description: 'Saves it.', parameters: TOOL } }];
const TWO = '[[tool:save {"temp":4}]] [[tool:save {"temp":5}]]';
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const KINDS = ['anthropic', 'openai', 'openai-compatible', 'openrouter', 'bedrock', 'vertex-ai', 'gemini', 'ollama'];
const raised = (promise) => promise.then((v) => assert.fail(`nothing was raised: ${JSON.stringify(v)}`), (e) => e);
const user = (content) => [{ role: 'user', content }];

async function open(t, kinds, options) {
  const more = Object.fromEntries([kinds].flat().map((k) => [k, { checked: true, ...options?.more?.[k] }]));
  const h = await house(t, kinds, { ...options, more });
  return { ...h, c: await openai(`${h.gw.url}/v1`, h.gw.key) };
}
// What comes out of a stream, put together by hand: {text, finish, usage, chunks}.
async function collect(stream) {
  const out = { text: '', finish: null, usage: null, chunks: [], reasoning: '' };
  for await (const ev of stream) {
    out.chunks.push(ev);
    out.text += ev.choices[0]?.delta?.content ?? '';
    out.reasoning += ev.choices[0]?.delta?.reasoning_content ?? '';
    out.finish ??= ev.choices[0]?.finish_reason;
    out.usage ??= ev.usage;
  }
  return out;
}

for (const kind of KINDS) {
  test(`openai: chat and stream on ${kind}`, async (t) => {
    const { c, model, gw } = await open(t, kind);
    const made = await c.chat.completions.create({ model, messages: [{ role: 'developer', content: 'Be short.' }, ...user('Hi')] });
    equal(made.object, 'chat.completion');
    equal(made.choices[0].message.content, HELLO);
    equal(made.choices[0].finish_reason, 'stop');
    equal(made.model, model);
    if (kind !== 'ollama') equal(made.usage.prompt_tokens, 155, JSON.stringify(made.usage));
    equal(made.usage.completion_tokens, 15);
    equal(made.usage.total_tokens, made.usage.prompt_tokens + 15);
    if (kind !== 'ollama') equal(made.usage.prompt_tokens_details.cached_tokens, 100);
    const plain = await collect(await c.chat.completions.create({ model, stream: true, messages: user('Hi') }));
    deepEqual([plain.text, plain.finish], [HELLO, 'stop']);
    ok(!plain.chunks.some((k) => k.usage), 'no usage that was not asked for');
    const counted = await collect(await c.chat.completions.create({ model, stream: true, stream_options: { include_usage: true }, messages: user('Hi') }));
    equal(counted.usage.completion_tokens, 15);
    deepEqual(counted.chunks.at(-1).choices, []);
    equal(new Set(counted.chunks.map((k) => k.id)).size, 1);
    const rows = await gw.booked(3);
    for (const r of rows) ok(JSON.stringify(r).includes('15'), JSON.stringify(r));
  });

  test(`openai: parallel tools and their results on ${kind}`, async (t) => {
    const { c, model } = await open(t, kind);
    for (const stream of [false, true]) {
      const q = { model, tools: TOOLS, messages: user(TWO) };
      const choice = stream ? (await c.chat.completions.stream(q).finalChatCompletion()).choices[0] : (await c.chat.completions.create(q)).choices[0];
      equal(choice.finish_reason, 'tool_calls');
      const calls = choice.message.tool_calls;
      deepEqual(calls.map((x) => [x.type, x.function.name, JSON.parse(x.function.arguments).temp]), [['function', 'save', 4], ['function', 'save', 5]]);
      equal(new Set(calls.map((x) => x.id)).size, 2);
      const messages = [...user(TWO), { role: 'assistant', content: choice.message.content, tool_calls: calls.map(({ id, type, function: f, ...more }) => ({ id, type, function: { name: f.name, arguments: f.arguments }, ...(more.extra_content ? { extra_content: more.extra_content } : {}) })) },
        ...calls.map((x, i) => ({ role: 'tool', tool_call_id: x.id, content: `saved ${i}` }))];
      const after = await c.chat.completions.create({ model, tools: TOOLS, messages });
      equal(after.choices[0].message.content, 'Tool said: saved 0 + saved 1');
      const more = await c.chat.completions.create({ model, messages: [...messages, { role: 'assistant', content: 'Saved.' }, ...user('Hi')], tools: TOOLS, tool_choice: 'none' });
      equal(more.choices[0].message.content, HELLO);
    }
  });

  test(`openai: JSON of a schema on ${kind}`, async (t) => {
    const { c, model } = await open(t, kind);
    const response_format = { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema: TOOL } };
    const made = await c.chat.completions.parse({ model, messages: user('As JSON: [[json:{"temp":3}]]'), response_format });
    equal(JSON.parse(made.choices[0].message.content).temp, 3);
    const s = await collect(await c.chat.completions.create({ model, stream: true, messages: user('As JSON: [[json:{"temp":3}]]'), response_format }));
    equal(JSON.parse(s.text).temp, 3);
  });

  test(`openai: images, stops and settings on ${kind}`, async (t) => {
    const { c, model, seen } = await open(t, kind);
    const made = await c.chat.completions.create({ model, max_completion_tokens: 64, stop: ['END'], user: 'somebody', metadata: { team: 'red' }, seed: 7,
      messages: [{ role: 'system', content: 'Look.' }, { role: 'user', content: [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } }] }] });
    equal(made.choices[0].message.content, HELLO);
    const [r] = await seen();
    ok(r.body.includes(PNG), 'the image reached the provider');
    ok(r.body.includes('END'), 'the stop sequence did');
  });

  test(`openai: a stream that breaks is an error on ${kind}`, async (t) => {
    const { c, model, up } = await open(t, kind);
    for (const how of ['error', 'reset', 'fin', 'garbage']) {
      if (how === 'fin' && kind === 'gemini') continue; // its streams just end
      await up[kind].set({ plans: [{ cut: { at: MIDDLE[kind] ?? 6, how } }] });
      const e = await raised(collect(await c.chat.completions.create({ model, stream: true, messages: user('Hi') })));
      ok(!(e instanceof assert.AssertionError), `${how}: ${e.message}`);
    }
  });

  test(`openai: errors in its own form on ${kind}`, async (t) => {
    const { c, model, up } = await open(t, kind);
    for (const [status, plan, want] of [[400, { message: 'messages: something is odd' }, 400], [404, { message: 'no such model' }, 404], [413, { message: 'too large' }, 413],
      [500, { message: 'boom' }, 500]]) {
      await up[kind].set({ plans: [{ status, error: plan }] });
      const e = await raised(c.chat.completions.create({ model, messages: user('Hi') }));
      ok(e.status === want || (want >= 500 && e.status >= 500), `${status} became ${e.status}: ${e.message}`);
      equal(typeof e.error.message, 'string', JSON.stringify(e.error));
      if (want === 400) match(e.message, /something is odd/);
    }
  });
}

test('openai: reasoning comes as reasoning_content', async (t) => {
  for (const kind of ['anthropic', 'openai-compatible']) {
    const { c, model } = await open(t, kind);
    const q = { model, messages: user('[[think]]'), reasoning_effort: 'high' };
    const made = await c.chat.completions.create(q);
    match(made.choices[0].message.reasoning_content ?? '', /Let me think about it/, kind);
    match((await collect(await c.chat.completions.create({ ...q, stream: true }))).reasoning, /Let me think about it/, kind);
  }
});

test('openai: a wrong key, no key, an unknown path', async (t) => {
  const { gw, prov, model } = await open(t, 'openai');
  const e = await raised((await openai(`${gw.url}/v1`, 'slc_wrong')).chat.completions.create({ model, messages: user('Hi') }));
  equal(e.constructor.name, 'AuthenticationError');
  equal(e.code, 'invalid_api_key');
  const none = await gw.post('{}', { path: '/v1/responses', key: null });
  equal(none.status, 401);
  equal(none.json().error.code, 'invalid_api_key');
  equal((await prov.requests()).length, 0);
});

// JSON as no printer would write it: any reserialisation shows.
const ODD = (model, more = '') => `{ "model" :"${model}",\n\t"messages":[{"role":"user","content":"h\\u00e9llo \u4e2d\\/ "}] , "temperature":1.00, "metadata":{"b":"1","a":"2"}${more}}  `;

test('openai: its own dialect passes byte for byte', async (t) => {
  const { gw, model, seen } = await open(t, 'openai');
  for (const more of ['', ',"stream":true', ',"stream":true,"stream_options":{"include_usage":true}', ',"logprobs":true,"top_logprobs":3', ',"logprobs":true,"stream":true']) {
    const body = ODD(model, more);
    const a = await gw.post(body, { path: '/v1/chat/completions', version: null });
    equal(a.status, 200, a.text);
    const r = (await seen()).at(-1);
    equal(r.url, '/v1/chat/completions');
    if (!more.includes('"stream":true') || more.includes('include_usage')) sameBytes(r.body, body, 'request');
    if (!more.includes('"stream":true') || more.includes('include_usage')) sameBytes(a.body.toString().replaceAll(/^:[^\n]*\n\n/gm, ''), r.sent, 'answer');
    if (more.includes('logprobs')) match(a.text, /"top_logprobs":\[/);
  }
});

test('openai: models, embeddings', async (t) => {
  const { c, gw, seen } = await open(t, ['openai', 'anthropic']);
  const ids = [];
  for await (const m of c.models.list()) { equal(m.object, 'model'); equal(typeof m.created, 'number'); ids.push(m.id); }
  ok(ids.includes('gpt-6-sol') && ids.includes('claude-sonnet-4-6'), ids.join());
  const claude = await gw.ask('GET', '/v1/models?limit=1000');
  ok(claude.json().data.every((m) => m.type === 'model'), 'the Messages API\'s list is another');
  const made = await c.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] });
  deepEqual(made.data[1].embedding, [0.25, -0.5, 0.125]);
  ok((await seen()).some((r) => r.url === '/v1/embeddings'));
});

test('openai: what a provider cannot do is refused by the field\'s name', async (t) => {
  const { c, model, prov } = await open(t, 'anthropic');
  for (const [field, value] of [['n', 2]]) {
    const e = await raised(c.chat.completions.create({ model, messages: user('Hi'), [field]: value }));
    equal(e.status, 400);
    match(e.message, new RegExp(`\\b${field}\\b`));
  }
  equal((await prov.requests()).length, 0);
});

test('openai: the words of another provider\'s limits', async (t) => {
  const { c, model, up } = await open(t, 'anthropic');
  await up.anthropic.set({ plans: [{ status: 400, error: { message: 'prompt is too long: 250000 tokens > 200000 maximum' } }] });
  const e = await raised(c.chat.completions.create({ model, messages: user('Hi') }));
  equal(e.status, 400);
  equal(e.code, 'context_length_exceeded');
  await up.anthropic.set({ plans: [{ status: 429, error: { message: 'limit' }, headers: { 'retry-after': '900' } }] });
  const l = await raised(c.chat.completions.create({ model, messages: user('Hi') }));
  equal(l.status, 429);
  ok(Number(l.headers.get('retry-after')) > 800);
});

// OpenRouter first, OpenAI behind it: whatever goes wrong at the first, the client sees an answer.
const FAULTS = { '402': { status: 402, error: { message: 'Insufficient credits' } }, '429': { status: 429, error: { message: 'slow down' } }, '502': { status: 502, error: { message: 'bad upstream' } },
  '503': { status: 503, error: { message: 'no provider' } }, 'a reset': { cut: { at: 'head', how: 'reset' } },
  'a 200 that is an error': { status: 200, body: '{"id":"gen-1","error":{"code":502,"message":"Upstream failed"},"choices":[]}' },
  'an error as the first event': { cut: { at: 2, how: 'error' } } };
for (const [what, plan] of Object.entries(FAULTS)) {
  test(`openai: OpenRouter fails by ${what}, OpenAI serves`, async (t) => {
    const { c, prov } = await open(t, ['openrouter', 'openai'], { more: { openrouter: { plans: [plan] } } });
    const q = { model: 'gpt-6-sol', messages: user('Hi') };
    if (plan.cut?.at !== 2) equal((await c.chat.completions.create(q)).choices[0].message.content, HELLO);
    if (plan.body === undefined) equal((await collect(await c.chat.completions.create({ ...q, stream: true }))).text, HELLO);
    ok((await prov.requests()).some((r) => r.url.startsWith('/api/')), 'the first was asked');
  });
}

test('openai: what a body says about addresses and credentials leads nowhere', async (t) => {
  const { gw, prov, up, model } = await open(t, 'openai-compatible');
  const other = await t.provider();
  for (const more of [{ api_base: other.url }, { base_url: other.url, api_key: 'sk-x' }, { project: 'other', credentials: { token: 'x' } }]) {
    await gw.post(JSON.stringify({ model, messages: user('Hi'), ...more }), { path: '/v1/chat/completions' });
  }
  equal((await other.requests()).length, 0);
  for (const r of await prov.requests()) equal(r.key, up['openai-compatible'].key);
});

test('openai: a conversation may change its provider', async (t) => {
  const { c, gw, prov, up } = await open(t, 'anthropic');
  await addUpstream(gw, prov, 'openai-compatible', { priority: 2 });
  const model = 'claude-sonnet-4-6';
  const first = (await c.chat.completions.create({ model, tools: TOOLS, messages: user(TWO) })).choices[0].message;
  await up.anthropic.set({ plans: [{ status: 529, error: { message: 'Overloaded' } }] });
  const after = await c.chat.completions.create({ model, tools: TOOLS, messages: [...user(TWO), first, ...first.tool_calls.map((x) => ({ role: 'tool', tool_call_id: x.id, content: 'ok' }))] });
  equal(after.choices[0].message.content, 'Tool said: ok + ok');
});
