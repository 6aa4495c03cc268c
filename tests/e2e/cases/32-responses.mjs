// OpenAI's Responses API through the gateway.

import { test } from '../lib/harness.mjs';
import { assert, deepEqual, equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { openai } from '../lib/vendors.mjs';
import { MIDDLE, house } from '../lib/upstreams.mjs';

const HELLO = 'Hello from the scripted provider.';
const TOOL = { type: 'object', properties: { temp: { type: 'number' } }, required: ['temp'], additionalProperties: false };
const TOOLS = [{ type: 'function', name: 'save', description: 'Saves it.', parameters: TOOL, strict: true }];
const TWO = '[[tool:save {"temp":4}]] [[tool:save {"temp":5}]]';
const raised = (promise) => promise.then((v) => assert.fail(`nothing was raised: ${JSON.stringify(v)}`), (e) => e);

async function open(t, kinds, options) {
  const more = Object.fromEntries([kinds].flat().map((k) => [k, { checked: true, ...options?.more?.[k] }]));
  const h = await house(t, kinds, { ...options, more });
  return { ...h, c: await openai(`${h.gw.url}/v1`, h.gw.key) };
}
const bare = (i) => { const { parsed, parsed_arguments, ...rest } = i; return rest.content ? { ...rest, content: rest.content.map(({ parsed: p, ...x }) => x) } : rest; };

for (const kind of ['anthropic', 'openai', 'openai-compatible', 'bedrock', 'gemini']) {
  test(`responses: create and stream on ${kind}`, async (t) => {
    const { c, model } = await open(t, kind);
    const made = await c.responses.create({ model, input: 'Hi', instructions: 'Be short.' });
    equal(made.object, 'response');
    equal(made.status, 'completed');
    equal(made.output_text, HELLO);
    equal(made.usage.input_tokens, 155);
    equal(made.usage.input_tokens_details.cached_tokens, 100);
    const seen = [];
    const stream = c.responses.stream({ model, input: [{ role: 'user', content: [{ type: 'input_text', text: 'Hi' }] }] }).on('event', (e) => seen.push(e));
    const final = await stream.finalResponse();
    equal(final.output_text, HELLO);
    deepEqual(seen.map((e) => e.sequence_number), seen.map((_, i) => i), 'the events number themselves');
    deepEqual([seen[0].type, seen.at(-1).type], ['response.created', 'response.completed']);
    equal(seen.filter((e) => e.type === 'response.output_text.delta').map((e) => e.delta).join(''), HELLO);
    equal(final.usage.output_tokens, 15);
  });

  test(`responses: tools in parallel, and reasoning, on ${kind}`, async (t) => {
    const { c, model } = await open(t, kind);
    for (const streamed of [false, true]) {
      const q = { model, input: `[[think]] ${TWO}`, tools: TOOLS, reasoning: { effort: 'high', summary: 'auto' }, include: ['reasoning.encrypted_content'], store: false };
      const made = streamed ? await c.responses.stream(q).finalResponse() : await c.responses.create(q);
      const calls = made.output.filter((i) => i.type === 'function_call');
      deepEqual(calls.map((x) => [x.name, JSON.parse(x.arguments).temp]), [['save', 4], ['save', 5]]);
      const results = calls.map((x, i) => ({ type: 'function_call_output', call_id: x.call_id, output: `saved ${i}` }));
      const after = await c.responses.create({ model, tools: TOOLS, store: false, input: [{ role: 'user', content: TWO }, ...made.output.map(bare), ...results] });
      equal(after.output_text, 'Tool said: saved 0 + saved 1');
    }
  });

  test(`responses: JSON of a schema, and errors, on ${kind}`, async (t) => {
    const { c, model, up } = await open(t, kind);
    const text = { format: { type: 'json_schema', name: 'weather', strict: true, schema: TOOL } };
    equal(JSON.parse((await c.responses.create({ model, input: 'JSON: [[json:{"temp":3}]]', text })).output_text).temp, 3);
    await up[kind].set({ plans: [{ status: 400, error: { message: 'something is odd' } }] });
    const e = await raised(c.responses.create({ model, input: 'Hi' }));
    equal(e.status, 400);
    match(e.message, /something is odd/);
    for (const how of ['error', 'reset']) {
      await up[kind].set({ plans: [{ cut: { at: MIDDLE[kind] ?? 6, how } }] });
      const loop = async () => { for await (const ev of await c.responses.create({ model, input: 'Hi', stream: true })) ok(ev.type !== 'response.completed', 'no clean end'); };
      const broken = await loop().then(() => null, (x) => x);
      ok(broken === null || !(broken instanceof assert.AssertionError), broken?.message);
    }
  });
}

test('responses: its own dialect passes byte for byte, and its state stays where it is', async (t) => {
  const { c, gw, model, prov, seen } = await open(t, 'openai');
  const body = `{ "model" :"${model}","input":"h\\u00e9llo \\/" ,"stream":true,"metadata":{"b":"1","a":"2"}} `;
  const a = await gw.post(body, { path: '/v1/responses', version: null });
  equal(a.status, 200, a.text);
  const [r] = await seen();
  sameBytes(r.body, body, 'request');
  sameBytes(a.body.toString().replaceAll(/^:[^\n]*\n\n/gm, ''), r.sent, 'answer');
  const first = await c.responses.create({ model, input: TWO, tools: TOOLS });
  const results = first.output.filter((i) => i.type === 'function_call').map((x) => ({ type: 'function_call_output', call_id: x.call_id, output: 'ok' }));
  equal((await c.responses.create({ model, previous_response_id: first.id, input: results })).output_text, 'Tool said: ok + ok');
  equal((await c.responses.compact({ model, input: 'Hi' })).object, 'response.compaction');
  equal((await prov.requests()).at(-1).url, '/v1/responses/compact');
});

test('responses: what an earlier one left elsewhere is not made up', async (t) => {
  const { c, model, prov } = await open(t, 'anthropic');
  const e = await raised(c.responses.create({ model, input: 'Hi', previous_response_id: 'resp_of_somebody' }));
  ok(e.status === 400 || e.status === 404, `${e.status} ${e.message}`);
  match(e.message, /previous_response_id/);
  equal((await prov.requests()).length, 0);
});
