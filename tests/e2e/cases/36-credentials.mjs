// Accounts whose credential is not given to the gateway but found: environment, files, endpoints.

import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { awsKeys, googleKey } from '../lib/vendors.mjs';
import { house } from '../lib/upstreams.mjs';

// A gateway with one account of `kind` without a secret; `env` and files are made by `before`.
async function found(t, kind, args, know, env) {
  const prov = await t.provider();
  const gw = t.gateway();
  const made = know(prov, gw);
  await prov.accounts({ [made.key]: made.entry });
  for (const s of made.secrets) gw.secrets.set(s, 'a credential that was found');
  Object.assign(gw.env, env(made, gw));
  await gw.ok(['account', 'add', 'found', '--provider', kind, '--base-url', prov.url, ...args]);
  gw.key = await gw.addKey('tester');
  await gw.start();
  return { prov, gw, made };
}

const aws = (session) => () => { const k = awsKeys({ session }); return { ...k, k, key: k.id, entry: { strict: true, aws: { ...k, region: 'us-east-1' } }, secrets: [k.secret, k.token].filter(Boolean) }; };

async function serves({ gw, prov, made }) {
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200, a.text);
  ok(a.text.includes('message_stop'));
  for (const r of await prov.requests()) equal(r.key, made.key);
}

for (const session of [false, true]) {
  test(`credentials: AWS's environment${session ? ', with a session' : ''}`, async (t) => {
    await serves(await found(t, 'bedrock', ['--credential', 'env', '--region', 'us-east-1'], aws(session), (k) => ({ AWS_ACCESS_KEY_ID: k.k.id, AWS_SECRET_ACCESS_KEY: k.k.secret, ...(session ? { AWS_SESSION_TOKEN: k.k.token } : {}), AWS_REGION: 'us-east-1' })));
  });
}

test('credentials: AWS\'s shared files', async (t) => {
  await serves(await found(t, 'bedrock', ['--credential', 'profile', '--profile', 'work', '--region', 'us-east-1'], aws(true), (k, gw) => {
    fs.mkdirSync(path.join(gw.dir, '.aws'), { recursive: true });
    fs.writeFileSync(path.join(gw.dir, '.aws', 'credentials'), `[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n\n[work]\naws_access_key_id = ${k.k.id}\naws_secret_access_key = ${k.k.secret}\naws_session_token = ${k.k.token}\n`);
    fs.writeFileSync(path.join(gw.dir, '.aws', 'config'), '[profile work]\nregion = us-east-1\n');
    return {};
  }));
});

