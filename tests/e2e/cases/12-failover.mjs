// Before the first meaningful byte another account may be tried; a client's own mistake never is.

import net from 'node:net';
import { message, test } from '../lib/harness.mjs';
import { deepEqual, equal, isError, ok, sameBytes } from '../lib/assert.mjs';

const err = (status, message_, headers) => ({ status, error: { message: message_ }, headers });
const names = (prov, keys) => prov.requests().then((rs) => rs.map(
  (r) => Object.keys(keys).find((n) => keys[n] === r.key)));

const WAYS = {
  '429 with headers': err(429, 'This request would exceed your rate limit.', { 'retry-after': '30' }),
  '429 without headers': err(429, 'slow down', null),
  529: err(529, 'Overloaded'),
  500: err(500, 'Internal server error'),
  503: { status: 503, body: 'upstream connect error', type: 'text/plain' },
  'a reset before the head': { cut: { at: 'head', how: 'reset' } },
  'a FIN before the head': { cut: { at: 'head', how: 'fin' } },
  'a reset inside the head': { raw: Buffer.from('HTTP/1.1 200 OK\r\ncontent-ty').toString('base64'), then: 'reset' },
  'an answer that is no HTTP': { raw: Buffer.from('SSH-2.0-OpenSSH_9.2\r\n').toString('base64'), then: 'fin' },
};

for (const [way, plan] of Object.entries(WAYS)) {
  test(`failover: ${way}`, async (t) => {
    const { gw, prov, keys } = await t.setup({ accounts: { a: { plans: [plan] }, b: {} } });
    for (const stream of [false, true]) {
      const body = message({ stream, text: `[[say:from b]]` });
      const a = await gw.post(body);
      equal(a.status, 200, a.text);
      ok(a.complete && a.text.includes(stream ? 'message_stop' : 'from b'), a.text);
      const seen = await prov.requests();
      equal(seen.at(-1).key, keys.b);
      for (const r of seen) sameBytes(r.body, r === seen.at(-1) ? body : r.body, 'body of the second attempt');
    }
    equal((await names(prov, keys))[0], 'a', 'the preferred account was asked first');
    const rows = await gw.booked(2);
    equal(rows.length, 2, 'one record per request');
  });
}

test('failover: connection refused', async (t) => {
  const closed = await new Promise((go) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = s.address();
      s.close(() => go(port));
    });
  });
  const { gw, prov } = await t.setup({ accounts: { a: { url: `http://127.0.0.1:${closed}` }, b: {} } });
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).length, 1);
});

test('failover: a name that does not resolve', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { url: 'https://no-such-host.invalid' }, b: {} } });
  const a = await gw.post(message(), { ms: 25000 });
  equal(a.status, 200, a.text);
  equal((await prov.requests()).length, 1);
  const [row] = await gw.booked(1);
  deepEqual(row.attempts.map((x) => [x.account, x.reason]), [['a', 'dns'], ['b', 'served']]);
});

test('failover: no first byte in time', async (t) => {
  const { gw, prov, keys } = await t.setup({ config: { stream_first_byte_timeout: '300ms', first_byte_timeout: '300ms' },
    accounts: { a: { plans: [{ cut: { at: 'head', how: 'stall' } }] }, b: {} } });
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200, a.text);
  ok(a.complete && a.text.includes('message_stop'));
  deepEqual(await names(prov, keys), ['a', 'b']);
  const [stalled] = await prov.requests();
  ok(stalled.endedAt, 'the stalled attempt was given up');
});

for (const [what, at] of [['after the head', 'body'], ['after message_start', 1]]) {
  for (const how of ['reset', 'fin']) {
    test(`failover: ${how} ${what}, nothing meaningful sent yet`, async (t) => {
      const { gw, prov, keys } = await t.setup({ accounts: { a: { plans: [{ cut: { at, how } }] }, b: {} } });
      const a = await gw.post(message({ stream: true }));
      equal(a.status, 200, a.text);
      ok(a.complete && a.text.includes('message_stop'), a.text);
      equal(a.text.split('message_start"').length - 1, 1, 'one message_start only');
      deepEqual(await names(prov, keys), ['a', 'b']);
      sameBytes(a.body, (await prov.requests())[1].sent, 'stream of the second account');
    });
  }
}

test('failover: an error event before any content', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: { plans: [{ cut: { at: 1, how: 'error' } }] }, b: {} } });
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200);
  ok(a.text.includes('message_stop'), a.text);
  deepEqual(await names(prov, keys), ['a', 'b']);
});

test('failover: a refused account credential', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: { plans: [err(401, 'invalid x-api-key')] }, b: {} } });
  const a = await gw.post(message());
  equal(a.status, 200, a.text);
  deepEqual(await names(prov, keys), ['a', 'b']);
});

const FINAL = {
  400: err(400, 'prompt is too long: 250000 tokens > 200000 maximum'),
  'odd 400': { status: 400, body: '{ "type":"error",\n"error":{"message":"odd  bytes \\u00e9","type":"invalid_request_error"}}', headers: { 'x-odd': 'yes' } },
  404: err(404, 'model: claude-unknown'),
  413: { status: 413, body: '<html>Request Entity Too Large</html>', type: 'text/html' },
};

