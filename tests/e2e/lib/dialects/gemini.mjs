// Google's Gemini API, with its servers' habit of refusing every field they do not know.

import { DEFAULT_USAGE, blocksOf, pieces } from '../answers.mjs';
import { googleError } from './vertex.mjs';

const TOP = ['contents', 'systemInstruction', 'system_instruction', 'tools', 'toolConfig', 'tool_config', 'generationConfig', 'generation_config', 'safetySettings', 'safety_settings', 'cachedContent', 'labels', 'model'];
const CONFIG = ['temperature', 'topP', 'topK', 'maxOutputTokens', 'stopSequences', 'candidateCount', 'seed', 'presencePenalty', 'frequencyPenalty',
  'responseMimeType', 'responseSchema', 'responseJsonSchema', 'responseLogprobs', 'logprobs', 'thinkingConfig', 'mediaResolution', 'responseModalities', 'speechConfig'];
const PARTS = ['text', 'thought', 'thoughtSignature', 'inlineData', 'fileData', 'functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult'];
const SCHEMA = ['type', 'format', 'title', 'description', 'nullable', 'enum', 'maxItems', 'minItems', 'properties', 'required', 'minProperties', 'maxProperties',
  'minLength', 'maxLength', 'pattern', 'example', 'anyOf', 'propertyOrdering', 'default', 'items', 'minimum', 'maximum'];
const unknownIn = (o, known) => Object.keys(o ?? {}).find((k) => !known.includes(k));
const payload = (name, where) => `Invalid JSON payload received. Unknown name "${name}" at '${where}': Cannot find field.`;

function refuseSchema(s, where) {
  if (s === null || typeof s !== 'object') return null;
  const extra = unknownIn(s, SCHEMA);
  if (extra) return payload(extra, where);
  if (Array.isArray(s.type)) return `Invalid JSON payload received. Unknown name "type" at '${where}': Proto field is not repeating, cannot start list.`;
  const below = [...Object.values(s.properties ?? {}), ...(s.items ? [s.items] : []), ...(s.anyOf ?? [])];
  return below.map((b) => refuseSchema(b, where)).find(Boolean) ?? null;
}

function refuseContents(contents, model) {
  let calls = 0;
  for (const [i, c] of contents.entries()) {
    if (!['user', 'model'].includes(c.role ?? 'user')) return 'Please use a valid role: user, model.';
    if (!Array.isArray(c.parts) || !c.parts.length) return `* GenerateContentRequest.contents[${i}].parts: contents.parts must not be empty.`;
    for (const [k, p] of c.parts.entries()) {
      const extra = unknownIn(p, PARTS);
      if (extra) return payload(extra, `contents[${i}].parts[${k}]`);
      if (!['text', 'inlineData', 'fileData', 'functionCall', 'functionResponse', 'executableCode', 'codeExecutionResult'].some((f) => f in p)) {
        return `* GenerateContentRequest.contents[${i}].parts[${k}].data: required oneof field 'data' must have one initialized field`;
      }
    }
    const made = c.parts.filter((p) => p.functionCall);
    const given = c.parts.filter((p) => p.functionResponse);
    if (given.some((p) => p.functionResponse.response === null || typeof p.functionResponse.response !== 'object' || Array.isArray(p.functionResponse.response))) return payload('response', `contents[${i}]`);
    if (given.length !== calls) return 'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.';
    if (made.length && (c.role !== 'model' || i === 0)) return 'Please ensure that function call turn comes immediately after a user turn or after a function response turn.';
    if (made.length && /^gemini-3/.test(model) && !made[0].thoughtSignature) return `Function call is missing a thought_signature in functionCall parts. Function call \`default_api:${made[0].functionCall.name}\`, position ${i + 1}.`;
    calls = made.length;
  }
  return contents.at(-1).role === 'model' && calls ? 'Please ensure that the conversation ends with a user turn.' : null;
}

function refuse(req, model) {
  if (req === null || typeof req !== 'object') return 'Invalid JSON payload received. Unexpected end of string.';
  const extra = unknownIn(req, TOP);
  if (extra) return payload(extra, '');
  const odd = unknownIn(req.generationConfig, CONFIG);
  if (odd) return payload(odd, 'generation_config');
  if (!Array.isArray(req.contents) || !req.contents.length) return '* GenerateContentRequest.contents: contents is not specified';
  for (const [i, t] of (req.tools ?? []).entries()) {
    for (const d of t.functionDeclarations ?? []) {
      const more = unknownIn(d, ['name', 'description', 'parameters', 'parametersJsonSchema', 'response', 'responseJsonSchema', 'behavior']);
      if (more) return payload(more, `tools[${i}].function_declarations`);
      if (!/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/.test(d.name ?? '')) return `* GenerateContentRequest.tools[${i}].function_declarations[0].name: Invalid function name.`;
      const e = refuseSchema(d.parameters, `tools[${i}].function_declarations[0].parameters`);
      if (e) return e;
    }
  }
  const stops = req.generationConfig?.stopSequences ?? [];
  if (stops.length > 5) return 'Unable to submit request because it has more than 5 stop sequences.';
  return refuseSchema(req.generationConfig?.responseSchema, 'generation_config.response_schema') ?? refuseContents(req.contents, model);
}

