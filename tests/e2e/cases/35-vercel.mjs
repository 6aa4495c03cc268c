// Vercel's AI SDK with three of its providers, on accounts of several kinds.

import { test } from '../lib/harness.mjs';
import { assert, equal, match, ok } from '../lib/assert.mjs';
import { vercel } from '../lib/vendors.mjs';
import { MIDDLE, UPSTREAMS, house } from '../lib/upstreams.mjs';

const HELLO = 'Hello from the scripted provider.';
const TOOL = { type: 'object', properties: { temp: { type: 'number' } }, required: ['temp'], additionalProperties: false };
const DOORS = { anthropic: 'claude-sonnet-4-6', compatible: 'claude-sonnet-4-6', bedrock: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0' };

for (const door of Object.keys(DOORS)) {
  for (const kind of ['anthropic', 'openai', 'bedrock', 'gemini']) {
    test(`vercel: the ${door} provider on ${kind}`, async (t) => {
      const args = ['openai', 'gemini'].includes(kind) ? ['--model', `*=${UPSTREAMS[kind].model}`] : [];
      const { gw, up } = await house(t, kind, { more: { [kind]: { args } } });
      const v = await vercel(gw.url, gw.key);
      const { ai } = v;
      const model = v[door](DOORS[door]);
      const temps = [];
      const tools = { save: ai.tool({ description: 'Saves it.', inputSchema: ai.jsonSchema(TOOL), execute: async (x) => { temps.push(x.temp); return `saved ${x.temp}`; } }) };
      const q = { model, tools, stopWhen: ai.isStepCount(3), maxRetries: 0, prompt: '[[tool:save {"temp":4}]] [[tool:save {"temp":5}]]' };
      const one = await ai.generateText(q);
      match(one.text, /^Tool said: .*saved 4.* \+ .*saved 5/);
      const two = ai.streamText(q);
      match(await two.text, /^Tool said: .*saved 4.* \+ .*saved 5/);
      equal(temps.join(), '4,5,4,5');
      const plain = ai.streamText({ model, prompt: 'Hi', maxRetries: 0 });
      equal(await plain.text, HELLO);
      equal((await plain.usage).outputTokens, 15);
      equal(await plain.finishReason, 'stop');
      const object = await ai.generateText({ model, prompt: 'JSON: [[json:{"temp":3}]]', output: ai.Output.object({ schema: ai.jsonSchema(TOOL) }), maxRetries: 0 });
      equal(object.output.temp, 3);
      await up[kind].set({ plans: [{ status: 400, error: { message: 'something is odd' } }] });
      const e = await ai.generateText({ model, prompt: 'Hi', maxRetries: 0 }).then(() => assert.fail('nothing was raised'), (x) => x);
      equal(e.statusCode, 400, e.message);
      match(`${e.message} ${e.responseBody}`, /something is odd/);
      await up[kind].set({ plans: [{ cut: { at: MIDDLE[kind] ?? 6, how: 'error' } }] });
      const broken = ai.streamText({ model, prompt: 'Hi', maxRetries: 0, onError: () => {} });
      let errors = 0;
      for await (const part of broken.fullStream) if (part.type === 'error') errors++;
      ok(errors > 0, 'a broken stream is an error');
    });
  }
}
