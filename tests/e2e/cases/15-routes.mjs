// The other routes: probes, models, batches, files, and whatever else is under /v1.

import { message, test } from '../lib/harness.mjs';
import { deepEqual, equal, isError, lacks, ok, sameBytes } from '../lib/assert.mjs';
import { sdk } from '../lib/clients.mjs';

test('routes: health', async (t) => {
  const { gw } = await t.setup();
  for (const p of ['/livez', '/readyz', '/health']) {
    const a = await gw.ask('GET', p, { key: null });
    equal(a.status, 200, `${p}: ${a.text}`);
    const h = await gw.ask('HEAD', p, { key: null });
    equal(h.status, 200, `HEAD ${p}`);
    equal(h.body.length, 0);
  }
});

test('routes: what is not offered is a 404 in the field\'s form', async (t) => {
  const { gw, prov } = await t.setup();
  for (const [m, p] of [['GET', '/'], ['GET', '/nope'], ['POST', '/v2/messages'], ['GET', '/v1messages'],
    ['GET', '/metricsx'], ['POST', '/api/accounts'], ['GET', '/.env'], ['GET', '/v1/../secret'],
    ['GET', '/v1/%2e%2e/x'], ['POST', '/v1/messages%2fbatches'], ['GET', '//v1/models']]) {
    const a = await gw.ask(m, p, { body: m === 'POST' ? '{}' : undefined });
    ok([400, 404, 405].includes(a.status) || (p === '/' && a.status === 200), `${m} ${p}: ${a.status}`);
    if (a.status === 404) {
      isError(a, 404, 'not_found_error');
      equal(a.get('x-should-retry'), 'false');
    }
  }
  equal((await prov.requests()).length, 0);
});

test('routes: no CORS permission is ever given', async (t) => {
  const { gw } = await t.setup();
  const pre = await gw.ask('OPTIONS', '/v1/messages', { key: null, headers: { origin: 'https://evil.example',
    'access-control-request-method': 'POST' } });
  lacks(pre, 'access-control-');
  lacks(await gw.post(message(), { headers: { origin: 'https://evil.example' } }), 'access-control-');
});

test('routes: any other /v1 path goes to an account', async (t) => {
  const { gw, prov, keys } = await t.setup();
  const bytes = Buffer.from('\x00\x01any bytes\xff', 'latin1');
  const a = await gw.ask('POST', '/v1/echo?x=1&y=%20z', { body: bytes, headers: { 'content-type': 'application/octet-stream' } });
  equal(a.status, 200);
  sameBytes(a.body, bytes, 'echo');
  const [seen] = await prov.requests();
  equal(seen.url, '/v1/echo?x=1&y=%20z');
  equal(seen.key, keys.a);
  const none = await gw.ask('GET', '/v1/skills');
  equal(none.status, 404);
  ok(none.json().request_id.startsWith('req_'), 'the provider\'s own 404');
});

test('routes: a base URL with a path', async (t) => {
  const prov = await t.provider();
  const { gw } = await t.setup({ accounts: {
    a: { kind: 'anthropic-compatible', provider: prov, url: `${prov.url}/some/prefix/` } } });
  await gw.post(message());
  ok((await prov.requests())[0].url.startsWith('/some/prefix/v1/messages'), (await prov.requests())[0].url);
});

test('routes: models are the union over the accounts, in pages', async (t) => {
  const { gw } = await t.setup({ accounts: {
    a: { models: ['claude-sonnet-4-6', 'claude-opus-4-8'] }, b: { models: ['claude-opus-4-8', 'claude-haiku-4-5'] } } });
  const all = await gw.ask('GET', '/v1/models?limit=1000');
  equal(all.status, 200, all.text);
  const ids = all.json().data.map((m) => m.id).sort();
  deepEqual(ids, ['claude-haiku-4-5', 'claude-opus-4-8', 'claude-sonnet-4-6']);
  for (const m of all.json().data) {
    equal(m.type, 'model');
    ok(m.display_name && m.created_at);
  }
  equal(all.json().has_more, false);
  const paged = [];
  let after = '';
  for (let i = 0; i < 10; i++) {
    const page = (await gw.ask('GET', `/v1/models?limit=1${after}`)).json();
    equal(page.data.length, 1);
    equal(page.first_id, page.data[0].id);
    equal(page.last_id, page.data[0].id);
    paged.push(page.data[0].id);
    if (!page.has_more) break;
    after = `&after_id=${page.last_id}`;
  }
  deepEqual(paged.sort(), ids);
  for await (const m of sdk('new', gw.url, gw.key).models.list({ limit: 2 })) ok(ids.includes(m.id));
  equal((await gw.ask('GET', '/v1/models/claude-opus-4-8')).json().id, 'claude-opus-4-8');
});

