// What the scripted provider says: pure functions from a request to the events, bodies and errors
// of the Anthropic Messages API. No sockets here; provider.mjs decides how (and how badly) the
// bytes travel.

export const DEFAULT_USAGE = {
  input_tokens: 25,
  output_tokens: 15,
  cache_creation_input_tokens: 30,
  cache_read_input_tokens: 100,
  cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 10 },
  service_tier: 'standard',
};

const ERROR_TYPES = {
  400: 'invalid_request_error', 401: 'authentication_error', 402: 'billing_error',
  403: 'permission_error', 404: 'not_found_error', 409: 'conflict_error',
  413: 'request_too_large', 429: 'rate_limit_error', 500: 'api_error', 503: 'api_error',
  504: 'timeout_error', 529: 'overloaded_error',
};

export function errorBody(status, message, requestId, type, details) {
  const error = { type: type ?? ERROR_TYPES[status] ?? 'api_error', message };
  if (details) error.details = details;
  return { type: 'error', error, request_id: requestId };
}

// The account's limits, as they appear on every answer of an API-key account.
export function limitHeaders(remaining = 41) {
  const reset = '2026-11-21T12:00:00Z';
  return {
    'anthropic-ratelimit-requests-limit': '50',
    'anthropic-ratelimit-requests-remaining': String(remaining),
    'anthropic-ratelimit-requests-reset': reset,
    'anthropic-ratelimit-tokens-limit': '80000',
    'anthropic-ratelimit-tokens-remaining': '79000',
    'anthropic-ratelimit-tokens-reset': reset,
  };
}

// ---- reading the request ---------------------------------------------------------------------

export function textOf(content) {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((b) => {
    if (b.type === 'text') return b.text;
    if (b.type === 'tool_result') return textOf(b.content);
    return '';
  }).join('\n');
}

function lastUserMessage(req) {
  const turns = (req.messages ?? []).filter((m) => m.role === 'user');
  return turns[turns.length - 1] ?? { content: '' };
}

// What the real API refuses about a message request; null when it is fine.
export function validate(req, version, counting) {
  if (req === null || typeof req !== 'object' || Array.isArray(req)) {
    return 'The request body is not valid JSON.';
  }
  if (!version) return 'anthropic-version: header is required';
  if (version !== '2023-06-01' && version !== '2026-10-21') {
    return `anthropic-version: "${version}" is not a valid version`;
  }
  if (typeof req.model !== 'string') return 'model: Field required';
  if (!Array.isArray(req.messages)) return 'messages: Field required';
  if (!counting && typeof req.max_tokens !== 'number') return 'max_tokens: Field required';
  if (counting && 'max_tokens' in req) return 'max_tokens: Extra inputs are not permitted';
  if (version === '2026-10-21') {
    for (const f of ['temperature', 'top_p', 'top_k']) {
      if (f in req) return `${f}: Extra inputs are not permitted`;
    }
  }
  return null;
}

// The default answer is steered by marks in the prompt, so that any client can ask for it:
//   [[tool:NAME {json}]]  call the client's tool NAME (if the request offers it); several: in parallel
//   [[say:TEXT]]          answer TEXT
//   [[json:{json}]]       answer that, if the request wants JSON of a schema
//   [[think]] [[web]]     put thinking or server-tool blocks before the text
// `q` is what a request of any dialect comes to: {prompt, results: [text], tools: [name], schema,
// mayThink}; the blocks are those of the Messages API.
export function blocksOf(q, seq) {
  const blocks = [];
  const json = /\[\[json:(.*?)\]\]/s.exec(q.prompt);
  if (q.schema) return [{ type: 'text', text: json ? json[1] : '{"title":"Scripted test","isNewTopic":true}' }];
  if (q.results.length) {
    return [{ type: 'text', text: `Tool said: ${q.results.map((r) => r.slice(0, 400)).join(' + ')}` }];
  }
  if (q.prompt.includes('[[think]]') && q.mayThink !== false) {
    blocks.push({ type: 'thinking', thinking: 'Let me think about it. \u00e9\u4e2d\u{1f600}',
      signature: 'EpIBCkYIBxgCKkDexample+signature/bytes==' });
  }
  if (q.prompt.includes('[[web]]')) {
    blocks.push({ type: 'server_tool_use', id: `srvtoolu_${pad(seq)}`, name: 'web_search',
      input: { query: 'weather in Oslo' } });
    blocks.push({ type: 'web_search_tool_result', tool_use_id: `srvtoolu_${pad(seq)}`, content: [
      { type: 'web_search_result', url: 'https://example.org/w', title: 'Weather',
        encrypted_content: 'Abc=', page_age: null }] });
  }
  const calls = [...q.prompt.matchAll(/\[\[tool:([A-Za-z0-9_-]+) (\{.*?\})\]\]/g)].filter((c) => q.tools.includes(c[1]));
  if (calls.length) {
    blocks.push({ type: 'text', text: 'I will use a tool.' });
    calls.forEach((c, i) => blocks.push({ type: 'tool_use', id: `toolu_${pad(seq)}${i || ''}`, name: c[1],
      input: JSON.parse(c[2]) }));
    return blocks;
  }
  const say = /\[\[say:(.*?)\]\]/s.exec(q.prompt);
  blocks.push({ type: 'text', text: say ? say[1] : 'Hello from the scripted provider.' });
  return blocks;
}

