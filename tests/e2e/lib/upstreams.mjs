// Accounts of every kind at the scripted provider: what each needs there, and how it is added.

import crypto from 'node:crypto';
import { awsKeys, googleKey } from './vendors.mjs';

const plainKey = (prefix) => `${prefix}${crypto.randomBytes(24).toString('base64url')}`;

// Each: {secret, entry: [the provider's name of it, what it knows], url, args}; `model` is one that a
// client of any dialect may ask for there.
export const UPSTREAMS = {
  anthropic: { model: 'claude-sonnet-4-6', make: (p) => { const k = plainKey('sk-ant-api03-'); return { secret: k, entry: [k, {}], url: p.url }; } },
  zai: { model: 'claude-sonnet-4-6', make: (p) => { const k = plainKey('zai-'); return { secret: k, entry: [k, {}], url: p.url }; } },
  minimax: { model: 'claude-sonnet-4-6', make: (p) => { const k = plainKey('mm-'); return { secret: k, entry: [k, {}], url: p.url }; } },
  openai: { model: 'gpt-6-sol', make: (p) => { const k = plainKey('sk-'); return { secret: k, entry: [k, { dialect: 'openai', flavor: 'openai' }], url: `${p.url}/v1` }; } },
  'openai-compatible': { model: 'some-model', make: (p) => { const k = plainKey('sk-'); return { secret: k, entry: [k, { dialect: 'openai', flavor: 'compatible' }], url: `${p.url}/v1` }; } },
  openrouter: { model: 'vendor/some-model', make: (p) => { const k = plainKey('sk-or-'); return { secret: k, entry: [k, { dialect: 'openai', flavor: 'openrouter' }], url: `${p.url}/api`, args: ['--dialect', 'openai'] }; } },
  'azure-openai': { model: 'my-gpt', make: (p) => { const k = plainKey(''); return { secret: k, entry: [k, { dialect: 'azure', models: ['my-gpt'] }], url: p.url, args: ['--api-version', '2024-10-21'] }; } },
  bedrock: { model: 'claude-sonnet-4-6', make: (p) => {
    const k = awsKeys({ session: true });
    return { secret: `${k.id}:${k.secret}:${k.token}`, secrets: [k.secret, k.token], entry: [k.id, { strict: true, aws: { ...k, region: 'us-east-1' } }], url: p.url, args: ['--region', 'us-east-1'] };
  } },
  'vertex-ai': { model: 'claude-sonnet-4-6', make: (p) => {
    const k = googleKey(`${p.url}/token`);
    return { secret: JSON.stringify(k.file), secrets: [k.file.private_key, k.file.private_key.split('\n')[3]], url: p.url,
      entry: [k.email, { strict: true, project: 'a-project', location: 'us-east5', google: { publicKey: k.publicKey, keyId: k.file.private_key_id } }], args: ['--region', 'us-east5', '--project', 'a-project'] };
  } },
  gemini: { model: 'gemini-3-pro', make: (p) => { const k = plainKey('AIza'); return { secret: k, entry: [k, { dialect: 'gemini', flavor: 'compatible' }], url: p.url, args: ['--dialect', 'gemini'] }; } },
  ollama: { model: 'qwen3-coder', make: (p) => ({ secret: null, entry: ['', { dialect: 'ollama', ways: ['none'] }], url: p.url, args: ['--dialect', 'ollama'] }) },
};

// Adds an account `name` of that kind. `more` goes to the provider's entry (plans, models, ...).
export async function addUpstream(gw, prov, kind, { name = kind, priority = 1, args = [], ...more } = {}) {
  const made = UPSTREAMS[kind].make(prov);
  const [key, entry] = made.entry;
  await prov.accounts({ [key]: { name, ...entry, ...more } });
  for (const s of [made.secret, ...(made.secrets ?? [])].filter(Boolean)) gw.secrets.set(s, `secret of account ${name}`);
  const line = ['account', 'add', name, '--provider', kind, '--base-url', made.url, '--priority', String(priority), ...(made.args ?? []), ...args];
  const p = await gw.cli(made.secret ? [...line, '--secret-file', '-'] : line, { input: made.secret ? `${made.secret}\n` : '' });
  if (p.code !== 0) throw new Error(`${p.command}: exit ${p.code}\n${p.out}${p.err}`);
  return { key, set: (what) => prov.accounts({ [key]: { name, ...entry, ...more, ...what } }) };
}

// One provider, one gateway, an account per kind in the order of their priority; a client key.
export async function house(t, kinds, { config, more = {} } = {}) {
  const prov = await t.provider();
  const gw = t.gateway();
  const up = {};
  for (const [i, kind] of [kinds].flat().entries()) up[kind] = await addUpstream(gw, prov, kind, { priority: i + 1, ...more[kind] });
  gw.key = await gw.addKey('tester');
  await gw.start({ config });
  const first = [kinds].flat()[0];
  return { gw, prov, up, model: UPSTREAMS[first].model, seen: () => prov.requests((r) => r.via !== 'token endpoint') };
}

// The event before which a stream breaks off after something has been said, and before its end.
export const MIDDLE = { gemini: 3, ollama: 3 };
