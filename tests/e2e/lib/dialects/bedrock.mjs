// AWS Bedrock's runtime with Claude: the model in the path, streams as binary frames. An account
// that is `strict` refuses what its documentation does not name, though the vendor's own clients
// send it and are served: `metadata`, the headers of the Messages API, betas of other platforms.

import crypto from 'node:crypto';
import * as answers from '../answers.mjs';
import { refuseChecked, versionOf } from '../checked.mjs';

const TOP = new Set(['anthropic_version', 'anthropic_beta', 'messages', 'system', 'max_tokens', 'stop_sequences', 'temperature', 'top_p',
  'top_k', 'tools', 'tool_choice', 'thinking', 'output_config', 'context_management']);
const SENT = ['metadata']; // by Claude Code
const BETAS = ['computer-use-2025-01-24', 'computer-use-2025-11-24', 'output-128k-2025-02-19', 'token-efficient-tools-2025-02-19', 'dev-full-thinking-2025-05-14',
  'interleaved-thinking-2025-05-14', 'context-1m-2025-08-07', 'context-management-2025-06-27', 'effort-2025-11-24', 'claude-code-20250219',
  'fine-grained-tool-streaming-2025-05-14', 'tool-search-tool-2025-10-19', 'tool-examples-2025-10-29', 'structured-outputs-2025-11-13'];
const NAMES = { 400: 'ValidationException', 403: 'AccessDeniedException', 404: 'ResourceNotFoundException', 408: 'ModelTimeoutException',
  413: 'ValidationException', 424: 'ModelErrorException', 429: 'ThrottlingException', 500: 'InternalServerException', 503: 'ServiceUnavailableException' };

// ---- frames ----------------------------------------------------------------------------------

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

export function crc32(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) c = TABLE[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n >>> 0); return b; };

// A frame with string headers.
export function frame(headers, payload) {
  const parts = Object.entries(headers).map(([k, v]) => {
    const size = Buffer.alloc(2);
    size.writeUInt16BE(Buffer.byteLength(v));
    return Buffer.concat([Buffer.from([Buffer.byteLength(k)]), Buffer.from(k), Buffer.from([7]), size, Buffer.from(v)]);
  });
  const head = Buffer.concat(parts);
  const body = Buffer.from(payload);
  const prelude = Buffer.concat([u32(16 + head.length + body.length), u32(head.length)]);
  const all = Buffer.concat([prelude, u32(crc32(prelude)), head, body]);
  return Buffer.concat([all, u32(crc32(all))]);
}

export function chunk(event, pad = 'abcdefghijklmnopqrstuvwxyz'.slice(0, 4 + (JSON.stringify(event).length % 20))) {
  const payload = JSON.stringify({ bytes: Buffer.from(JSON.stringify(event)).toString('base64'), p: pad });
  return frame({ ':event-type': 'chunk', ':content-type': 'application/json', ':message-type': 'event' }, payload);
}

export const exception = (name, message) => frame({ ':exception-type': name, ':content-type': 'application/json', ':message-type': 'exception' },
  JSON.stringify({ message }));

// The frames of a whole body; throws at what is no frame.
export function readFrames(bytes) {
  const out = [];
  for (let at = 0; at < bytes.length;) {
    const total = bytes.readUInt32BE(at);
    const size = bytes.readUInt32BE(at + 4);
    if (bytes.readUInt32BE(at + 8) !== crc32(bytes.subarray(at, at + 8))) throw new Error('prelude CRC');
    if (at + total > bytes.length) throw new Error('a frame is cut off');
    if (bytes.readUInt32BE(at + total - 4) !== crc32(bytes.subarray(at, at + total - 4))) throw new Error('message CRC');
    const headers = {};
    for (let i = at + 12; i < at + 12 + size;) {
      const name = bytes.subarray(i + 1, i + 1 + bytes[i]).toString();
      i += 1 + bytes[i];
      if (bytes[i] !== 7) throw new Error(`a header of type ${bytes[i]}`);
      const len = bytes.readUInt16BE(i + 1);
      headers[name] = bytes.subarray(i + 3, i + 3 + len).toString();
      i += 3 + len;
    }
    const payload = bytes.subarray(at + 12 + size, at + total - 4).toString();
    const json = payload ? JSON.parse(payload) : null;
    out.push({ headers, json, event: json?.bytes ? JSON.parse(Buffer.from(json.bytes, 'base64')) : null });
    at += total;
  }
  return out;
}

// ---- what it refuses -------------------------------------------------------------------------

function images(messages) {
  return (messages ?? []).flatMap((m) => (Array.isArray(m.content) ? m.content : []))
    .flatMap((b) => [b, ...(Array.isArray(b.content) ? b.content : [])]);
}