test('credentials: an endpoint of the container\'s, asked once and again when they run out', async (t) => {
  const asked = [];
  let now = awsKeys({ session: true });
  const s = http.createServer((req, res) => {
    asked.push(req.headers.authorization);
    res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ AccessKeyId: now.id, SecretAccessKey: now.secret, Token: now.token, Expiration: new Date(Date.now() + 3600000).toISOString() }));
  });
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  t.cleanups.push(() => s.closeAllConnections() ?? s.close());
  const know = () => ({ key: now.id, k: now, entry: { strict: true, aws: { ...now, region: 'us-east-1' } }, secrets: [now.secret, now.token, 'container-token-canary'] });
  const h = await found(t, 'bedrock', ['--credential', 'container', '--region', 'us-east-1'], know, () => ({
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${s.address().port}/creds`, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'container-token-canary' }));
  await serves(h);
  await serves(h);
  equal(asked.length, 1);
  equal(asked[0], 'container-token-canary');
  // The keys are withdrawn: the refusal has others fetched, and the request is made once more.
  const old = now;
  now = awsKeys({ session: true });
  for (const x of [now.secret, now.token]) h.gw.secrets.set(x, 'a credential that was found');
  await h.prov.accounts({ [old.id]: { aws: { ...old, secret: 'x', region: 'us-east-1' } }, [now.id]: { strict: true, aws: { ...now, region: 'us-east-1' } } });
  const a = await h.gw.post(message());
  equal(a.status, 200, a.text);
  equal(asked.length, 2);
});

test('credentials: a bearer token of Bedrock\'s', async (t) => {
  const prov = await t.provider();
  const gw = t.gateway();
  const token = `ABSK${Buffer.from('a-bearer-token-canary-of-bedrock').toString('base64')}`;
  gw.secrets.set(token, 'a bearer token');
  await prov.accounts({ [token]: { strict: true } });
  await gw.ok(['account', 'add', 'b', '--provider', 'bedrock', '--base-url', prov.url, '--region', 'us-east-1', '--secret-file', '-'], { input: token });
  gw.key = await gw.addKey('tester');
  await gw.start();
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests())[0].via, 'bearer');
});

test('credentials: a file that Google\'s own tools would use', async (t) => {
  const prov = await t.provider();
  const key = googleKey(`${prov.url}/token`);
  const gw = t.gateway();
  const file = path.join(t.dir, 'adc.json');
  fs.writeFileSync(file, JSON.stringify(key.file));
  gw.env.GOOGLE_APPLICATION_CREDENTIALS = file;
  gw.secrets.set(key.file.private_key.split('\n')[3], 'a private key');
  await prov.accounts({ [key.email]: { project: 'a-project', location: 'us-east5', google: { publicKey: key.publicKey } } });
  await gw.ok(['account', 'add', 'v', '--provider', 'vertex-ai', '--base-url', prov.url, '--region', 'us-east5', '--project', 'a-project', '--credential', 'env']);
  gw.key = await gw.addKey('tester');
  await gw.start();
  equal((await gw.post(message())).status, 200);
  match((await prov.requests()).at(-1).url, /^\/v1\/projects\/a-project\/locations\/us-east5\/publishers\/anthropic\/models\/claude-sonnet-4-6:rawPredict$/);
});

// ---- limits in other vendors' words ----------------------------------------------------------

const until = (ms) => new Date(Date.now() + ms);
// "2025-10-03 08:23:14", in UTC+8.
const beijing = (d) => new Date(d.getTime() + 8 * 3600000).toISOString().replace('T', ' ').slice(0, 19);
const WORDS = {
  zai: (end) => ({ status: 429, body: JSON.stringify({ type: 'error', error: { type: '1308', message: `Usage limit reached for 5 hour. Your limit will reset at ${beijing(end)}` } }) }),
  'zai in a 200': (end) => ({ status: 200, body: JSON.stringify({ type: 'error', error: { type: '1308', message: `Usage limit reached for 5 hour. Your limit will reset at ${beijing(end)}` } }) }),
  minimax: () => ({ status: 200, body: JSON.stringify({ base_resp: { status_code: 1002, status_msg: 'rate limit' } }) }),
  'minimax broke': () => ({ status: 200, body: JSON.stringify({ base_resp: { status_code: 1008, status_msg: 'insufficient balance' } }) }),
  openai: () => ({ status: 429, error: { message: 'You exceeded your current quota, please check your plan and billing details.', type: 'insufficient_quota', code: 'insufficient_quota' } }),
  gemini: () => ({ status: 429, error: { message: 'Quota exceeded', details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34s' }] } }),
  bedrock: () => ({ status: 429, error: { message: 'Too many tokens, please wait before trying again.' } }),
};
for (const [what, words] of Object.entries(WORDS)) {
  test(`credentials: ${what} is at its limit, another serves`, async (t) => {
    const kind = what.split(' ')[0];
    const end = until(2 * 3600000);
    const plans = [words(end)];
    const args = ['openai', 'gemini'].includes(kind) ? ['--model', '*=x'] : [];
    const { gw, prov } = await house(t, [kind, 'anthropic'], { more: { [kind]: { plans, args } } });
    for (const stream of [false, true]) equal((await gw.post(message({ stream }))).status, 200);
    const asked = (await prov.requests((r) => r.via !== 'token endpoint')).map((r) => r.answered);
    ok(asked.length >= 3, asked.join());
    if (what === 'zai') {
      const shown = JSON.stringify(await gw.json(['account', 'show', kind]));
      const minutes = [end.getTime() - 60000, end.getTime(), end.getTime() + 60000].map((m) => new Date(m).toISOString().slice(0, 16));
      ok(minutes.some((m) => shown.includes(m)) || shown.includes(String(Math.floor(end.getTime() / 1000)).slice(0, 8)), `benched until ${end.toISOString()}: ${shown}`);
    }
  });
}
