// OpenAI's Chat Completions and what is near it, as its servers behave: bodies are refused as they
// refuse them, so that a translator's slips are seen. Also Azure's deployments.
//
// An account's `flavor`: 'openai' (the default) knows its own fields and no other; 'compatible' is
// one of the many servers that take anything and tell their reasoning as `reasoning_content`;
// 'openrouter' adds comment lines, `provider`, costs, and tells its reasoning as `reasoning`.
// Of a plan: `quirks` {wholeCalls, usageOnFinish, noRole, filters (Azure's first chunk)}.

import { DEFAULT_USAGE, blocksOf, pieces } from '../answers.mjs';

const TOP = new Set(['model', 'messages', 'max_completion_tokens', 'max_tokens', 'temperature', 'top_p',
  'presence_penalty', 'frequency_penalty', 'stop', 'n', 'stream', 'stream_options', 'tools', 'tool_choice',
  'parallel_tool_calls', 'response_format', 'reasoning_effort', 'verbosity', 'logprobs', 'top_logprobs', 'seed',
  'logit_bias', 'user', 'safety_identifier', 'metadata', 'store', 'modalities', 'audio', 'prediction',
  'web_search_options', 'moderation', 'prompt_cache_key', 'prompt_cache_retention', 'prompt_cache_options',
  'service_tier', 'functions', 'function_call']);
const MEMBERS = {
  system: ['content', 'name'], developer: ['content', 'name'], user: ['content', 'name'],
  assistant: ['content', 'name', 'tool_calls', 'refusal', 'audio', 'function_call'],
  tool: ['content', 'tool_call_id'], function: ['content', 'name'],
};
const PARTS = {
  text: ['text', 'prompt_cache_breakpoint'], image_url: ['image_url', 'prompt_cache_breakpoint'],
  input_audio: ['input_audio'], file: ['file', 'prompt_cache_breakpoint'], refusal: ['refusal'],
};
const NAME = /^[a-zA-Z0-9_-]{1,64}$/;
const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'];
const reasons = (model) => /^(?:gpt-[56]|o\d)/.test(model ?? '');

const bad = (message, param, code = null) => ({ status: 400, message, param, code });
const unknown = (names, known) => names.find((n) => !known.includes(n));

// ---- what the API refuses --------------------------------------------------------------------

function refusePart(part, where, roles) {
  const known = PARTS[part?.type];
  if (!known || !roles.includes(part.type)) return bad(`Invalid value: '${part?.type}'. Supported values are: ${roles.join(', ')}.`, `${where}.type`, 'invalid_value');
  const extra = unknown(Object.keys(part), ['type', ...known]);
  if (extra) return bad(`Unknown parameter: '${where}.${extra}'.`, `${where}.${extra}`, 'unknown_parameter');
  if (part.type === 'text' && typeof part.text !== 'string') return bad(`Missing required parameter: '${where}.text'.`, `${where}.text`);
  if (part.type === 'image_url') {
    const { url } = part.image_url ?? {};
    if (!/^(?:https?:\/\/|data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*$)/.test(url ?? '')) {
      return bad(`Invalid image URL: '${where}.image_url.url'`, where, 'invalid_image_url');
    }
  }
  return null;
}

function refuseMessage(m, i, flavor) {
  const at = `messages[${i}]`;
  const known = MEMBERS[m?.role];
  if (!known) return bad(`Invalid value: '${m?.role}'.`, `${at}.role`, 'invalid_value');
  const extra = unknown(Object.keys(m), ['role', ...known]);
  if (extra && flavor === 'openai') return bad(`Additional properties are not allowed ('${extra}' was unexpected) - '${at}'`, at);
  const types = { user: ['text', 'image_url', 'input_audio', 'file'], assistant: ['text', 'refusal'] }[m.role] ?? ['text'];
  if (Array.isArray(m.content)) {
    if (!m.content.length) return bad(`Invalid '${at}.content': empty array.`, at, 'empty_array');
    for (const [k, part] of m.content.entries()) {
      const e = refusePart(part, `${at}.content[${k}]`, types);
      if (e && (flavor === 'openai' || e.code !== 'unknown_parameter')) return e;
    }
  } else if (typeof m.content !== 'string' && !(m.role === 'assistant' && m.content == null && (m.tool_calls || m.refusal))) {
    return bad(`Invalid value for 'content': expected a string, got ${m.content === undefined ? 'nothing' : m.content}.`, `${at}.content`);
  }
  if (m.role === 'tool' && typeof m.tool_call_id !== 'string') return bad(`Missing parameter 'tool_call_id'.`, at);
  if (m.tool_calls !== undefined) {
    if (!Array.isArray(m.tool_calls) || !m.tool_calls.length) return bad(`[] is too short - '${at}.tool_calls'`, at, 'empty_array');
    for (const c of m.tool_calls) {
      if (c.type !== 'function' || typeof c.id !== 'string' || !NAME.test(c.function?.name ?? '')) return bad(`Invalid '${at}.tool_calls'.`, at);
      if (typeof c.function.arguments !== 'string') return bad(`Invalid type for '${at}.tool_calls.function.arguments': expected a string.`, at);
      try { JSON.parse(c.function.arguments); } catch { return bad(`'${at}.tool_calls.function.arguments' is no JSON: ${c.function.arguments}`, at); }
    }
  }
  return null;
}

