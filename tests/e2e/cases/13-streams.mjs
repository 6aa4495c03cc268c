// After the first meaningful byte: a broken stream never looks like a clean end, a client that
// leaves stops its upstream.

import { message, test } from '../lib/harness.mjs';
import { countPings, events, until, withoutPings } from '../lib/wire.mjs';
import { equal, ok, sameBytes } from '../lib/assert.mjs';

// The client saw everything the provider sent, then one error event, and no clean end.
async function brokenEnd(gw, prov, a) {
  equal(a.status, 200);
  const sent = (await prov.requests())[0].sent;
  sameBytes(a.body.subarray(0, sent.length), sent, 'what came before the break');
  const rest = events(a.body.subarray(sent.length)).filter((e) => e.event !== 'ping');
  equal(rest.length, 1, `one event after the break: ${JSON.stringify(rest)}`);
  equal(rest[0].event, 'error');
  equal(rest[0].json.type, 'error');
  ok(rest[0].json.error.type && rest[0].json.error.message);
  ok(!a.complete, 'the chunked body has no last chunk');
  const rows = await gw.booked(1);
  equal(rows.length, 1);
}

for (const how of ['reset', 'fin', 'end']) {
  for (const at of [4, 6]) {
    test(`stream: provider's ${how} after event ${at} becomes an error event`, async (t) => {
      const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ cut: { at, how } }] }, b: {} } });
      const c = gw.open(message({ stream: true }));
      const a = await c.answer();
      await brokenEnd(gw, prov, a);
      equal((await prov.requests()).length, 1, 'no second attempt after the commit');
    });
  }
}

test('stream: silence becomes an error event', async (t) => {
  const { gw, prov } = await t.setup({ config: { silence_timeout: '400ms' },
    accounts: { a: { plans: [{ cut: { at: 5, how: 'stall' } }] } } });
  const a = await gw.open(message({ stream: true })).answer();
  await brokenEnd(gw, prov, a);
  await until(async () => (await prov.requests())[0].endedAt, 2000, 'the upstream to be given up');
});

test('stream: the provider\'s own error event passes as it is', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ cut: { at: 5, how: 'error' } }] }, b: {} } });
  const a = await gw.post(message({ stream: true }));
  sameBytes(a.body, (await prov.requests())[0].sent, 'stream');
  equal((await prov.requests()).length, 1);
});

test('stream: an event that is no JSON passes, and does not look like a clean end', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ cut: { at: 5, how: 'garbage' } }] } } });
  const a = await gw.post(message({ stream: true }));
  const sent = (await prov.requests())[0].sent;
  sameBytes(a.body.subarray(0, sent.length), sent, 'stream');
  ok(!a.complete || a.text.includes('event: error'), 'no clean end');
});

test('stream: a page of HTML as 200 is not a stream', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ status: 200, body: '<html>proxy</html>', type: 'text/html' }] } } });
  const a = await gw.post(message({ stream: true }));
  ok(a.status >= 500 || a.text === '<html>proxy</html>', `status ${a.status}: ${a.text}`);
  ok((await prov.requests()).length >= 1);
});

test('stream: a JSON answer cut short is not taken as whole', async (t) => {
  for (const how of ['fin', 'reset']) {
    const { gw } = await t.setup({ accounts: { a: { plans: [{ cut: { at: 40, how } }] } } });
    const a = await gw.post(message());
    ok(!a.complete || a.status >= 500, `${how}: status ${a.status}, ${a.text}`);
    if (a.complete) equal(a.json().type, 'error');
  }
});

for (const [when, plan] of [['in mid-stream', { gate: 5 }], ['before the head', { hold: true }],
  ['before the content', { gate: 1 }]]) {
  for (const how of ['fin', 'reset']) {
    test(`stream: a client that leaves ${when} (${how}) ends its upstream within a second`, async (t) => {
      const { gw, prov } = await t.setup({ accounts: { a: { plans: [plan] }, b: {} } });
      const c = gw.open(message({ stream: true }));
      await prov.waitState('held');
      if (plan.gate === 5) await c.wait(() => events(c.body()).length >= 5, 3000, 'events');
      c.leave(how);
      const left = Date.now();
      await prov.waitState('aborted', 3000);
      ok(Date.now() - left < 1500, `took ${Date.now() - left} ms`);
      const rows = await gw.booked(1);
      equal(rows.length, 1);
      equal((await prov.requests()).length, 1, 'nobody else was asked');
    });
  }
}

