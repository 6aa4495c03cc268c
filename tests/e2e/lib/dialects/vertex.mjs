// Claude at Google: rawPredict and streamRawPredict. An account that is `strict` refuses a header
// anthropic-version, which Claude Code sends all the same.

import * as answers from '../answers.mjs';
import { refuseChecked } from '../checked.mjs';

const STATUS = { 400: 'INVALID_ARGUMENT', 401: 'UNAUTHENTICATED', 403: 'PERMISSION_DENIED', 404: 'NOT_FOUND', 429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL', 503: 'UNAVAILABLE', 504: 'DEADLINE_EXCEEDED' };
const BETAS = /^(?:claude-code-20250219|interleaved-thinking-|context-1m-|context-management-|fine-grained-tool-streaming-|effort-|web-search-|output-128k-|advanced-tool-use-|tool-search-tool-)/;

export const googleError = (status, message, e = {}) => ({ error: { code: status, message, status: e.type ?? STATUS[status] ?? 'UNKNOWN', ...(e.details ? { details: e.details } : {}) } });

function refuse(req, a, counting) {
  if (req === null || typeof req !== 'object') return 'The request body is not valid JSON.';
  if (!['vertex-2023-10-16', '2026-10-21'].includes(req.anthropic_version)) return `anthropic_version: "${req.anthropic_version}" is not a valid version`;
  const { anthropic_version, ...rest } = req;
  if (!counting && 'model' in req) return 'model: Extra inputs are not permitted';
  for (const f of ['anthropic_beta', 'fallbacks', 'mcp_servers', 'container', 'inference_geo', 'service_tier', 'thread', 'diagnostics']) {
    if (f in rest) return `${f}: Extra inputs are not permitted`;
  }
  const odd = (a.req.headers['anthropic-beta'] ?? '').split(',').map((b) => b.trim()).filter(Boolean).find((b) => !BETAS.test(b));
  if (odd) return `Unexpected value(s) \`${odd}\` for the \`anthropic-beta\` header. Please consult our documentation`;
  if (a.account.checked && !counting && refuseChecked({ model: 'x', ...rest })) return refuseChecked({ model: 'x', ...rest });
  return answers.validate({ model: 'x', ...rest }, anthropic_version === '2026-10-21' ? '2026-10-21' : '2023-06-01', counting);
}

export default {
  error: (a, status, message, e) => (e.google === false ? answers.errorBody(status, message, a.requestId, e.type) : googleError(status, message, e)),
  streamError: (a, message) => answers.sse('error', answers.errorBody(529, message, a.requestId)),
  garbage: () => 'event: content_block_delta\ndata: {"type":"content_bl\n\n',
  headers: (a) => ({ 'request-id': a.requestId.replace('req_', 'req_vrtx_') }),

  run(a, { call, model, project, location }, body) {
    if (a.account.project && project !== a.account.project) return a.error(403, `Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/${project}'`);
    if (a.account.location && location !== a.account.location) return a.error(404, `Publisher Model is not found in ${location}.`);
    if (a.req.headers['x-api-key'] || (a.account.strict && a.req.headers['anthropic-version'])) return a.error(400, 'headers of another door');
    if (a.req.url.includes('?')) return a.error(400, 'Unknown query parameter');
    let req = null;
    try { req = JSON.parse(body.toString()); } catch { /* refused below */ }
    const counting = model === 'count-tokens';
    const e = refuse(req, a, counting);
    if (e) return a.error(400, e, { google: false });
    if (counting) return a.json(200, { input_tokens: JSON.stringify(req.messages).length });
    if (a.account.only && !a.account.only.includes(model)) return a.error(404, `Publisher Model \`projects/${project}/locations/${location}/publishers/anthropic/models/${model}\` was not found or your project does not have access to it.`);
    if ((call === 'streamRawPredict') !== (req.stream === true)) return a.error(400, 'stream: does not go with this method', { google: false });
    const blocks = a.plan.blocks ?? answers.blocksFor(req, a.seq);
    const args = [{ ...req, model: model.replace(/@.*/, '') }, blocks, a.plan.usage ?? answers.DEFAULT_USAGE, a.seq, a.plan.model];
    return req.stream ? a.stream(answers.eventsOf(...args, a.plan.size)) : a.json(200, answers.messageOf(...args));
  },
};