function refuseOrder(messages) {
  let open = [];
  for (const [i, m] of messages.entries()) {
    if (m.role === 'tool') {
      if (!open.includes(m.tool_call_id)) return bad(`Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.`, `messages.[${i}].role`);
      open = open.filter((id) => id !== m.tool_call_id);
      continue;
    }
    if (open.length) return bad(`An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${open.join(', ')}`, `messages.[${i}].role`);
    open = (m.tool_calls ?? []).map((c) => c.id);
  }
  return open.length ? bad(`tool_call_ids without response messages: ${open.join(', ')}`, 'messages') : null;
}

// What "strict": true asks of a schema.
function lax(schema) {
  if (Array.isArray(schema)) return schema.map(lax).find(Boolean);
  if (schema === null || typeof schema !== 'object') return undefined;
  if (schema.type === 'object') {
    if (schema.additionalProperties !== false) return `'additionalProperties' is required to be supplied and to be false.`;
    const missing = Object.keys(schema.properties ?? {}).find((k) => !(schema.required ?? []).includes(k));
    if (missing) return `'required' is required to be supplied and to be an array including every key in properties. Missing '${missing}'.`;
  }
  return Object.values(schema).map(lax).find(Boolean);
}

function refuseTools(req) {
  if (req.tools !== undefined && (!Array.isArray(req.tools) || !req.tools.length)) return bad(`[] is too short - 'tools'`, 'tools', 'empty_array');
  for (const [i, t] of (req.tools ?? []).entries()) {
    const at = `tools[${i}]`;
    if (t.type !== 'function') return bad(`Invalid value: '${t.type}'. Supported values are: 'function' and 'custom'.`, `${at}.type`, 'invalid_value');
    const extra = unknown(Object.keys(t), ['type', 'function']) ?? unknown(Object.keys(t.function ?? {}), ['name', 'description', 'parameters', 'strict']);
    if (extra) return bad(`Unknown parameter: '${at}.${extra}'.`, at, 'unknown_parameter');
    if (!NAME.test(t.function?.name ?? '')) return bad(`Invalid '${at}.function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`, `${at}.function.name`, 'invalid_value');
    const { parameters } = t.function;
    if (parameters !== undefined && parameters?.type !== 'object') return bad(`Invalid schema for function '${t.function.name}': schema must be a JSON Schema of 'type: "object"', got 'type: "${parameters?.type}"'.`, `${at}.function.parameters`, 'invalid_function_parameters');
    if (t.function.strict === true && lax(parameters)) return bad(`Invalid schema for function '${t.function.name}': ${lax(parameters)}`, at, 'invalid_function_parameters');
  }
  const names = (req.tools ?? []).map((t) => t.function.name);
  if (new Set(names).size !== names.length) return bad('tools: names are not unique', 'tools');
  for (const f of ['tool_choice', 'parallel_tool_calls']) {
    if (req[f] !== undefined && !names.length) return bad(`Invalid value for '${f}': '${f}' is only allowed when 'tools' are specified.`, f);
  }
  const c = req.tool_choice;
  if (c !== undefined && !['none', 'auto', 'required'].includes(c) && !(c?.type === 'function' && names.includes(c.function?.name))) {
    return bad(`Invalid value for 'tool_choice': ${JSON.stringify(c)}`, 'tool_choice');
  }
  return null;
}