test('stream: a client that leaves a plain request ends its upstream too', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ hold: true }] } } });
  const c = gw.open(message({ max_tokens: 64000 }));
  await prov.waitState('held');
  c.leave();
  await prov.waitState('aborted', 3000);
});

test('stream: pings fill the silence, and only between events', async (t) => {
  const { gw, prov } = await t.setup({ config: { ping_interval: '100ms' }, accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  const held = await prov.waitState('held');
  const own = countPings(held.sent);
  await c.wait(() => countPings(c.body()) >= own + 3, 5000, 'pings');
  await prov.release();
  const a = await c.answer();
  ok(a.complete);
  const { sent } = (await prov.requests())[0];
  equal(withoutPings(a.body), withoutPings(sent), 'the stream without pings');
  for (const e of events(a.body)) ok(e.json, `every event is whole: ${JSON.stringify(e)}`);
});

// Raw bytes of a chunked event stream, in pieces: the provider waits before each but the first.
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n';
const pieces = (...parts) => parts.map((p, i) => Buffer.from(
  `${i ? '' : HEAD}${Buffer.byteLength(p).toString(16)}\r\n${p}\r\n${i === parts.length - 1 ? '0\r\n\r\n' : ''}`).toString('base64'));
const ev = (data) => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
const OPENING = ev({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
  + ev({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'a' } });
const CUT_EVENT = ['event: content_block_delta\ndata: {"type":"content_block_delta","index":0,',
  '"delta":{"type":"text_delta","text":"b"}}\n\n'];
const ENDING = ev({ type: 'message_stop' });

test('stream: no ping inside an event that comes in two parts', async (t) => {
  const { gw, prov } = await t.setup({ config: { ping_interval: '100ms' }, accounts: { a: {
    plans: [{ raw: pieces(OPENING + CUT_EVENT[0], CUT_EVENT[1] + ENDING) }] } } });
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await c.wait(() => countPings(c.body()) >= 3, 5000, 'pings');
  await prov.release();
  const a = await c.answer();
  ok(a.complete);
  equal(withoutPings(a.body), OPENING + CUT_EVENT.join('') + ENDING, 'the stream without pings');
  for (const e of events(a.body)) ok(e.json, `every event is whole: ${JSON.stringify(e)}`);
});

test('stream: half an event before silence is left out, not completed by an error', async (t) => {
  const { gw } = await t.setup({ config: { silence_timeout: '300ms' }, accounts: { a: {
    plans: [{ raw: pieces(OPENING + CUT_EVENT[0], 'never') }] } } });
  const a = await gw.open(message({ stream: true })).answer();
  ok(!a.complete);
  equal(a.text.slice(0, OPENING.length), OPENING);
  const rest = events(a.body.subarray(OPENING.length)).map((e) => [e.event, e.json?.error?.type]);
  equal(JSON.stringify(rest), '[["error","timeout_error"]]');
});

test('stream: 40 at once, each its own bytes', { timeout: 90000 }, async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ drip: 64 }], priority: 1 }, b: { plans: [{ drip: 64 }], priority: 1 } } });
  const all = await Promise.all(Array.from({ length: 40 }, (_, i) => gw.post(
    message({ stream: true, text: `[[say:stream number ${i} ${'abc '.repeat(i)}]]` }), { ms: 60000 })));
  const sent = new Set((await prov.requests()).map((r) => r.sent.toString()));
  for (const [i, a] of all.entries()) {
    ok(a.complete, `stream ${i}`);
    ok(sent.has(a.text), `stream ${i} is one the provider sent`);
    ok(events(a.body).filter((e) => e.json?.delta?.text).map((e) => e.json.delta.text).join('').startsWith(`stream number ${i} `));
  }
  equal((await gw.booked(40)).length, 40);
});