const flat = (v) => (typeof v === 'string' ? v : Object.values(v ?? {}).map(flat).join(' '));

function ask(req) {
  const tail = req.contents.slice(req.contents.findLastIndex((c) => c.role === 'model') + 1).flatMap((c) => c.parts);
  const g = req.generationConfig ?? {};
  return { prompt: tail.map((p) => p.text ?? '').join('\n'), results: tail.filter((p) => p.functionResponse).map((p) => flat(p.functionResponse.response)),
    tools: req.toolConfig?.functionCallingConfig?.mode === 'NONE' ? [] : (req.tools ?? []).flatMap((t) => (t.functionDeclarations ?? []).map((d) => d.name)),
    schema: g.responseMimeType === 'application/json' && Boolean(g.responseSchema ?? g.responseJsonSchema),
    mayThink: g.thinkingConfig?.includeThoughts === true };
}

function usageOf(u = DEFAULT_USAGE, thoughts = 0) {
  const prompt = u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens;
  return { promptTokenCount: prompt, candidatesTokenCount: u.output_tokens - thoughts, ...(thoughts ? { thoughtsTokenCount: thoughts } : {}),
    cachedContentTokenCount: u.cache_read_input_tokens, totalTokenCount: prompt + u.output_tokens };
}

const SIGNATURE = Buffer.from('a signature of a thought').toString('base64');

function partsOf(blocks) {
  let signed = false;
  return blocks.flatMap((b) => {
    if (b.type === 'text') return [{ text: b.text }];
    if (b.type === 'thinking') return [{ text: b.thinking, thought: true }];
    if (b.type !== 'tool_use') return [];
    const part = { functionCall: { name: b.name, args: b.input }, ...(signed ? {} : { thoughtSignature: SIGNATURE }) };
    signed = true;
    return [part];
  });
}

function reply(a, model, parts, finishReason, usage) {
  return { candidates: [{ content: { role: 'model', parts }, ...(finishReason ? { finishReason } : {}), index: 0 }], usageMetadata: usage,
    modelVersion: model, responseId: `g${a.id}` };
}

export default {
  error: (a, status, message, e) => googleError(status, message, e),
  streamError: (a, message) => `data: ${JSON.stringify(googleError(503, message))}\n\n`,
  garbage: () => 'data: {"candidates": [{"con\n\n',
  headers: () => ({ 'server-timing': 'gfet4t7; dur=31', vary: 'Origin' }),

  run(a, { call, model, query }, body) {
    if (call === 'models') {
      return a.json(200, { models: (a.account.only ?? ['gemini-3-pro', 'gemini-2.5-flash']).map((m) => ({ name: `models/${m}`, displayName: m,
        inputTokenLimit: 1048576, outputTokenLimit: 65536, supportedGenerationMethods: ['generateContent', 'countTokens'] })) });
    }
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    if (a.account.only && !a.account.only.includes(model)) return a.error(404, `models/${model} is not found for API version v1beta, or is not supported for generateContent.`);
    const e = refuse(req, model);
    if (e) return a.error(400, e);
    if (call === 'countTokens') return a.json(200, { totalTokens: JSON.stringify(req.contents).length, promptTokensDetails: [] });
    const parts = partsOf(a.plan.blocks ?? blocksOf(ask(req), a.seq));
    const usage = usageOf(a.plan.usage, parts.some((p) => p.thought) ? 7 : 0);
    const finish = a.plan.finish ?? 'STOP';
    if (call === 'generateContent') return a.json(200, reply(a, model, parts, finish, usage));
    const small = parts.flatMap((p) => (p.text ? pieces(p.text, a.plan.size ?? 8).map((text) => ({ ...p, text })) : [p]));
    const values = small.map((p, i) => reply(a, model, [p], i === small.length - 1 ? finish : null, usage));
    if (query.get('alt') === 'sse') return a.stream(values.map((v) => `data: ${JSON.stringify(v)}\r\n\r\n`));
    return a.stream(values.map((v, i) => `${i ? ',\r\n' : '['}${JSON.stringify(v)}${i === values.length - 1 ? ']' : ''}`), 'application/json; charset=UTF-8');
  },
};