function refuseSettings(req) {
  if (reasons(req.model)) {
    if (req.max_tokens !== undefined) return bad(`Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.`, 'max_tokens', 'unsupported_parameter');
    for (const [f, only] of [['temperature', 1], ['top_p', 1], ['presence_penalty', 0], ['frequency_penalty', 0]]) {
      if (req[f] !== undefined && req[f] !== only && req.reasoning_effort !== 'none') return bad(`Unsupported value: '${f}' does not support ${req[f]} with this model. Only the default (${only}) value is supported.`, f, 'unsupported_value');
    }
  } else if (req.reasoning_effort !== undefined && /^gpt-[34]/.test(req.model)) {
    return bad(`Unrecognized request argument supplied: reasoning_effort`, 'reasoning_effort', 'unknown_parameter');
  }
  if (req.reasoning_effort !== undefined && !EFFORTS.includes(req.reasoning_effort)) return bad(`Invalid value: '${req.reasoning_effort}'.`, 'reasoning_effort', 'invalid_value');
  if ([req.stop].flat().filter((s) => s !== undefined).length > 4) return bad(`Invalid 'stop': array too long. Expected an array with maximum length 4.`, 'stop', 'array_above_max_length');
  if (req.stream_options !== undefined && req.stream !== true) return bad(`The 'stream_options' parameter is only allowed when 'stream' is enabled.`, 'stream_options');
  for (const f of ['user', 'safety_identifier', 'prompt_cache_key']) {
    if (req[f] !== undefined && (typeof req[f] !== 'string' || req[f].length > 64)) return bad(`Invalid '${f}': string too long. Expected a string with maximum length 64.`, f, 'string_above_max_length');
  }
  if (req.top_logprobs !== undefined && req.logprobs !== true) return bad(`The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.`, 'top_logprobs');
  return null;
}

function refuseFormat(req) {
  const f = req.response_format;
  if (f === undefined) return null;
  if (!['text', 'json_object', 'json_schema'].includes(f?.type)) return bad(`Invalid value: '${f?.type}'.`, 'response_format.type', 'invalid_value');
  if (f.type === 'json_object' && !/json/i.test(JSON.stringify(req.messages))) return bad(`'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.`, 'messages');
  if (f.type !== 'json_schema') return null;
  const s = f.json_schema;
  const extra = unknown(Object.keys(s ?? {}), ['name', 'description', 'schema', 'strict']);
  if (extra || !NAME.test(s?.name ?? '')) return bad(`Missing or unknown parameter: 'response_format.json_schema.${extra ?? 'name'}'.`, 'response_format.json_schema');
  if (s.strict === true && lax(s.schema)) return bad(`Invalid schema for response_format '${s.name}': In context=(), ${lax(s.schema)}`, 'response_format', null);
  return null;
}

export function refuse(req, flavor) {
  if (req === null || typeof req !== 'object') return bad('We could not parse the JSON body of your request.', null);
  const extra = Object.keys(req).find((k) => !TOP.has(k));
  if (extra && flavor === 'openai') return bad(`Unrecognized request argument supplied: ${extra}`, extra, 'unknown_parameter');
  if (typeof req.model !== 'string' || !req.model) return bad('you must provide a model parameter', 'model');
  if (!Array.isArray(req.messages) || !req.messages.length) return bad(`Missing required parameter: 'messages'.`, 'messages', 'missing_required_parameter');
  for (const [i, m] of req.messages.entries()) {
    const e = refuseMessage(m, i, flavor);
    if (e) return e;
  }
  return refuseOrder(req.messages) ?? refuseTools(req) ?? refuseSettings(req) ?? refuseFormat(req);
}

// ---- answering -------------------------------------------------------------------------------

const plain = (content) => (typeof content === 'string' ? content
  : (content ?? []).map((p) => p.text ?? '').join('\n'));

function ask(req) {
  const from = req.messages.findLastIndex((m) => m.role === 'assistant') + 1;
  const tail = req.messages.slice(from);
  return { prompt: tail.filter((m) => m.role === 'user').map((m) => plain(m.content)).join('\n'),
    results: tail.filter((m) => m.role === 'tool').map((m) => plain(m.content)),
    tools: req.tool_choice === 'none' ? [] : (req.tools ?? []).map((t) => t.function.name),
    schema: req.response_format?.type === 'json_schema' };
}

