// The official SDK in two generations through the gateway, over HTTP and TLS towards the provider.

import { test } from '../lib/harness.mjs';
import { deepEqual, equal, match, ok, rejects } from '../lib/assert.mjs';
import { SDKS, sdk } from '../lib/clients.mjs';

const ASK = { model: 'claude-sonnet-4-6', max_tokens: 99, messages: [{ role: 'user', content: 'Hi [[think]]' }] };
const TOOLS = [{ name: 'save', description: 'Saves it', input_schema: { type: 'object', properties: { temp: { type: 'number' } } } }];
const err = (status, message, headers, type) => ({ status, error: { message, type }, headers });

for (const gen of Object.keys(SDKS)) {
  for (const way of ['http', 'tls']) {
    test(`sdk ${gen} over ${way}: create, stream, tools, count_tokens, models`, async (t) => {
      const tls = way === 'tls' ? t.shared.certs.good : undefined;
      const { gw, prov } = await t.setup({ tls, env: { SSL_CERT_FILE: t.shared.certs.ca } });
      const c = sdk(gen, gw.url, gw.key);
      const made = await c.messages.create(ASK);
      equal(made.content[0].type, 'thinking');
      equal(made.content[1].text, 'Hello from the scripted provider.');
      match(made._request_id, /^req_/);
      const texts = [];
      const stream = c.messages.stream(ASK).on('text', (x) => texts.push(x));
      const final = await stream.finalMessage();
      equal(texts.join(''), 'Hello from the scripted provider.');
      deepEqual(final.content[0].signature, made.content[0].signature);
      equal(final.usage.output_tokens, 15);
      const user = { role: 'user', content: '[[tool:save {"temp":4}]]' };
      const turn = await c.messages.stream({ ...ASK, tools: TOOLS, messages: [user] }).finalMessage();
      equal(turn.stop_reason, 'tool_use');
      const use = turn.content.find((b) => b.type === 'tool_use');
      deepEqual(use.input, { temp: 4 });
      const after = await c.messages.create({ ...ASK, tools: TOOLS, messages: [user,
        { role: 'assistant', content: turn.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'saved' }] }] });
      equal(after.content[0].text, 'Tool said: saved');
      const { max_tokens, ...counted } = ASK;
      ok((await c.messages.countTokens(counted)).input_tokens > 0);
      const ids = [];
      for await (const m of c.models.list({ limit: 2 })) ids.push(m.id);
      equal(ids.length, 5);
      const seen = await prov.requests((r) => r.url.startsWith('/v1/messages'));
      equal(seen[0].header('anthropic-version'), gen === 'new' ? '2026-10-21' : '2023-06-01');
      for (const r of seen) equal(r.via, 'x-api-key');
    });
  }

  test(`sdk ${gen}: typed errors`, async (t) => {
    const S = SDKS[gen];
    const { gw, plan } = await t.setup({ config: { queue_timeout: '0s' } });
    const c = sdk(gen, gw.url, gw.key);
    const cases = [
      [err(400, 'prompt is too long: 9 tokens > 8 maximum'), S.BadRequestError, 400],
      [err(403, 'not yours'), S.PermissionDeniedError, 403],
      [err(404, 'model: x'), S.NotFoundError, 404],
      [err(413, 'Request exceeds the maximum size'), S.APIError, 413],
      [err(500, 'boom'), S.InternalServerError, undefined],
      [err(429, 'slow down', { 'retry-after': '900' }), S.RateLimitError, 429],
    ];
    for (const [p, cls, status] of cases) {
      await plan('a', [p]);
      await gw.cli(['account', 'resume', 'a']);
      const e = await c.messages.create(ASK).then(() => null, (x) => x);
      ok(e instanceof cls, `${p.status}: ${e?.constructor?.name} ${e?.message}`);
      if (status) equal(e.status, status);
      if (status === 400) {
        match(e.message, /prompt is too long: 9 tokens > 8 maximum/);
        equal(e.error.error.type, 'invalid_request_error');
        match(e.requestID, /^req_/);
      }
      if (status === 429) ok(Number(e.headers.get('retry-after')) > 800);
    }
    await rejects(sdk(gen, gw.url, 'slc_wrong').messages.create(ASK), S.AuthenticationError);
    await rejects(sdk(gen, gw.url, 'sk-ant-oat01-of-the-client').messages.create(ASK), S.AuthenticationError);
  });

  test(`sdk ${gen}: a long wait is not slept through`, async (t) => {
    const { gw } = await t.setup({ accounts: { a: { plans: [err(429, 'limit', { 'retry-after': '3600' })] } } });
    const c = sdk(gen, gw.url, gw.key, { maxRetries: 2 });
    const from = Date.now();
    await rejects(c.messages.create(ASK), SDKS[gen].RateLimitError);
    ok(Date.now() - from < 5000, `took ${Date.now() - from} ms`);
  });

  test(`sdk ${gen}: failover is not seen by the client`, async (t) => {
    const { gw, prov } = await t.setup({ accounts: { a: { plans: [err(529, 'Overloaded')] }, b: {} } });
    const final = await sdk(gen, gw.url, gw.key).messages.stream(ASK).finalMessage();
    equal(final.content[1].text, 'Hello from the scripted provider.');
    equal((await prov.requests()).length, 2);
  });

  for (const how of ['reset', 'fin', 'end']) {
    test(`sdk ${gen}: a stream broken by ${how} is an error in a plain loop`, async (t) => {
      const { gw } = await t.setup({ accounts: { a: { plans: [{ cut: { at: 7, how } }] } } });
      const c = sdk(gen, gw.url, gw.key);
      let got = 0;
      const loop = async () => {
        for await (const ev of await c.messages.create({ ...ASK, stream: true })) if (ev) got++;
      };
      await rejects(loop(), SDKS[gen].APIError);
      ok(got >= 3, `${got} events came first`);
    });
  }

  test(`sdk ${gen}: leaving a stream ends the upstream`, async (t) => {
    const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 6 }] } } });
    const c = sdk(gen, gw.url, gw.key);
    const stream = await c.messages.create({ ...ASK, stream: true });
    for await (const ev of stream) if (ev.type === 'content_block_delta') break;
    stream.controller.abort();
    await prov.waitState('aborted', 3000);
  });
}

test('sdk new: betas and beta headers pass', async (t) => {
  const { gw, prov } = await t.setup();
  const c = sdk('new', gw.url, gw.key);
  const made = await c.beta.messages.create({ ...ASK, betas: ['context-management-2025-06-27', 'unheard-of-2030-01-01'] });
  equal(made.type, 'message');
  const [seen] = await prov.requests();
  match(seen.header('anthropic-beta'), /context-management-2025-06-27/);
  match(seen.header('anthropic-beta'), /unheard-of-2030-01-01/);
  match(seen.url, /^\/v1\/messages/);
});

test('sdk new: 2026-10-21 and temperature: the provider\'s 400 comes through', async (t) => {
  const { gw } = await t.setup();
  const e = await sdk('new', gw.url, gw.key).messages.create({ ...ASK, temperature: 1 }).then(() => null, (x) => x);
  match(e.message, /temperature: Extra inputs are not permitted/);
});
