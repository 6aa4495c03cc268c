// OpenAI's Responses API: items instead of messages, and events that number themselves.

import { DEFAULT_USAGE, blocksOf, pieces } from '../answers.mjs';
import openai, { errorOf } from './openai.mjs';

const TOP = new Set(['model', 'input', 'instructions', 'max_output_tokens', 'max_tool_calls', 'tools', 'tool_choice', 'reasoning',
  'text', 'store', 'previous_response_id', 'include', 'stream', 'stream_options', 'parallel_tool_calls', 'truncation', 'conversation',
  'background', 'context_management', 'metadata', 'prompt', 'prompt_cache_key', 'prompt_cache_retention', 'prompt_cache_options',
  'safety_identifier', 'service_tier', 'temperature', 'top_p', 'top_logprobs', 'user', 'moderation']);
const ITEMS = {
  message: ['id', 'role', 'content', 'status', 'phase'],
  function_call: ['id', 'call_id', 'name', 'arguments', 'status'],
  function_call_output: ['id', 'call_id', 'output', 'status'],
  reasoning: ['id', 'summary', 'content', 'encrypted_content', 'status'],
  item_reference: ['id'], compaction: ['id', 'encrypted_content'],
};
const PARTS = { user: ['input_text', 'input_image', 'input_file'], assistant: ['output_text', 'refusal'] };
const bad = (message, param, code = null) => ({ status: 400, message, param, code });

function refuseItem(item, i, open) {
  const type = item?.type ?? (item?.role ? 'message' : undefined);
  const known = ITEMS[type];
  if (!known) return bad(`Invalid value: '${type}'.`, `input[${i}]`, 'invalid_value');
  const extra = Object.keys(item).find((k) => k !== 'type' && !known.includes(k));
  if (extra) return bad(`Unknown parameter: 'input[${i}].${extra}'.`, `input[${i}].${extra}`, 'unknown_parameter');
  if (type === 'message') {
    if (!['user', 'assistant', 'system', 'developer'].includes(item.role)) return bad(`Invalid value: '${item.role}'.`, `input[${i}].role`);
    const parts = PARTS[item.role] ?? ['input_text', 'input_image', 'input_file'];
    const odd = Array.isArray(item.content) ? item.content.find((p) => !parts.includes(p?.type)) : typeof item.content !== 'string';
    if (odd) return bad(`Invalid value: '${odd.type}'. Supported values are: ${parts.join(', ')}.`, `input[${i}].content`, 'invalid_value');
  }
  if (type === 'function_call') {
    if (typeof item.arguments !== 'string' || !item.call_id || !item.name) return bad(`Missing required parameter: 'input[${i}].arguments'.`, `input[${i}]`);
    open.add(item.call_id);
  }
  if (type === 'function_call_output') {
    if (!open.delete(item.call_id)) return bad(`No tool call found for function call output with call_id ${item.call_id}.`, 'input');
    if (typeof item.output !== 'string' && !Array.isArray(item.output)) return bad(`Invalid type for 'input[${i}].output'.`, `input[${i}].output`);
  }
  return null;
}

function refuse(req, a) {
  if (req === null || typeof req !== 'object') return bad('We could not parse the JSON body of your request.', null);
  const extra = Object.keys(req).find((k) => !TOP.has(k));
  if (extra) return bad(`Unknown parameter: '${extra}'.`, extra, 'unknown_parameter');
  if (typeof req.model !== 'string') return bad(`Missing required parameter: 'model'.`, 'model', 'missing_required_parameter');
  if (typeof req.input !== 'string' && !Array.isArray(req.input)) return bad(`Missing required parameter: 'input'.`, 'input', 'missing_required_parameter');
  const before = req.previous_response_id;
  if (before && !a.state.responses.get(before)) return bad(`Previous response with id '${before}' not found.`, 'previous_response_id', 'previous_response_not_found');
  const open = new Set(before ? a.state.responses.get(before).calls : []);
  for (const [i, item] of (Array.isArray(req.input) ? req.input : []).entries()) {
    const e = refuseItem(item, i, open);
    if (e) return e;
  }
  if (open.size) return bad(`No tool output found for function call ${[...open][0]}.`, 'input');
  for (const [i, t] of (req.tools ?? []).entries()) {
    if (t.type !== 'function' && !/^(?:web_search|file_search|code_interpreter|mcp|custom|image_generation|local_shell|shell|apply_patch|namespace|tool_search)/.test(t.type)) return bad(`Invalid value: '${t.type}'.`, `tools[${i}].type`, 'invalid_value');
    if (t.type === 'function' && !/^[a-zA-Z0-9_-]{1,64}$/.test(t.name ?? '')) return bad(`Missing required parameter: 'tools[${i}].name'.`, `tools[${i}].name`, 'missing_required_parameter');
    if (t.type === 'function' && t.parameters && t.parameters.type !== 'object') return bad(`Invalid schema for function '${t.name}'`, `tools[${i}].parameters`);
  }
  if (req.max_output_tokens !== undefined && req.max_output_tokens < 16) return bad(`Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16.`, 'max_output_tokens', 'integer_below_min_value');
  return null;
}

const plain = (content) => (typeof content === 'string' ? content : (content ?? []).map((p) => p.text ?? '').join('\n'));

function ask(req) {
  const items = typeof req.input === 'string' ? [{ role: 'user', content: req.input }] : req.input;
  const tail = items.slice(items.findLastIndex((i) => i.role === 'assistant' || i.type === 'function_call' || i.type === 'reasoning') + 1);
  return { prompt: tail.filter((i) => i.role === 'user').map((i) => plain(i.content)).join('\n'),
    results: tail.filter((i) => i.type === 'function_call_output').map((i) => plain(i.output)),
    tools: req.tool_choice === 'none' ? [] : (req.tools ?? []).map((t) => t.name).filter(Boolean),
    schema: req.text?.format?.type === 'json_schema' };
}

