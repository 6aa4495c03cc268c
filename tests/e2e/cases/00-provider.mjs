// The scripted provider against the real clients, with no gateway between: these cases prove that
// what the other cases use as the far end behaves like the real one, as far as the clients can tell.

import { test } from '../lib/harness.mjs';
import { Connection, ask, events } from '../lib/wire.mjs';
import { equal, match, ok, rejects, sameBytes } from '../lib/assert.mjs';
import { NOTE, READ_PROMPT, SDKS, claude, curl, sdk } from '../lib/clients.mjs';
import { message } from '../lib/harness.mjs';

const KEY = 'sk-ant-api03-direct';
const direct = { direct: true };

async function provider(t, account = {}, options = {}) {
  const p = await t.provider(options);
  await p.accounts({ [KEY]: { name: 'direct', ...account } });
  return p;
}

test('provider: Claude Code does a tool turn', { ...direct, timeout: 90000 }, async (t) => {
  const p = await provider(t);
  const run = await claude(t, p.url, { ANTHROPIC_API_KEY: KEY }, READ_PROMPT);
  equal(run.code, 0, run.out + run.err);
  match(run.result.result, /Tool said/);
  ok(run.result.result.includes(NOTE), run.result.result);
  const seen = await p.requests((r) => r.method === 'POST');
  ok(seen.length >= 2);
  ok(seen.some((r) => r.body.includes('"tool_result"')), 'the tool result was sent back');
});

test('provider: Claude Code with a Bearer token', { ...direct, timeout: 90000 }, async (t) => {
  const p = await provider(t, { bearer: true });
  const run = await claude(t, p.url, { ANTHROPIC_AUTH_TOKEN: KEY }, '[[say:plain words]]');
  equal(run.code, 0, run.out + run.err);
  equal(run.result.result, 'plain words');
});

for (const gen of Object.keys(SDKS)) {
  test(`provider: SDK ${gen}: create, stream, tools, count, models, batches`, direct, async (t) => {
    const p = await provider(t);
    const c = sdk(gen, p.url, KEY);
    const ask1 = { model: 'claude-sonnet-4-6', max_tokens: 99, messages: [{ role: 'user', content: 'Hi [[think]]' }] };
    const made = await c.messages.create(ask1);
    equal(made.content[0].type, 'thinking');
    equal(made.usage.cache_read_input_tokens, 100);
    match(made._request_id, /^req_/);
    const final = await c.messages.stream(ask1).finalMessage();
    equal(final.content[1].text, 'Hello from the scripted provider.');
    equal(final.content[0].signature, made.content[0].signature);
    const tools = [{ name: 'save', input_schema: { type: 'object', properties: {} } }];
    const turn = await c.messages.stream({ ...ask1, tools,
      messages: [{ role: 'user', content: '[[tool:save {"temp":4}]]' }] }).finalMessage();
    equal(turn.stop_reason, 'tool_use');
    equal(turn.content[1].input.temp, 4);
    const { max_tokens, ...counted } = ask1;
    ok((await c.messages.countTokens(counted)).input_tokens > 0);
    const ids = [];
    for await (const m of c.models.list({ limit: 2 })) ids.push(m.id);
    equal(ids.length, 5);
    const b = await c.messages.batches.create({ requests: [{ custom_id: 'x', params: ask1 }] });
    const rows = [];
    for await (const r of await c.messages.batches.results(b.id)) rows.push(r);
    equal(rows[0].result.message.content[1].type, 'text');
    await rejects(c.messages.create({ ...ask1, model: 'no-such-model' }), SDKS[gen].NotFoundError);
    const [first] = await p.requests();
    equal(first.via, gen === 'new' ? 'bearer' : 'x-api-key');
  });
}

test('provider: files over multipart', direct, async (t) => {
  const p = await provider(t);
  const c = sdk('new', p.url, KEY);
  const up = await c.files.upload({ file: new File(['some bytes'], 'a.txt', { type: 'text/plain' }) });
  equal(up.size_bytes, 10);
  equal(await (await c.files.download(up.id)).text(), 'some bytes');
  equal((await c.files.delete(up.id)).id, up.id);
});

test('provider: TLS with the test CA', direct, async (t) => {
  const p = await provider(t, {}, { tls: t.shared.certs.good });
  const args = ['-H', `x-api-key: ${KEY}`, '-H', 'anthropic-version: 2023-06-01', '-d', message(), `${p.url}/v1/messages`];
  const good = await curl(t, ['--cacert', t.shared.certs.ca, ...args]);
  equal(good.code, 0, good.err);
  match(good.body.toString(), /Hello from the scripted/);
  equal((await curl(t, args)).code, 60, 'an unknown CA is refused');
});

test('provider: failures look as they should', direct, async (t) => {
  const p = await provider(t, { plans: [
    { times: 1, status: 429, error: { message: 'slow down' }, headers: { 'retry-after': '7' } },
    { times: 1, status: 529, error: { message: 'Overloaded' }, headers: null },
    { times: 1, cut: { at: 'head', how: 'reset' } },
    { times: 1, gate: 4, cut: { at: 4, how: 'reset' } },
    { times: 1, cut: { at: 4, how: 'fin' } },
    { times: 1, cut: { at: 4, how: 'error' } },
    { times: 1, cut: { at: 4, how: 'end' } },
    { times: 1, status: 200, body: '<html>no</html>', type: 'text/html' },
    { times: 1, drip: 7 },
  ] });
  const headers = { 'x-api-key': KEY, 'anthropic-version': '2023-06-01' };
  const go = () => ask(p, 'POST', '/v1/messages', headers, message({ stream: true }));
  let a = await go();
  equal(a.status, 429);
  equal(a.get('retry-after'), '7');
  ok(a.get('anthropic-ratelimit-requests-limit'));
  a = await go();
  equal(a.json().error.type, 'overloaded_error');
  equal(a.get('anthropic-ratelimit-requests-limit'), undefined);
  a = await go();
  equal(a.status, 0);
  equal(a.end, 'reset');
  // Held until the events were read: what lies unread beside a reset, Node reports as a plain end.
  const c = t.track(new Connection(p)).request('POST', '/v1/messages', headers, message({ stream: true }));
  await c.wait(() => events(c.body()).length === 4, 3000, 'four events');
  await p.release();
  a = await c.answer();
  ok(!a.complete && a.end === 'reset');
  a = await go();
  equal(events(a.body).length, 4);
  ok(!a.complete && a.end === 'fin');
  a = await go();
  equal(events(a.body)[4].event, 'error');
  ok(a.complete);
  a = await go();
  ok(a.complete && !a.text.includes('message_stop'));
  a = await go();
  equal(a.get('content-type'), 'text/html');
  a = await go();
  ok(a.complete);
  const seen = await p.requests();
  sameBytes(a.body, seen.at(-1).sent, 'dripped stream');
});

test('provider: a held stream waits for its release and notes an abort', direct, async (t) => {
  const p = await provider(t, { plans: [{ gate: 3 }] });
  const headers = { 'x-api-key': KEY, 'anthropic-version': '2023-06-01' };
  const c = t.track(new Connection(p)).request('POST', '/v1/messages', headers, message({ stream: true }));
  await p.waitState('held');
  await c.wait(() => events(c.body()).length === 3, 3000, 'three events');
  await p.release();
  ok((await c.answer()).complete);
  const d = t.track(new Connection(p)).request('POST', '/v1/messages', headers, message({ stream: true }));
  await p.waitState('held');
  d.leave();
  await p.waitState('aborted');
});
