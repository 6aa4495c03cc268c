// Who asks: each provider's way to say so, and the two token endpoints (Google's, Entra's).
//
// Accounts by what they show:
//   {KEY: {...}}                         a key: x-api-key, Bearer, api-key, x-goog-api-key, ?key=
//   {'AKIA..': {aws: {secret, token, region, service}}}            signs its requests
//   {EMAIL: {google: {publicKey, lives}}}                          buys tokens with a signed JWT
//   {CLIENT_ID: {entra: {tenant, secret, scope, lives}}}           ... with its secret
//   {NAME: {gitlab: {pat, headers, lives}}}                        buys them with a personal access token
//   {'': {...}}                          needs nothing
// Whose keys a machine or a container of AWS has: `aws.role`, and `aws.container` by that token.
// `ways` of an account: those it takes; else any but a key in a place that its dialect has not.

import crypto from 'node:crypto';
import * as sigv4 from './sigv4.mjs';

const WAYS = { anthropic: ['x-api-key', 'bearer'], openai: ['bearer'], responses: ['bearer'], azure: ['api-key', 'token'],
  bedrock: ['sigv4', 'bearer'], vertex: ['token'], gemini: ['x-goog-api-key', 'key'], ollama: ['none', 'bearer'] };

// {key, via, token}: the account's name in the table of accounts, how it was shown, and a token if it was one.
export function presented(req, state) {
  const h = req.headers;
  const aws = sigv4.keyIdOf(h.authorization);
  const bearer = /^Bearer (.*)$/.exec(h.authorization ?? '')?.[1];
  const all = [['x-api-key', h['x-api-key']], ['sigv4', aws], ['bearer', bearer], ['api-key', h['api-key']],
    ['x-goog-api-key', h['x-goog-api-key']], ['key', new URL(req.url, 'http://x').searchParams.get('key') ?? undefined]]
    .filter(([, v]) => v !== undefined);
  if (all.length === 0) return { key: state.accounts[''] ? '' : undefined, via: 'none' };
  if (all.length > 1) return { key: all[0][1], via: 'both' };
  const [[via, key]] = all;
  const bought = via === 'bearer' ? state.tokens.get(key) : undefined;
  if (bought && bought.until > Date.now()) return { key: bought.key, via: 'token', token: key };
  return { key, via };
}

// null, or {status, message, type} by which the request is refused.
export function refuse(entry, account, dialect) {
  const denied = { anthropic: 'invalid x-api-key', openai: 'Incorrect API key provided.', responses: 'Incorrect API key provided.',
    azure: 'Access denied due to invalid subscription key or wrong API endpoint.', vertex: 'Request had invalid authentication credentials.',
    gemini: 'API key not valid. Please pass a valid API key.', ollama: 'unauthorized' }[dialect];
  if (entry.via === 'sigv4') {
    const e = sigv4.refuse({ method: entry.method, url: entry.url, headers: entry.headers, body: entry.body }, account?.aws);
    return e && { status: 403, message: e.message, type: e.name };
  }
  const ways = account?.ways ?? (account?.bearer ? ['bearer'] : WAYS[dialect]);
  if (account && ways.includes(entry.via) && !(account.aws && entry.via === 'bearer')) return null;
  if (dialect === 'bedrock') return { status: 403, message: 'The security token included in the request is invalid.', type: 'UnrecognizedClientException' };
  if (dialect === 'gemini') return { status: 400, message: denied };
  return { status: 401, message: denied };
}

// ---- token endpoints -------------------------------------------------------------------------

function issue(state, key, lives) {
  const token = `${key.includes('@') ? 'ya29.' : 'eyJ0eXAi.'}${crypto.randomBytes(24).toString('base64url')}`;
  state.tokens.set(token, { key, until: Date.now() + lives * 1000 });
  return token;
}

const form = (req, body) => (/^application\/x-www-form-urlencoded/.test(req.headers['content-type'] ?? '')
  ? Object.fromEntries(new URLSearchParams(body.toString())) : {});
const part = (s) => JSON.parse(Buffer.from(s, 'base64url').toString());

