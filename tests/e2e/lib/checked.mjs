// What the Messages API refuses about a request: asked of accounts that are `checked`, whose requests
// somebody has translated. Clients of its own dialect send more than anybody has listed.

const TOP = new Set(['model', 'messages', 'max_tokens', 'system', 'stream', 'stop_sequences', 'temperature', 'top_p', 'top_k', 'tools', 'tool_choice',
  'thinking', 'output_config', 'metadata', 'service_tier', 'cache_control', 'container', 'inference_geo', 'context_management', 'mcp_servers']);
const BLOCKS = {
  user: ['text', 'image', 'document', 'tool_result', 'search_result'],
  assistant: ['text', 'thinking', 'redacted_thinking', 'tool_use', 'server_tool_use', 'web_search_tool_result'],
  system: ['text'],
};
const FIELDS = { text: ['text', 'cache_control', 'citations'], image: ['source', 'cache_control'], document: ['source', 'title', 'context', 'citations', 'cache_control'],
  tool_use: ['id', 'name', 'input', 'cache_control'], tool_result: ['tool_use_id', 'content', 'is_error', 'cache_control'], thinking: ['thinking', 'signature'], redacted_thinking: ['data'] };

// "claude-sonnet-4-6" -> 4.6; 0 when it cannot be told.
export function versionOf(model) {
  const m = /claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?![\d])/.exec(model);
  return m ? Number(`${m[1]}.${m[2] ?? 0}`) : 0;
}

function block(b, role, at) {
  if (!BLOCKS[role].includes(b?.type)) return `${at}: Input tag '${b?.type}' found using 'type' does not match any of the expected tags`;
  const extra = FIELDS[b.type] && Object.keys(b).find((k) => k !== 'type' && !FIELDS[b.type].includes(k));
  if (extra) return `${at}.${b.type}.${extra}: Extra inputs are not permitted`;
  if (b.type === 'text' && typeof b.text !== 'string') return `${at}.text.text: Input should be a valid string`;
  if (b.type === 'text' && b.text === '') return 'messages: text content blocks must be non-empty';
  if (b.type === 'text' && !b.text.trim()) return 'messages: text content blocks must contain non-whitespace text';
  if (b.type === 'image' && b.source?.type === 'base64' && (!/^image\/(?:jpeg|png|gif|webp)$/.test(b.source.media_type) || !/^[A-Za-z0-9+/]+=*$/.test(b.source.data))) return `${at}.image.source: invalid base64 data`;
  if (b.type === 'image' && b.source?.type === 'url' && !/^https?:/.test(b.source.url)) return `${at}.image.source.url: invalid`;
  if (b.type === 'tool_use') {
    if (!/^[a-zA-Z0-9_-]+$/.test(b.id ?? '')) return `${at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'`;
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(b.name ?? '')) return `${at}.tool_use.name: String should match pattern`;
    if (b.input === null || typeof b.input !== 'object' || Array.isArray(b.input)) return `${at}.tool_use.input: Input should be a valid dictionary`;
  }
  if (b.type === 'thinking' && !b.signature) return `${at}.thinking: Invalid \`signature\` in \`thinking\` block`;
  if (b.type === 'tool_result' && Array.isArray(b.content)) return b.content.map((c, i) => block(c, 'user', `${at}.content.${i}`)).find(Boolean) ?? null;
  return null;
}

const blocks = (m) => (typeof m.content === 'string' ? [{ type: 'text', text: m.content }] : m.content ?? []);

function messages(req) {
  const list = req.messages;
  if (!list.length) return 'messages: at least one message is required';
  let open = [];
  const ids = new Set();
  for (const [i, m] of list.entries()) {
    const at = `messages.${i}`;
    if (!BLOCKS[m.role]) return `${at}.role: Input should be 'user' or 'assistant'`;
    const last = i === list.length - 1;
    const content = blocks(m);
    if (!content.length && !(last && m.role === 'assistant')) return `${at}: all messages must have non-empty content except for the optional final assistant message`;
    for (const [k, b] of content.entries()) {
      const e = block(b, m.role, `${at}.content.${k}`);
      if (e) return e;
    }
    if (m.role === 'assistant') {
      if (open.length) return `${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${open.join(', ')}.`;
      open = content.filter((b) => b.type === 'tool_use').map((b) => b.id);
      if (open.some((id) => ids.has(id)) || new Set(open).size !== open.length) return `${at}: \`tool_use\` ids must be unique`;
      open.forEach((id) => ids.add(id));
      continue;
    }
    const results = content.filter((b) => b.type === 'tool_result');
    const stray = results.find((b) => !open.includes(b.tool_use_id));
    if (stray) return `${at}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray.tool_use_id}.`;
    const missing = open.filter((id) => !results.some((b) => b.tool_use_id === id));
    if (missing.length) return `${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(', ')}.`;
    if (results.length && content.slice(0, results.length).some((b) => b.type !== 'tool_result')) return `${at}: tool_result blocks must come first`;
    open = [];
  }
  if (open.length) return `messages: \`tool_use\` ids without results: ${open.join(', ')}`;
  if (list.find((m) => m.role !== 'system').role !== 'user') return 'messages: first message must use the "user" role';
  if (list.at(-1).role === 'assistant' && versionOf(req.model) >= 4.6) return 'This model does not support assistant message prefill. The conversation must end with a user message.';
  return null;
}

