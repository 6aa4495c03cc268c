// Requests as applications write them, odd ones too, on providers that refuse what is wrong; and replies
// that are too long for any fixed buffer.

import fs from 'node:fs';
import { test } from '../lib/harness.mjs';
import { equal, ok } from '../lib/assert.mjs';
import { house } from '../lib/upstreams.mjs';

const J = JSON.stringify;
const SAVE = { type: 'function', function: { name: 'save', parameters: { type: 'object', properties: {} } } };
const chat = (gw, b) => gw.post(J(b), { path: '/v1/chat/completions', version: null });

for (const kind of ['anthropic', 'bedrock', 'gemini', 'ollama']) {
  test(`shapes: of Chat Completions on ${kind}`, async (t) => {
    const { gw, model, prov } = await house(t, kind, { more: { [kind]: { checked: true } } });
    const q = (messages, more = {}) => ({ model, messages, ...more });
    const u = (content) => ({ role: 'user', content });
    const cases = {
      'system as parts': q([{ role: 'system', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }, u('Hi')]),
      'system last': q([u('Hi'), { role: 'system', content: 'late' }]),
      'only system': q([{ role: 'system', content: 'alone' }]),
      'assistant first': q([{ role: 'assistant', content: 'Hello!' }, u('Hi')]),
      'assistant last': q([u('Hi'), { role: 'assistant', content: 'I think' }]),
      'empty texts': q([u(''), { role: 'assistant', content: '' }, u('Hi')]),
      'two users': q([u('A'), u('B')]),
      'names': q([{ role: 'user', name: 'bob', content: 'Hi' }]),
      'tool content parts': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'save', arguments: '' } }] }, { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }] }], { tools: [SAVE] }),
      'arguments that are no JSON': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'save', arguments: '{"a":' } }] }, { role: 'tool', tool_call_id: 'call_1', content: 'ok' }], { tools: [SAVE] }),
      'odd call ids': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'call:1/ä', type: 'function', function: { name: 'save', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'call:1/ä', content: 'ok' }], { tools: [SAVE] }),
      'history calls but no tools': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'save', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'call_1', content: 'ok' }]),
      'results out of order with user between': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'save', arguments: '{}' } }, { id: 'c2', type: 'function', function: { name: 'save', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'c2', content: 'two' }, { role: 'tool', tool_call_id: 'c1', content: 'one' }, u('and?')], { tools: [SAVE] }),
      'a call without a result': q([u('x'), { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'save', arguments: '{}' } }] }, u('never mind')], { tools: [SAVE] }),
      'a result without a call': q([u('x'), { role: 'tool', tool_call_id: 'c9', content: 'lost' }, u('Hi')], { tools: [SAVE] }),
      'empty tool content': q([u('x'), { role: 'assistant', content: 'calling', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'save', arguments: '{}' } }] }, { role: 'tool', tool_call_id: 'c1', content: '' }], { tools: [SAVE] }),
      'tool_choice none': q([u('Hi')], { tools: [SAVE], tool_choice: 'none' }),
      'tool_choice required': q([u('Hi')], { tools: [SAVE], tool_choice: 'required' }),
      'tool_choice named': q([u('Hi')], { tools: [SAVE], tool_choice: { type: 'function', function: { name: 'save' } } }),
      'tool_choice allowed': q([u('Hi')], { tools: [SAVE], tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'save' } }] } } }),
      'one call at a time': q([u('Hi')], { tools: [SAVE], parallel_tool_calls: false }),
      'a tool without parameters': q([u('Hi')], { tools: [{ type: 'function', function: { name: 'save' } }] }),
      'a tool with a long name': q([u('Hi')], { tools: [{ type: 'function', function: { name: 'x'.repeat(64), parameters: { type: 'object', properties: {} } } }] }),
      'an odd schema': q([u('Hi')], { tools: [{ type: 'function', function: { name: 'save', parameters: { $schema: 'http://json-schema.org/draft-07/schema#', type: 'object', properties: { a: { type: ['string', 'null'], format: 'uri', const: 'x' }, b: { $ref: '#/$defs/B' }, c: { anyOf: [{ type: 'string' }, { type: 'object', additionalProperties: { type: 'string' } }] }, d: { type: 'number', exclusiveMinimum: 0 }, e: { type: 'array', items: { type: 'array' } } }, $defs: { B: { type: 'object', properties: { x: { type: 'integer' } } } }, additionalProperties: false } } }] }),
      'old functions': q([u('Hi')], { functions: [{ name: 'save', parameters: { type: 'object', properties: {} } }] }),
      'json_object': q([u('Hi, JSON please')], { response_format: { type: 'json_object' } }),
      'stop as text, sampling': q([u('Hi')], { stop: 'X', temperature: 1.7, top_p: 0.5, presence_penalty: 1, frequency_penalty: 1, seed: 3, logit_bias: { 5: 1 }, user: 'u'.repeat(64) }),
      'blank stops': q([u('Hi')], { stop: [' ', '\n', 'END'] }),
      'max_tokens': q([u('Hi')], { max_tokens: 7 }),
      'effort none': q([u('Hi')], { reasoning_effort: 'none' }),
      'effort minimal': q([u('Hi')], { reasoning_effort: 'minimal', max_tokens: 50 }),
      'effort xhigh': q([u('Hi')], { reasoning_effort: 'xhigh' }),
      'a refusal in the history': q([u('x'), { role: 'assistant', refusal: 'no', content: null }, u('Hi')]),
      'reasoning in the history': q([u('x'), { role: 'assistant', content: 'yes', reasoning_content: 'hm' }, u('Hi')]),
    };
    const lines = [];
    for (const [what, body] of Object.entries(cases)) {
      for (const stream of [false, true]) {
        const a = await chat(gw, { ...body, stream });
        if (a.status !== 200) { const r = (await prov.requests()).at(-1); lines.push(`${what} stream=${stream}: ${a.status} ${a.text.slice(0, 260)} :: ${r?.answered >= 400 ? r.body.toString().slice(0, 900) : ''}`); break; }
        if (stream && (!a.text.includes('[DONE]') || a.text.includes('"error"'))) lines.push(`${what}: stream ${a.text.slice(-300)}`);
      }
    }
    equal(lines.join('\n'), '');
  });
}