export function blocksFor(req, seq) {
  const last = lastUserMessage(req);
  const results = Array.isArray(last.content) ? last.content.filter((b) => b.type === 'tool_result') : [];
  return blocksOf({ prompt: textOf(last.content), results: results.map((r) => textOf(r.content)),
    tools: (req.tools ?? []).map((t) => t.name), schema: req.output_config?.format?.type === 'json_schema' }, seq);
}

export function pad(n) {
  return `01Scripted${String(n).padStart(10, '0')}`;
}

// ---- writing the answer ----------------------------------------------------------------------

export function messageOf(req, blocks, usage, seq, model) {
  const toolUse = blocks.some((b) => b.type === 'tool_use');
  return {
    id: `msg_${pad(seq)}`, type: 'message', role: 'assistant', model: model ?? req.model,
    content: blocks.map((b) => (b.type === 'text' ? { ...b, citations: null } : b)),
    stop_reason: toolUse ? 'tool_use' : 'end_turn', stop_sequence: null, stop_details: null,
    container: null, diagnostics: null, usage,
  };
}

export function sse(type, data) {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

export function pieces(text, size) {
  const out = [];
  const chars = Array.from(text);
  for (let i = 0; i < chars.length; i += size) out.push(chars.slice(i, i + size).join(''));
  return out;
}

function blockEvents(block, index, size) {
  const start = (content_block) => sse('content_block_start',
    { type: 'content_block_start', index, content_block });
  const delta = (d) => sse('content_block_delta', { type: 'content_block_delta', index, delta: d });
  const out = [];
  switch (block.type) {
    case 'text':
      out.push(start({ type: 'text', text: '' }));
      for (const p of pieces(block.text, size)) out.push(delta({ type: 'text_delta', text: p }));
      break;
    case 'thinking':
      out.push(start({ type: 'thinking', thinking: '', signature: '' }));
      for (const p of pieces(block.thinking, size)) {
        out.push(delta({ type: 'thinking_delta', thinking: p }));
      }
      out.push(delta({ type: 'signature_delta', signature: block.signature }));
      break;
    case 'tool_use':
    case 'server_tool_use':
      out.push(start({ type: block.type, id: block.id, name: block.name, input: {} }));
      out.push(delta({ type: 'input_json_delta', partial_json: '' }));
      for (const p of pieces(JSON.stringify(block.input), size)) {
        out.push(delta({ type: 'input_json_delta', partial_json: p }));
      }
      break;
    default: // results of server tools arrive whole
      out.push(start(block));
  }
  out.push(sse('content_block_stop', { type: 'content_block_stop', index }));
  return out;
}

// The whole stream as an array of events (strings), a ping after the first block start.
export function eventsOf(req, blocks, usage, seq, model, size = 8) {
  const whole = messageOf(req, blocks, usage, seq, model);
  const events = [sse('message_start', { type: 'message_start', message: { ...whole, content: [],
    stop_reason: null, usage: { ...usage, output_tokens: 1 } } })];
  blocks.forEach((b, i) => events.push(...blockEvents(b, i, size)));
  events.splice(2, 0, sse('ping', { type: 'ping' }));
  const server = blocks.filter((b) => b.type === 'server_tool_use').length;
  const tail = { input_tokens: usage.input_tokens,
    cache_creation_input_tokens: usage.cache_creation_input_tokens,
    cache_read_input_tokens: usage.cache_read_input_tokens, output_tokens: usage.output_tokens };
  if (server) tail.server_tool_use = { web_search_requests: server };
  events.push(sse('message_delta', { type: 'message_delta', delta: {
    stop_reason: whole.stop_reason, stop_sequence: null, stop_details: null }, usage: tail }));
  events.push(sse('message_stop', { type: 'message_stop' }));
  return events;
}

// ---- models ----------------------------------------------------------------------------------

export const DEFAULT_MODELS = ['claude-opus-5-5', 'claude-sonnet-5-5', 'claude-haiku-4-5',
  'claude-opus-4-8', 'claude-sonnet-4-6'];

export function modelInfo(id) {
  const name = id.replace(/^claude-/, 'Claude ').replace(/-/g, ' ');
  return { type: 'model', id, display_name: name, created_at: '2026-02-04T00:00:00Z',
    lifecycle: 'active', line: null, max_input_tokens: 1000000, max_tokens: 128000,
    capabilities: null };
}

export function modelPage(ids, query) {
  const limit = Number(query.get('limit') ?? 20);
  let list = ids;
  const after = query.get('after_id');
  if (after) list = list.slice(list.indexOf(after) + 1);
  const page = list.slice(0, limit);
  return { data: page.map(modelInfo), first_id: page[0] ?? null,
    last_id: page[page.length - 1] ?? null, has_more: list.length > page.length };
}