// The Messages API's counts are exclusive of each other, these here include the cached ones.
export function usageOf(u = DEFAULT_USAGE, thought = 0) {
  const prompt = u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;
  return { prompt_tokens: prompt, completion_tokens: u.output_tokens, total_tokens: prompt + u.output_tokens,
    prompt_tokens_details: { cached_tokens: u.cache_read_input_tokens, cache_write_tokens: u.cache_creation_input_tokens, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: thought, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0, audio_tokens: 0 } };
}

function logprobsOf(req, text) {
  if (req.logprobs !== true) return null;
  const one = (token) => ({ token, logprob: -0.25, bytes: [...Buffer.from(token)] });
  return { content: pieces(text, 8).map((token) => ({ ...one(token),
    top_logprobs: Array.from({ length: req.top_logprobs ?? 0 }, (_, i) => ({ ...one(token), logprob: -0.25 - i })) })), refusal: null };
}

function reasoningOf(text, flavor) {
  if (flavor === 'compatible') return { reasoning_content: text };
  if (flavor === 'openrouter') return { reasoning: text, reasoning_details: [{ type: 'reasoning.text', text, format: null, index: 0 }] };
  return {}; // OpenAI does not show it
}

const call = (b) => ({ id: b.id.replace('toolu_', 'call_'), type: 'function', function: { name: b.name, arguments: JSON.stringify(b.input) } });

function split(blocks) {
  const text = blocks.filter((b) => b.type === 'text').map((b) => b.text).join('');
  const thought = blocks.filter((b) => b.type === 'thinking').map((b) => b.thinking).join('');
  return { text, thought, calls: blocks.filter((b) => b.type === 'tool_use') };
}

function head(req, a, object) {
  const h = { id: `chatcmpl-${a.id}`, object, created: 1790000000, model: a.plan.model ?? req.model, service_tier: 'default', system_fingerprint: 'fp_scripted' };
  return a.account.flavor === 'openrouter' ? { ...h, id: `gen-${a.id}`, provider: 'Scripted' } : h;
}

function whole(req, blocks, a) {
  const { text, thought, calls } = split(blocks);
  const choice = (index) => ({ index, finish_reason: a.plan.finish ?? (calls.length ? 'tool_calls' : 'stop'), logprobs: logprobsOf(req, text),
    message: { role: 'assistant', content: text || null, ...(thought ? reasoningOf(thought, a.account.flavor) : {}), refusal: null, annotations: [],
      ...(calls.length ? { tool_calls: calls.map(call) } : {}) } });
  return { ...head(req, a, 'chat.completion'), choices: Array.from({ length: req.n ?? 1 }, (_, i) => choice(i)),
    usage: { ...usageOf(a.plan.usage, thought ? 7 : 0), ...(a.account.flavor === 'openrouter' ? { cost: 0.00123 } : {}) } };
}

export const data = (value) => `data: ${JSON.stringify(value)}\n\n`;

function chunks(req, blocks, a) {
  const { text, thought, calls } = split(blocks);
  const { flavor } = a.account;
  const quirks = a.plan.quirks ?? {};
  const size = a.plan.size ?? 8;
  const wantsUsage = req.stream_options?.include_usage === true;
  const base = head(req, a, 'chat.completion.chunk');
  const chunk = (delta, finish = null, more = {}) => data({ ...base, choices: [{ index: 0, delta, logprobs: more.logprobs ?? null, finish_reason: finish }],
    ...(wantsUsage && !quirks.usageOnFinish ? { usage: null } : {}), ...more.top, ...(flavor === 'openai' ? { obfuscation: 'aZ3' } : {}) });
  const out = [];
  if (quirks.filters) out.push(data({ ...base, model: '', choices: [], prompt_filter_results: [{ prompt_index: 0, content_filter_results: {} }] }));
  if (flavor === 'openrouter') out.push(': OPENROUTER PROCESSING\n\n', ': OPENROUTER PROCESSING\n\n');
  if (!quirks.noRole) out.push(chunk({ role: 'assistant', content: '', ...(flavor === 'openai' ? { refusal: null } : {}) }));
  if (flavor !== 'openai') for (const p of pieces(thought, size)) out.push(chunk(reasoningOf(p, flavor)));
  for (const p of pieces(text, size)) out.push(chunk({ content: p }, null, { logprobs: logprobsOf(req, p) }));
  calls.forEach((b, index) => {
    const c = call(b);
    if (quirks.wholeCalls) { out.push(chunk({ tool_calls: [{ index, ...c }] })); return; }
    out.push(chunk({ tool_calls: [{ index, ...c, function: { name: c.function.name, arguments: '' } }] }));
    for (const p of pieces(c.function.arguments, size)) out.push(chunk({ tool_calls: [{ index, function: { arguments: p } }] }));
  });
  const usage = usageOf(a.plan.usage, thought ? 7 : 0);
  out.push(chunk({}, a.plan.finish ?? (calls.length ? 'tool_calls' : 'stop'), { top: quirks.usageOnFinish ? { usage } : {} }));
  if (wantsUsage && !quirks.usageOnFinish) out.push(data({ ...base, choices: [], usage }));
  out.push('data: [DONE]\n\n');
  return out;
}