test('routes: models when one account is down', async (t) => {
  const { gw } = await t.setup({ accounts: {
    a: { models: ['claude-sonnet-4-6'] }, b: { plans: [{ status: 500, error: { message: 'boom' } }] } } });
  const a = await gw.ask('GET', '/v1/models');
  equal(a.status, 200, a.text);
  ok(a.json().data.some((m) => m.id === 'claude-sonnet-4-6'));
});

// Six batches over two equal accounts: each must be found again at the account that made it.
test('routes: batches follow their account, results_url leads to the gateway', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: { priority: 1 }, b: { priority: 1 } } });
  const params = { model: 'claude-sonnet-4-6', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] };
  const c = sdk('new', gw.url, gw.key);
  const made = [];
  for (let i = 0; i < 6; i++) {
    made.push((await c.messages.batches.create({ requests: [{ custom_id: `r${i}`, params }] })).id);
  }
  const look = async () => {
    for (const [i, id] of made.entries()) {
      const b = await c.messages.batches.retrieve(id);
      equal(b.results_url, `${gw.url}/v1/messages/batches/${id}/results`);
      const rows = [];
      for await (const r of await c.messages.batches.results(id)) rows.push(r);
      equal(rows[0].custom_id, `r${i}`);
    }
  };
  await look();
  const port = gw.port;
  await gw.stop();
  await gw.start({ ...gw.options, listen: [`127.0.0.1:${port}`] });
  await look();
  const b = await gw.ask('GET', `/v1/messages/batches/${made[0]}`);
  ok(!b.text.includes(prov.url), 'the provider is not named');
  equal((await c.messages.batches.cancel(made[1])).processing_status, 'canceling');
  equal((await c.messages.batches.delete(made[2])).id, made[2]);
  const used = new Set((await prov.requests((r) => r.method === 'POST' && r.url === '/v1/messages/batches')).map((r) => r.key));
  ok([...used].every((k) => Object.values(keys).includes(k)));
});

test('routes: a batch made through one account is served there even if another is preferred', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: {}, b: {} } });
  await gw.ok(['account', 'pause', 'a']);
  const params = { model: 'claude-sonnet-4-6', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] };
  const made = (await gw.post(JSON.stringify({ requests: [{ custom_id: 'x', params }] }), { path: '/v1/messages/batches' })).json();
  const file = await upload(gw, 'one');
  await gw.ok(['account', 'resume', 'a']);
  equal((await gw.ask('GET', `/v1/messages/batches/${made.id}`)).json().id, made.id);
  const results = await gw.ask('GET', `/v1/messages/batches/${made.id}/results`);
  equal(results.status, 200, results.text);
  equal((await gw.ask('GET', `/v1/files/${file.id}/content`)).text, 'one');
  ok((await prov.requests()).every((r) => r.key === keys.b), 'all at the account that made them');
  await gw.post(message());
  equal((await prov.requests()).at(-1).key, keys.a, 'messages go to the preferred account');
});

async function upload(gw, text) {
  const body = `--XX\r\ncontent-disposition: form-data; name="file"; filename="f.txt"\r\ncontent-type: text/plain\r\n\r\n${text}\r\n--XX--\r\n`;
  const a = await gw.ask('POST', '/v1/files', { body, headers: {
    'content-type': 'multipart/form-data; boundary=XX', 'anthropic-beta': 'files-api-2025-04-14' } });
  equal(a.status, 200, a.text);
  return a.json();
}

test('routes: files follow their account', async (t) => {
  const { gw } = await t.setup({ accounts: { a: { priority: 1 }, b: { priority: 1 } } });
  const c = sdk('new', gw.url, gw.key);
  const ids = [];
  for (let i = 0; i < 5; i++) ids.push((await upload(gw, `content ${i}`)).id);
  for (const [i, id] of ids.entries()) {
    equal((await c.files.retrieveMetadata(id)).id, id);
    equal(await (await c.files.download(id)).text(), `content ${i}`);
  }
  equal((await c.files.delete(ids[0])).id, ids[0]);
  const gone = await gw.ask('GET', `/v1/files/${ids[0]}`);
  equal(gone.status, 404);
  const unknown = await gw.ask('GET', '/v1/files/file_nobody');
  equal(unknown.status, 404);
});