function refuse(req, a, model) {
  if (req === null || typeof req !== 'object') return 'Malformed input request, please reformat your input and try again.';
  const version = req.anthropic_version;
  const newer = version === '2026-10-21' && versionOf(model) >= 4.7;
  if (version !== 'bedrock-2023-05-31' && !newer) return `anthropic_version: "${version}" is not a valid version`;
  const extra = Object.keys(req).find((k) => !TOP.has(k) && (a.account.strict || !SENT.includes(k)));
  if (extra) return `${extra}: Extra inputs are not permitted`;
  if (req.anthropic_beta !== undefined && !Array.isArray(req.anthropic_beta)) return 'anthropic_beta: Input should be a valid list';
  const odd = (req.anthropic_beta ?? []).find((b) => !BETAS.includes(b));
  if (odd) return 'invalid beta flag';
  if (req.context_management && !req.anthropic_beta?.includes('context-management-2025-06-27')) return 'context_management: Extra inputs are not permitted';
  if (typeof req.max_tokens !== 'number') return 'max_tokens: Field required';
  if (!Array.isArray(req.messages)) return 'messages: Field required';
  if (images(req.messages).some((b) => b.source?.type === 'url' || b.source?.type === 'file')) return 'messages: URL sources are not supported';
  if ((req.tools ?? []).some((t) => /^(?:web_search|web_fetch|code_execution)_/.test(t.type ?? ''))) return `tools: Input tag '${req.tools[0].type}' found using 'type' does not match any of the expected tags`;
  if (a.account.strict && a.req.headers['anthropic-version']) return 'the header anthropic-version does not belong here';
  return null;
}

function checked({ anthropic_version, anthropic_beta, ...req }, model) {
  return refuseChecked({ model, ...req });
}

export default {
  error: (a, status, message) => ({ message }),
  errorHeaders: (a, status, e) => ({ 'x-amzn-errortype': `${e.type ?? NAMES[status] ?? 'InternalServerException'}:http://internal.amazon.com/coral/com.amazon.bedrock/` }),
  streamError: (a, message) => exception(a.plan.exception ?? 'modelStreamErrorException', message),
  garbage: () => { const f = chunk({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'wrong' } }); f[f.length - 1] ^= 1; return f; },
  headers: () => ({ 'x-amzn-requestid': crypto.randomUUID() }),

  run(a, { call, model }, body) {
    if (!/^(?:arn:aws[a-z-]*:bedrock:|(?:[a-z]{2,6}(?:-gov)?\.)?anthropic\.)/.test(model)) return a.error(400, 'The provided model identifier is invalid.');
    if (a.account.only && !a.account.only.includes(model)) {
      return a.error(400, `Invocation of model ID ${model} with on-demand throughput isn\u2019t supported. Retry your request with the ID or ARN of an inference profile that contains this model.`);
    }
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    if (call === 'count-tokens') {
      try { req = JSON.parse(Buffer.from(req.input.invokeModel.body, 'base64').toString()); } catch { return a.error(400, 'Malformed input request'); }
      const e = refuse({ ...req, max_tokens: req.max_tokens ?? 1 }, a, model);
      return e ? a.error(400, e) : a.json(200, { inputTokens: JSON.stringify(req.messages).length });
    }
    const e = refuse(req, a, model) ?? (a.account.checked ? checked(req, model) : null);
    if (e) return a.error(400, e);
    const asked = { ...req, model: model.replace(/^.*anthropic\./, '').replace(/-v\d+(?::\d+)?$/, '') };
    const blocks = a.plan.blocks ?? answers.blocksFor(asked, a.seq);
    const args = [asked, blocks, a.plan.usage ?? answers.DEFAULT_USAGE, a.seq, a.plan.model];
    const tokens = { 'x-amzn-bedrock-input-token-count': '25', 'x-amzn-bedrock-output-token-count': '15', 'x-amzn-bedrock-invocation-latency': '31' };
    if (call === 'invoke') return a.json(200, answers.messageOf(...args), tokens);
    const events = answers.eventsOf(...args, a.plan.size).map((text) => JSON.parse(text.slice(text.indexOf('data: ') + 6)))
      .filter((ev) => ev.type !== 'ping');
    events.at(-1)['amazon-bedrock-invocationMetrics'] = { inputTokenCount: 25, outputTokenCount: 15, invocationLatency: 31, firstByteLatency: 5 };
    return a.stream(events.map((ev) => chunk(ev)), 'application/vnd.amazon.eventstream', { 'x-amzn-bedrock-content-type': 'application/json' });
  },
};
