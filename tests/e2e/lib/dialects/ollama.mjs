// Ollama's own API: one JSON object a line, streamed unless told otherwise.

import { DEFAULT_USAGE, blocksOf, pieces } from '../answers.mjs';

function refuse(req) {
  if (req === null || typeof req !== 'object') return 'unexpected EOF';
  if (typeof req.model !== 'string' || !req.model) return 'model is required';
  for (const m of req.messages ?? []) {
    if (!['system', 'user', 'assistant', 'tool'].includes(m.role)) return `invalid message role: ${m.role}`;
    if (m.content !== undefined && typeof m.content !== 'string') return 'json: cannot unmarshal array into Go struct field ChatRequest.messages of type string';
    if ((m.images ?? []).some((i) => typeof i !== 'string' || !/^[A-Za-z0-9+/]+=*$/.test(i))) return 'illegal base64 data at input byte 4';
    for (const c of m.tool_calls ?? []) {
      if (typeof c.function?.arguments !== 'object' || c.function.arguments === null) return 'json: cannot unmarshal string into Go struct field ToolCallFunction.messages.tool_calls.function.arguments of type api.ToolCallFunctionArguments';
    }
  }
  if (req.format !== undefined && req.format !== 'json' && typeof req.format !== 'object') return `invalid format: ${JSON.stringify(req.format)}`;
  return null;
}

function ask(req) {
  const tail = req.messages.slice(req.messages.findLastIndex((m) => m.role === 'assistant') + 1);
  return { prompt: tail.filter((m) => m.role === 'user').map((m) => m.content).join('\n'), results: tail.filter((m) => m.role === 'tool').map((m) => m.content),
    tools: (req.tools ?? []).map((t) => t.function?.name), schema: typeof req.format === 'object', mayThink: Boolean(req.think) };
}

const line = (o) => `${JSON.stringify(o)}\n`;

export default {
  error: (a, status, message) => ({ error: message }),
  streamError: (a, message) => line({ error: message }),
  garbage: () => '{"model":"x","mess\n',
  headers: () => ({}),

  run(a, { call }, body) {
    if (call === 'tags') return a.json(200, { models: (a.account.only ?? ['qwen3-coder:latest']).map((m) => ({ name: m, model: m, modified_at: '2026-08-01T10:00:00Z', size: 1, digest: 'd', details: {} })) });
    if (call === 'version') return a.json(200, { version: '0.19.0' });
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    const e = refuse(req);
    if (e) return a.error(400, e);
    if (a.account.only && !a.account.only.includes(req.model)) return a.error(404, `model "${req.model}" not found, try pulling it first`);
    const base = { model: req.model, created_at: '2026-08-01T10:00:00.000000Z' };
    const blocks = a.plan.blocks ?? blocksOf(ask(req), a.seq);
    const text = (type, member) => blocks.filter((b) => b.type === type).map((b) => b[member]).join('');
    const calls = blocks.filter((b) => b.type === 'tool_use').map((b) => ({ function: { name: b.name, arguments: b.input } }));
    const u = a.plan.usage ?? DEFAULT_USAGE;
    const end = { done: true, done_reason: a.plan.finish ?? 'stop', total_duration: 5, load_duration: 1, prompt_eval_count: u.input_tokens, prompt_eval_duration: 2, eval_count: u.output_tokens, eval_duration: 2 };
    const thinking = text('thinking', 'thinking');
    if (req.stream === false) {
      return a.json(200, { ...base, message: { role: 'assistant', content: text('text', 'text'), ...(thinking ? { thinking } : {}), ...(calls.length ? { tool_calls: calls } : {}) }, ...end });
    }
    const part = (m) => line({ ...base, message: { role: 'assistant', content: '', ...m }, done: false });
    const size = a.plan.size ?? 8;
    return a.stream([...pieces(thinking, size).map((t) => part({ thinking: t })), ...pieces(text('text', 'text'), size).map((t) => part({ content: t })),
      ...calls.map((c) => part({ tool_calls: [c] })), line({ ...base, message: { role: 'assistant', content: '' }, ...end })], 'application/x-ndjson');
  },
};
