// Which dialect a path belongs to, and what is asked for.

import * as answers from '../answers.mjs';
import bedrock from './bedrock.mjs';
import gemini from './gemini.mjs';
import ollama from './ollama.mjs';
import openai from './openai.mjs';
import responses from './responses.mjs';
import vertex from './vertex.mjs';

// The Messages API itself is in provider.mjs.
const anthropic = {
  error: (a, status, message, e = {}) => answers.errorBody(status, message, a.requestId, e.type, e.details),
  streamError: (a, message) => answers.sse('error', answers.errorBody(529, message, a.requestId)),
  garbage: () => 'event: content_block_delta\ndata: {"type":"content_bl\n\n',
  headers: (a) => ({ 'request-id': a.requestId, 'anthropic-organization-id': `org_${a.account.name}`, 'cf-ray': '8f00scripted-OSL', ...answers.limitHeaders() }),
};
const azure = { ...openai, headers: (a) => ({ ...openai.headers(a), 'apim-request-id': a.requestId, 'x-ms-region': 'Sweden Central' }),
  error: (a, status, message, e = {}) => (status === 401 || e.code === 'DeploymentNotFound' ? { error: { code: e.code ?? '401', message } } : openai.error(a, status, message, e)) };

export const DIALECTS = { anthropic, openai, responses, azure, bedrock, vertex, gemini, ollama };

// [method, what the path ends with, dialect, names of the groups]; with `call` in one of them.
const ROUTES = [
  ['POST', /^\/openai\/deployments\/(?<model>[^/]+)\/(?<call>chat\/completions|embeddings)$/, 'azure'],
  ['POST', /\/(?<call>chat\/completions|embeddings)$/, 'openai'],
  ['POST', /\/responses$/, 'responses'],
  ['POST', /\/responses\/(?<call>compact)$/, 'responses'],
  ['POST', /^\/model\/(?<model>[^/]+)\/(?<call>invoke|invoke-with-response-stream|count-tokens)$/, 'bedrock'],
  ['POST', /^\/v1\/projects\/(?<project>[^/]+)\/locations\/(?<location>[^/]+)\/publishers\/anthropic\/models\/(?<model>[^/:]+):(?<call>rawPredict|streamRawPredict)$/, 'vertex'],
  ['POST', /^\/v1(?:beta)?\/models\/(?<model>[^/:]+):(?<call>generateContent|streamGenerateContent|countTokens)$/, 'gemini'],
  ['GET', /^\/v1beta\/(?<call>models)$/, 'gemini'],
  ['POST', /^\/api\/(?<call>chat)$/, 'ollama'],
  ['GET', /^\/api\/(?<call>tags|version)$/, 'ollama'],
];
const LISTS = [['GET', /\/(?<call>models)$/], ['GET', /\/models\/(?<model>.+)$/]];

// {dialect, call, model, ...}; `of` is the account's own dialect, which decides what paths that several have mean.
export function find(method, rawPath, query, of) {
  for (const [m, re, dialect] of ROUTES) {
    const hit = method === m ? re.exec(rawPath) : null;
    if (hit) {
      const g = { ...hit.groups };
      if (g.model !== undefined) g.model = decodeURIComponent(g.model);
      return { dialect, query, ...g };
    }
  }
  if (of === 'openai' || of === 'responses') {
    for (const [m, re] of LISTS) {
      const hit = method === m ? re.exec(rawPath) : null;
      if (hit) return { dialect: 'openai', query, call: 'model', ...hit.groups };
    }
  }
  return { dialect: of ?? 'anthropic', query, call: null };
}