function jwtFault(jwt, audience, state) {
  const [head, claims, mark, ...more] = (jwt ?? '').split('.');
  if (mark === undefined || more.length || /[^A-Za-z0-9_-]/.test(head + claims + mark)) return 'Invalid JWT: not three parts';
  const h = part(head);
  const c = part(claims);
  const account = state.accounts[c.iss];
  if (h.alg !== 'RS256' || (h.typ ?? 'JWT') !== 'JWT') return 'Invalid JWT: algorithm';
  if (!account?.google) return 'Invalid grant: account not found';
  if (account.google.keyId && h.kid !== undefined && h.kid !== account.google.keyId) return 'Invalid JWT: unknown key';
  if (!crypto.verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), account.google.publicKey, Buffer.from(mark, 'base64url'))) return 'Invalid JWT Signature.';
  if (c.aud !== audience) return `Invalid JWT: Failed audience check. ${c.aud}`;
  const now = Date.now() / 1000;
  if (!(c.iat <= now + 60 && c.exp > now && c.exp - c.iat <= 3600)) return 'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.';
  return null;
}

// POST /token
export function googleToken(req, body, state, self) {
  const f = form(req, body);
  if (f.grant_type !== 'urn:ietf:params:oauth:grant-type:jwt-bearer') return [400, { error: 'unsupported_grant_type', error_description: `Invalid grant_type: ${f.grant_type}` }];
  let fault;
  try { fault = jwtFault(f.assertion, `${self}/token`, state); } catch { fault = 'Invalid JWT: not JSON'; }
  if (fault) return [400, { error: 'invalid_grant', error_description: fault }];
  const claims = part(f.assertion.split('.')[1]);
  if (!/(^| )https:\/\/www\.googleapis\.com\/auth\/cloud-platform( |$)/.test(claims.scope ?? '')) return [400, { error: 'invalid_scope', error_description: 'Empty or missing scope not allowed.' }];
  const lives = state.accounts[claims.iss].google.lives ?? 3599;
  return [200, { access_token: issue(state, claims.iss, lives), expires_in: lives, token_type: 'Bearer' }];
}

// POST /{tenant}/oauth2/v2.0/token
export function entraToken(req, body, state, tenant) {
  const f = form(req, body);
  const account = state.accounts[f.client_id];
  const no = (error, code, text) => [error === 'invalid_client' ? 401 : 400, { error, error_description: `AADSTS${code}: ${text}`, error_codes: [code] }];
  if (f.grant_type !== 'client_credentials') return no('unsupported_grant_type', 70003, `The app requested an unsupported grant type '${f.grant_type}'.`);
  if (account?.entra?.tenant !== tenant) return no('unauthorized_client', 700016, `Application with identifier '${f.client_id}' was not found in the directory.`);
  if (f.client_secret !== account.entra.secret) return no('invalid_client', 7000215, 'Invalid client secret provided.');
  if (f.scope !== account.entra.scope) return no('invalid_scope', 70011, `The provided value for scope ${f.scope} is not valid.`);
  const lives = account.entra.lives ?? 3599;
  return [200, { token_type: 'Bearer', expires_in: lives, ext_expires_in: lives, access_token: issue(state, f.client_id, lives) }];
}

// POST /api/v4/ai/third_party_agents/direct_access
export function gitlabToken(req, state) {
  const pat = /^Bearer (.*)$/.exec(req.headers.authorization ?? '')?.[1];
  const [key, account] = Object.entries(state.accounts).find(([, a]) => a.gitlab && a.gitlab.pat === pat) ?? [];
  if (!account) return [401, { message: '401 Unauthorized' }];
  return [201, { token: issue(state, key, account.gitlab.lives ?? 1800), headers: account.gitlab.headers }];
}

// The metadata service of a machine, and the endpoint of a container; null: the path is none of theirs.
export function awsKeysOf(req, state, pathname) {
  const [id, account] = Object.entries(state.accounts).find(([, a]) => a.aws?.role || a.aws?.container) ?? [];
  const keys = account && { AccessKeyId: id, SecretAccessKey: account.aws.secret, Token: account.aws.token, Expiration: new Date(Date.now() + 3600e3).toISOString().replace(/\.\d+/, '') };
  const text = (s) => [200, s, 'text/plain'];
  if (pathname === '/container/keys') return req.headers.authorization === account?.aws.container ? [200, keys] : [403, { message: 'no' }];
  if (pathname === '/latest/api/token') return req.method === 'PUT' && req.headers['x-aws-ec2-metadata-token-ttl-seconds'] ? text('a-session==') : [400, { message: 'no' }];
  if (!pathname.startsWith('/latest/meta-data/iam/security-credentials')) return null;
  if (req.headers['x-aws-ec2-metadata-token'] !== 'a-session==') return [401, { message: 'no' }];
  return pathname.endsWith(`/${account?.aws.role}`) ? [200, { Code: 'Success', ...keys }] : text(account.aws.role);
}