function itemsOf(blocks, a, encrypted) {
  const items = [];
  for (const [i, b] of blocks.entries()) {
    const id = `${a.id}_${i}`;
    if (b.type === 'thinking') {
      items.push({ id: `rs_${id}`, type: 'reasoning', summary: [{ type: 'summary_text', text: b.thinking }],
        ...(encrypted ? { encrypted_content: 'gAAAAABscripted==' } : {}) });
    }
    if (b.type === 'text') items.push({ id: `msg_${id}`, type: 'message', status: 'completed', role: 'assistant', content: [{ type: 'output_text', annotations: [], logprobs: [], text: b.text }] });
    if (b.type === 'tool_use') items.push({ id: `fc_${id}`, type: 'function_call', status: 'completed', arguments: JSON.stringify(b.input), call_id: b.id.replace('toolu_', 'call_'), name: b.name });
  }
  return items;
}

function usageOf(u = DEFAULT_USAGE, thought = 0) {
  const input = u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;
  return { input_tokens: input, input_tokens_details: { cached_tokens: u.cache_read_input_tokens, cache_write_tokens: u.cache_creation_input_tokens },
    output_tokens: u.output_tokens, output_tokens_details: { reasoning_tokens: thought }, total_tokens: input + u.output_tokens };
}

function whole(req, a, output, status = 'completed') {
  return { id: `resp_${a.id}`, object: 'response', created_at: 1790000000, status, background: false, error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null, instructions: req.instructions ?? null,
    max_output_tokens: req.max_output_tokens ?? null, model: a.plan.model ?? req.model, output: status === 'in_progress' ? [] : output,
    parallel_tool_calls: req.parallel_tool_calls ?? true, previous_response_id: req.previous_response_id ?? null,
    reasoning: { effort: req.reasoning?.effort ?? null, summary: null }, service_tier: 'default', store: req.store ?? true,
    temperature: 1, text: req.text ?? { format: { type: 'text' } }, tool_choice: req.tool_choice ?? 'auto', tools: req.tools ?? [], top_p: 1,
    truncation: 'disabled', usage: status === 'in_progress' ? null : usageOf(a.plan.usage, output.some((i) => i.type === 'reasoning') ? 7 : 0),
    user: null, metadata: req.metadata ?? {} };
}

// Each event's `data` holds its own type and number.
function eventsOf(req, a, output) {
  const out = [];
  const say = (type, more) => out.push(`event: ${type}\ndata: ${JSON.stringify({ type, ...more, sequence_number: out.length })}\n\n`);
  const size = a.plan.size ?? 8;
  say('response.created', { response: whole(req, a, output, 'in_progress') });
  say('response.in_progress', { response: whole(req, a, output, 'in_progress') });
  output.forEach((item, output_index) => {
    const at = { item_id: item.id, output_index };
    if (item.type === 'reasoning') {
      const [part] = item.summary;
      say('response.output_item.added', { output_index, item: { ...item, summary: [] } });
      say('response.reasoning_summary_part.added', { ...at, summary_index: 0, part: { ...part, text: '' } });
      for (const delta of pieces(part.text, size)) say('response.reasoning_summary_text.delta', { ...at, summary_index: 0, delta, obfuscation: 'x1' });
      say('response.reasoning_summary_text.done', { ...at, summary_index: 0, text: part.text });
      say('response.reasoning_summary_part.done', { ...at, summary_index: 0, part });
    } else if (item.type === 'message') {
      const [part] = item.content;
      say('response.output_item.added', { output_index, item: { ...item, status: 'in_progress', content: [] } });
      say('response.content_part.added', { ...at, content_index: 0, part: { ...part, text: '' } });
      for (const delta of pieces(part.text, size)) say('response.output_text.delta', { ...at, content_index: 0, delta, logprobs: [], obfuscation: 'x1' });
      say('response.output_text.done', { ...at, content_index: 0, text: part.text, logprobs: [] });
      say('response.content_part.done', { ...at, content_index: 0, part });
    } else {
      say('response.output_item.added', { output_index, item: { ...item, status: 'in_progress', arguments: '' } });
      for (const delta of pieces(item.arguments, size)) say('response.function_call_arguments.delta', { ...at, delta, obfuscation: 'x1' });
      say('response.function_call_arguments.done', { ...at, arguments: item.arguments });
    }
    say('response.output_item.done', { output_index, item });
  });
  say('response.completed', { response: whole(req, a, output) });
  return out;
}

export default {
  error: errorOf,
  headers: openai.headers,
  streamError: (a, message) => `event: error\ndata: ${JSON.stringify({ type: 'error', code: 'server_error', message, param: null, sequence_number: a.plan.cut?.at ?? 0 })}\n\n`,
  garbage: () => 'event: response.output_text.delta\ndata: {"type":"respo\n\n',

  run(a, { call }, body) {
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    const e = refuse(req, a);
    if (e) return a.error(e.status, e.message, e);
    if (call === 'compact') {
      return a.json(200, { id: `resp_${a.id}`, object: 'response.compaction', created_at: 1790000000,
        output: [{ id: `cmp_${a.id}`, type: 'compaction', encrypted_content: 'gAAAAABcompacted==' }], usage: usageOf() });
    }
    const output = itemsOf(a.plan.blocks ?? blocksOf(ask(req), a.seq), a, req.include?.includes('reasoning.encrypted_content'));
    a.state.responses.set(`resp_${a.id}`, { calls: output.filter((i) => i.type === 'function_call').map((i) => i.call_id) });
    return req.stream === true ? a.stream(eventsOf(req, a, output)) : a.json(200, whole(req, a, output));
  },
};