const rss = (pid) => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

test('shapes: a line of 10 MB passes its own door in bounded memory', { timeout: 120000 }, async (t) => {
  const { gw } = await house(t, 'openai', { more: { openai: { plans: [{ blocks: [{ type: 'text', text: 'x\u00e9'.repeat(3500000) }], size: 1e9 }] } } });
  await chat(gw, { model: 'gpt-6-sol', messages: [{ role: 'user', content: 'Hi' }] });
  const before = rss(gw.proc.pid);
  const a = await chat(gw, { model: 'gpt-6-sol', messages: [{ role: 'user', content: 'Hi' }], stream: true, stream_options: { include_usage: true } });
  ok(a.complete && a.body.length > 10e6 && a.text.includes('[DONE]'), `${a.status} ${a.body.length}`);
  ok(rss(gw.proc.pid) - before < 24 * 1024, `${rss(gw.proc.pid) - before} KiB more`);
});

for (const kind of ['anthropic', 'gemini']) {
  test(`shapes: a line of 10 MB is translated from ${kind}`, { timeout: 120000 }, async (t) => {
    const text = 'x\u00e9'.repeat(3500000);
    const { gw, model } = await house(t, kind, { more: { [kind]: { plans: [{ blocks: [{ type: 'text', text }], size: 1e9 }] } } });
    for (const stream of [false, true]) {
      const a = await chat(gw, { model, messages: [{ role: 'user', content: 'Hi' }], stream });
      equal(a.status, 200, a.text.slice(0, 300));
      ok(a.complete && a.text.includes(text), `${a.body.length} bytes`);
    }
    const longest = await gw.post(J({ model, max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }], stream: true }));
    ok(longest.complete && longest.text.includes('message_stop'));
  });
}
