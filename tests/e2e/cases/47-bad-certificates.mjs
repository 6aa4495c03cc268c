// Every way on which a credential leaves the gateway goes to nobody whose certificate is wrong in any
// way: requests and `account test` (14-tls.mjs), OAuth's renewal, Google's and Entra's tokens, and
// the keys of an AWS container.

import fs from 'node:fs';
import https from 'node:https';
import { message, test } from '../lib/harness.mjs';
import { equal } from '../lib/assert.mjs';
import { googleKey } from '../lib/vendors.mjs';
import { until } from '../lib/wire.mjs';

const WRONG = { wrongName: /name/i, expired: /expired/i, selfSigned: /self-signed|unknown issuer/i };

// Servers with a wrong certificate each, which write down what they are asked.
async function impostors(t) {
  const all = [];
  for (const [what, reason] of Object.entries(WRONG)) {
    const asked = [];
    const s = https.createServer({ cert: fs.readFileSync(t.shared.certs[what].cert), key: fs.readFileSync(t.shared.certs[what].key) }, (req, res) => {
      asked.push(req.url);
      res.writeHead(200, { 'content-type': 'application/json' }).end('{"access_token":"x","expires_in":3600,"refresh_token":"y"}');
    });
    s.on('tlsClientError', () => {});
    await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
    t.cleanups.push(() => s.closeAllConnections() ?? s.close());
    all.push({ what, reason, asked, url: `https://localhost:${s.address().port}` });
  }
  return all;
}

const WAYS = {
  'a renewal of OAuth': async (t, gw, prov, bad, name) => {
    const set = { access_token: t.secret(), refresh_token: t.secret(), expires_at: Date.now() - 1000 };
    for (const s of [set.access_token, set.refresh_token]) gw.secrets.set(s, 'a token');
    await gw.ok(['account', 'add', name, '--provider', 'claude-oauth', '--base-url', prov.url, '--token-url', `${bad.url}/token`, '--client-id', 'ours', '--token-file', '-'],
      { input: JSON.stringify(set) });
  },
  'Google\'s tokens': async (t, gw, prov, bad, name) => {
    const key = googleKey(`${bad.url}/token`);
    gw.secrets.set(key.file.private_key.split('\n')[3], 'a private key');
    await gw.ok(['account', 'add', name, '--provider', 'vertex-ai', '--base-url', prov.url, '--region', 'us-east5', '--project', 'a-project', '--secret-file', '-'],
      { input: JSON.stringify(key.file) });
  },
  'Entra\'s tokens': async (t, gw, prov, bad, name) => {
    const secret = t.secret();
    gw.secrets.set(secret, 'an Entra secret');
    await gw.ok(['account', 'add', name, '--provider', 'azure-openai', '--base-url', prov.url, '--api-version', '2024-10-21', '--tenant-id', 'a-tenant', '--client-id', 'app-1',
      '--token-url', `${bad.url}/token`, '--secret-file', '-'], { input: secret });
  },
  'the keys of a container': async (t, gw, prov, bad, name) => {
    gw.env.AWS_CONTAINER_CREDENTIALS_FULL_URI = `${bad.url}/creds`;
    gw.env.AWS_CONTAINER_AUTHORIZATION_TOKEN = 'container-token-canary';
    gw.secrets.set('container-token-canary', 'a container\'s token');
    await gw.ok(['account', 'add', name, '--provider', 'bedrock', '--base-url', prov.url, '--region', 'us-east-1', '--credential', 'container']);
  },
};

for (const [way, add] of Object.entries(WAYS)) {
  test(`bad certificates: ${way}`, async (t) => {
    const prov = await t.provider();
    const bad = await impostors(t);
    const gw = t.gateway();
    const used = way.includes('container') ? bad.slice(2) : bad; // there is one address in the environment
    for (const b of used) await add(t, gw, prov, b, b.what.toLowerCase());
    gw.key = await gw.addKey('tester');
    await gw.start({ env: { SSL_CERT_FILE: t.shared.certs.ca } });
    const azure = way.includes('Entra');
    gw.open(azure ? JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] }) : message(), azure ? { path: '/v1/chat/completions' } : {});
    const told = (b) => gw.logged().split('\n').some((l) => l.includes(`"account":"${b.what.toLowerCase()}"`) && b.reason.test(/"why":"[^"]*"/.exec(l)?.[0] ?? ''));
    await until(() => used.every(told), 8000, 'a refusal of each certificate');
    for (const b of used) equal(b.asked.length, 0, `${b.what}: nothing is said to it`);
    equal((await prov.requests()).length, 0, 'and without a credential nobody is asked');
  });
}