for (const [what, plan] of Object.entries(FINAL)) {
  test(`no failover: ${what} passes word for word`, async (t) => {
    const { gw, prov, keys } = await t.setup({ accounts: { a: { plans: [plan] }, b: {} } });
    for (const stream of [false, true]) {
      const a = await gw.post(message({ stream }));
      equal(a.status, plan.status);
      const seen = await prov.requests();
      sameBytes(a.body, seen.at(-1).sent, 'error body');
      equal(a.get('content-type'), plan.type ?? 'application/json');
      ok(/^req_/.test(a.get('request-id')));
    }
    deepEqual(await names(prov, keys), ['a', 'a']);
  });
}

test('exhausted: every account limited gives 429 with a true retry-after', async (t) => {
  const limited = (s) => [err(429, 'limit', { 'retry-after': s })];
  const { gw, prov } = await t.setup({ accounts: { a: { plans: limited('3600') }, b: { plans: limited('1800') } } });
  for (let i = 0; i < 2; i++) {
    const a = await gw.post(message({ stream: i === 1 }));
    isError(a, 429, 'rate_limit_error');
    const wait = Number(a.get('retry-after'));
    ok(wait > 1700 && wait <= 1830, `retry-after is that of the first to come back: ${wait}`);
    equal(a.get('x-should-retry'), 'false');
  }
  equal((await prov.requests()).length, 2, 'a resting account is not asked again');
  const status = await gw.ask('GET', '/readyz', { key: null });
  equal(status.status, 200, 'exhausted is ready');
});

test('exhausted: a short wait may be retried by the client', async (t) => {
  const { gw } = await t.setup({ config: { queue_timeout: '0s' },
    accounts: { a: { plans: [err(429, 'limit', { 'retry-after': '5' })] } } });
  const a = await gw.post(message());
  isError(a, 429, 'rate_limit_error');
  const wait = Number(a.get('retry-after'));
  ok(wait >= 1 && wait <= 10, `retry-after ${wait}`);
});

test('exhausted: every account overloaded gives 529', async (t) => {
  const plans = [err(529, 'Overloaded')];
  const { gw } = await t.setup({ config: { queue_timeout: '0s' }, accounts: { a: { plans }, b: { plans } } });
  const a = await gw.post(message({ stream: true }));
  isError(a, 529, 'overloaded_error');
  ok(Number(a.get('retry-after')) >= 1, 'retry-after');
});

test('exhausted: every account broken gives a plain error', async (t) => {
  const { gw } = await t.setup({ config: { queue_timeout: '0s' }, accounts: { a: { plans: [err(500, 'boom')] },
    b: { plans: [{ cut: { at: 'head', how: 'reset' } }] } } });
  const a = await gw.post(message());
  ok(a.status >= 500, `status ${a.status}`);
  equal(a.json().type, 'error');
  const rows = await gw.booked(1);
  equal(rows.length, 1);
});

test('exhausted: no account at all', async (t) => {
  const gw = t.gateway();
  gw.key = await gw.addKey('tester');
  await gw.start();
  const a = await gw.post(message());
  ok(a.status >= 500 || a.status === 429, `status ${a.status}`);
  equal(a.json().type, 'error');
  equal((await gw.ask('GET', '/livez', { key: null })).status, 200);
  equal((await gw.ask('GET', '/readyz', { key: null })).status, 503);
});

test('failover: a kept connection that went stale is replaced, not counted against the account', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: {
    a: { plans: [{ when: { reused: true }, cut: { at: 'head', how: 'reset' } }] }, b: {} } });
  for (let i = 0; i < 4; i++) equal((await gw.post(message())).status, 200);
  ok(!(await names(prov, keys)).includes('b'), 'all served by the first account');
});

test('failover: an idle connection closed by the provider is not used', async (t) => {
  const { gw, prov } = await t.setup();
  for (let i = 0; i < 5; i++) {
    equal((await gw.post(message())).status, 200);
    await prov.call('POST', '/close-idle');
  }
  equal((await prov.requests()).length, 5);
});

test('exhausted: a request waits in line for an account that comes back soon', async (t) => {
  const { gw, prov } = await t.setup({ accounts: {
    a: { plans: [{ ...err(429, 'limit', { 'retry-after': '1' }), times: 1 }] } } });
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200, a.text);
  ok(a.complete);
  equal((await prov.requests()).length, 2);
  equal((await gw.booked(1)).length, 1);
});

test('failover: back to the preferred account after its pause', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: {
    a: { plans: [{ ...err(429, 'limit', { 'retry-after': '1' }), times: 1 }] }, b: {} } });
  equal((await gw.post(message())).status, 200);
  deepEqual(await names(prov, keys), ['a', 'b']);
  // Asks until the second is over; each ask is a real request, so the answer tells who served it. The
  // conversation that has moved stays where it is, others come back.
  const deadline = Date.now() + 15000;
  for (let i = 0; ; i++) {
    equal((await gw.post(message({ text: `Hi ${i}` }))).status, 200);
    if ((await names(prov, keys)).at(-1) === 'a') break;
    ok(Date.now() < deadline, 'the account never came back');
  }
});