export function errorOf(a, status, message, e = {}) {
  if (a.account.flavor === 'openrouter') return { error: { code: status, message, ...(e.metadata ? { metadata: e.metadata } : {}) }, user_id: 'user_1' };
  const [type, code] = { 400: ['invalid_request_error', null], 401: ['invalid_request_error', 'invalid_api_key'],
    404: ['invalid_request_error', 'model_not_found'], 429: ['requests', 'rate_limit_exceeded'] }[status]
    ?? [status >= 500 ? 'server_error' : 'invalid_request_error', null];
  return { error: { message, type: e.type ?? type, param: e.param ?? null, code: e.code ?? code } };
}

const modelsOf = (a) => a.account.only ?? ['gpt-6.1-sol', 'gpt-6-sol', 'gpt-6-luna', 'gpt-4.1'];
export const model = (id) => ({ id, object: 'model', created: 1786910000, owned_by: 'system' });

export default {
  error: errorOf,
  streamError: (a, message) => data({ ...(a.account.flavor === 'openrouter'
    ? { id: `gen-${a.id}`, object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }] } : {}),
    error: { message, type: 'server_error', param: null, code: 'server_error' } }),
  garbage: () => 'data: {"id":"chatcmpl-x","choi\n\n',
  headers: (a) => ({ 'x-request-id': a.requestId, 'openai-processing-ms': '12', 'openai-version': '2020-10-01', 'openai-organization': `org-${a.account.name}`,
    'x-ratelimit-limit-requests': '500', 'x-ratelimit-limit-tokens': '200000', 'x-ratelimit-remaining-requests': '499',
    'x-ratelimit-remaining-tokens': '199000', 'x-ratelimit-reset-requests': '120ms', 'x-ratelimit-reset-tokens': '6m0s' }),

  run(a, { call: what, model: deployment, query }, body) {
    const azure = deployment !== undefined && what !== 'model';
    if (azure && !/^20\d\d-\d\d-\d\d(?:-preview)?$/.test(query.get('api-version') ?? '')) return a.error(404, 'Resource not found');
    if (azure && a.account.only && !a.account.only.includes(deployment)) return a.error(404, 'The API deployment for this resource does not exist.', { code: 'DeploymentNotFound' });
    if (what === 'models') return a.json(200, { object: 'list', data: modelsOf(a).map(model) });
    if (what === 'model') {
      return modelsOf(a).includes(deployment) ? a.json(200, model(deployment)) : a.error(404, `The model '${deployment}' does not exist`);
    }
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    if (azure && req) req.model ??= deployment;
    if (what === 'embeddings') return this.embeddings(a, req);
    const e = refuse(req, a.account.flavor ?? 'openai');
    if (e) return a.error(e.status, e.message, e);
    if (!azure && a.account.only && !a.account.only.includes(req.model)) return a.error(404, `The model \`${req.model}\` does not exist or you do not have access to it.`);
    const blocks = a.plan.blocks ?? blocksOf(ask(req), a.seq);
    return req.stream === true ? a.stream(chunks(req, blocks, a)) : a.json(a.plan.status ?? 200, whole(req, blocks, a));
  },

  embeddings(a, req) {
    const input = [req?.input].flat();
    const floats = [0.25, -0.5, 0.125];
    const b64 = Buffer.from(new Float32Array(floats).buffer).toString('base64');
    return a.json(200, { object: 'list', model: req.model, data: input.map((_, index) => ({ object: 'embedding', index,
      embedding: req.encoding_format === 'base64' ? b64 : floats })), usage: { prompt_tokens: 8, total_tokens: 8 } });
  },
};