function tools(req) {
  const names = (req.tools ?? []).map((t) => t.name);
  for (const [i, t] of (req.tools ?? []).entries()) {
    const extra = Object.keys(t).find((k) => !['name', 'description', 'input_schema', 'type', 'strict', 'cache_control'].includes(k));
    if (extra && !t.type) return `tools.${i}.custom.${extra}: Extra inputs are not permitted`;
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(t.name ?? '')) return `tools.${i}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`;
    if ((!t.type || t.type === 'custom') && t.input_schema?.type !== 'object') return `tools.${i}.custom.input_schema.type: Field required`;
  }
  if (new Set(names).size !== names.length) return 'tools: Tool names must be unique.';
  const c = req.tool_choice;
  if (c === undefined) return null;
  if (!names.length) return 'tool_choice: may only be specified while providing tools.';
  if (!['auto', 'any', 'none', 'tool'].includes(c?.type)) return `tool_choice: Input tag '${c?.type}' found`;
  if (c.type === 'tool' && !names.includes(c.name)) return `Tool '${c.name}' not found in provided tools`;
  if (['any', 'tool'].includes(c.type) && ['enabled', 'adaptive'].includes(req.thinking?.type)) return 'Thinking may not be enabled when tool_choice forces tool use.';
  return null;
}

function settings(req) {
  const v = versionOf(req.model);
  const { thinking: t } = req;
  if (req.temperature !== undefined && (req.temperature < 0 || req.temperature > 1)) return 'temperature: range: 0..1';
  if (req.temperature !== undefined && req.top_p !== undefined) return '`temperature` and `top_p` cannot both be specified for this model. Please use only one.';
  if (v > 4.6 && ((req.temperature ?? 1) !== 1 || (req.top_p ?? 1) < 0.99 || req.top_k !== undefined)) return 'temperature: is deprecated for this model';
  if (req.stop_sequences?.some((s) => typeof s !== 'string' || !s.trim())) return 'stop_sequences: each stop sequence must contain non-whitespace';
  if (t?.type === 'enabled' && v > 4.6) return 'thinking.type.enabled is not supported for this model. Use thinking.type.adaptive';
  if (t?.type === 'adaptive' && v && v < 4.6) return 'adaptive thinking is not supported on this model';
  if (t?.type === 'enabled' && !(t.budget_tokens >= 1024)) return 'thinking.enabled.budget_tokens: Input should be greater than or equal to 1024';
  if (t?.type === 'enabled' && t.budget_tokens >= req.max_tokens) return '`max_tokens` must be greater than `thinking.budget_tokens`.';
  if (['enabled', 'adaptive'].includes(t?.type) && (req.temperature ?? 1) !== 1) return '`temperature` may only be set to 1 when thinking is enabled.';
  if (req.metadata && Object.keys(req.metadata).some((k) => k !== 'user_id')) return 'metadata: Extra inputs are not permitted';
  if (Array.isArray(req.system)) return req.system.map((b, i) => block(b, 'system', `system.${i}`)).find(Boolean) ?? null;
  const marks = (JSON.stringify([req.system, req.tools, req.messages]).match(/"cache_control":/g) ?? []).length;
  return marks > 4 ? `A maximum of 4 blocks with cache_control may be provided. Found ${marks}.` : null;
}

function open(schema, at) {
  if (schema === null || typeof schema !== 'object') return null;
  if (schema.type === 'object' && schema.additionalProperties !== false) return `${at}: For 'object' type, 'additionalProperties' must be explicitly set to false`;
  return Object.entries(schema).map(([k, s]) => open(s, `${at}.${k}`)).find(Boolean) ?? null;
}

export function refuseChecked(req) {
  const extra = Object.keys(req).find((k) => !TOP.has(k));
  if (extra) return `${extra}: Extra inputs are not permitted`;
  const odd = Object.keys(req.output_config ?? {}).find((k) => !['effort', 'format', 'task_budget'].includes(k));
  if (odd) return `output_config.${odd}: Extra inputs are not permitted`;
  const f = req.output_config?.format;
  return settings(req) ?? tools(req) ?? messages(req) ?? (f ? open(f.schema, 'output_config.format.schema') : null);
}
