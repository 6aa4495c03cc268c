// The book: exactly one record per request, with the right numbers.

import { message, test } from '../lib/harness.mjs';
import { events } from '../lib/wire.mjs';
import { deepEqual, equal, ok } from '../lib/assert.mjs';

const USAGE = { input_tokens: 1234, output_tokens: 567, cache_creation_input_tokens: 300, cache_read_input_tokens: 4000,
  cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 }, service_tier: 'standard' };

function tokens(row) {
  const { input, output, cache_read, cache_write_5m, cache_write_1h } = row;
  return { input, output, cache_read, cache_write_5m, cache_write_1h };
}

const EXPECTED = { input: 1234, output: 567, cache_read: 4000, cache_write_5m: 100, cache_write_1h: 200 };

for (const stream of [false, true]) {
  test(`records: ${stream ? 'a stream' : 'a plain answer'} with all its tokens and a price`, async (t) => {
    const { gw } = await t.setup({ accounts: { a: { plans: [{ usage: USAGE, model: 'claude-sonnet-4-6-20260217' }] } } });
    const a = await gw.post(message({ stream }));
    equal(a.status, 200);
    const rows = await gw.booked(1);
    equal(rows.length, 1);
    const [r] = rows;
    deepEqual(tokens(r), EXPECTED);
    equal(r.status, 200);
    equal(r.account, 'a');
    equal(r.key, 'tester');
    equal(r.model_asked, 'claude-sonnet-4-6');
    equal(r.model_answered, 'claude-sonnet-4-6-20260217');
    equal(r.end, 'complete');
    equal(r.stream, stream);
    equal(r.attempts.length, 1);
    ok(r.duration_ms >= 0 && r.ttfb_ms >= 0);
    // sonnet 4.6: 3 in, 15 out, cache read 0.3, write 3.75 (5m) and 6 (1h), dollars per million
    const usd = (1234 * 3 + 567 * 15 + 4000 * 0.3 + 100 * 3.75 + 200 * 6) / 1e6;
    ok(Math.abs(r.cost_usd - usd) < 1e-6, `cost ${r.cost_usd} instead of ${usd}`);
  });
}

test('records: a failover is one record with two attempts', async (t) => {
  const { gw } = await t.setup({ accounts: { a: { plans: [{ status: 529, error: { message: 'Overloaded' } }] }, b: {} } });
  await gw.post(message());
  const rows = await gw.booked(1);
  equal(rows.length, 1);
  deepEqual(rows[0].attempts.map((x) => x.account), ['a', 'b']);
  equal(rows[0].attempts[0].status, 529);
  equal(rows[0].account, 'b');
  equal(rows[0].end, 'complete');
});

test('records: how it ended, one for each way', async (t) => {
  const { gw, prov, plan } = await t.setup({ config: { silence_timeout: '300ms' } });
  const ends = [];
  const one = async (plans, act) => {
    await plan('a', plans);
    await gw.cli(['account', 'resume', 'a']);
    const before = (await gw.records()).length;
    await act();
    const rows = await gw.booked(before + 1);
    equal(rows.length, before + 1);
    const row = rows.reduce((x, y) => (x.at > y.at || (x.at === y.at && x.row > y.row) ? x : y));
    ends.push(row.end);
    return row;
  };
  await one([{ cut: { at: 6, how: 'fin' } }], () => gw.open(message({ stream: true })).answer());
  await one([{ cut: { at: 6, how: 'stall' } }], () => gw.open(message({ stream: true })).answer());
  await one([{ cut: { at: 6, how: 'error' } }], () => gw.post(message({ stream: true })));
  const left = await one([{ gate: 6, usage: USAGE }], async () => {
    const c = gw.open(message({ stream: true }));
    await prov.waitState('held');
    await c.wait(() => events(c.body()).length >= 5, 3000, 'events');
    c.leave();
    await prov.waitState('aborted');
  });
  equal(left.input, 1234, 'what was seen before the client left is booked');
  await one([{ status: 400, error: { message: 'bad' } }], () => gw.post(message()));
  // A stranger writes nothing into the book: the next row is the one after it.
  equal((await one([], async () => {
    equal((await gw.post(message(), { key: 'slc_wrong' })).status, 401);
    await gw.post(message());
  })).key, 'tester');
  deepEqual(ends, ['upstream_cut', 'timeout', 'upstream_error', 'client_gone', 'client_error', 'complete']);
});

test('records: 60 requests, 60 records, also after a restart', { timeout: 90000 }, async (t) => {
  const { gw } = await t.setup({ accounts: { a: { priority: 1 }, b: { priority: 1 } } });
  for (let round = 0; round < 3; round++) {
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => gw.post(message({ stream: i % 2 === 0 }))));
    ok(all.every((a) => a.status === 200 && a.complete));
  }
  equal((await gw.booked(60)).length, 60);
  await gw.stop();
  equal((await gw.records()).length, 60, 'without the daemon');
  await gw.start({});
  equal((await gw.records()).length, 60, 'after the restart');
});

test('records: count_tokens and probes are not billed', async (t) => {
  const { gw } = await t.setup();
  await gw.post(JSON.stringify({ model: 'claude-sonnet-4-6', messages: [] }), { path: '/v1/messages/count_tokens' });
  await gw.ask('GET', '/v1/models');
  await gw.ask('HEAD', '/', { key: null });
  await gw.ask('GET', '/livez', { key: null });
  await gw.post(message());
  const rows = await gw.booked(2);
  const cost = rows.filter((r) => r.cost_usd > 0);
  equal(cost.length, 1, JSON.stringify(rows));
  ok(!JSON.stringify(rows).includes('livez'), 'health is not booked');
});

test('records: each answer names its request, and the record has the name', async (t) => {
  const { gw } = await t.setup();
  const a = await gw.post(message());
  const id = a.get('x-sluice-request-id');
  ok(id, 'x-sluice-request-id');
  const [row] = await gw.booked(1);
  equal(row.id, id);
  const refused = await gw.post(message(), { key: 'slc_wrong' });
  ok(refused.get('x-sluice-request-id') ?? refused.json().request_id);
});
