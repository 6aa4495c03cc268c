// `serve --demo`: the simulated provider inside the program, only when asked for.

import { message, test } from '../lib/harness.mjs';
import { events } from '../lib/wire.mjs';
import { equal, ok } from '../lib/assert.mjs';
import { sdk } from '../lib/clients.mjs';

async function demo(t) {
  const gw = t.gateway();
  await gw.start({ args: ['--demo'] });
  gw.key = await gw.addKey('tester');
  return gw;
}

test('demo: answers JSON and streams', async (t) => {
  const gw = await demo(t);
  const a = await gw.post(message());
  equal(a.status, 200, a.text);
  equal(a.json().type, 'message');
  const s = await gw.post(message({ stream: true }));
  ok(s.complete);
  const kinds = events(s.body).map((e) => e.event);
  equal(kinds[0], 'message_start');
  equal(kinds.at(-1), 'message_stop');
  equal((await gw.booked(2)).length, 2);
});

test('demo: the SDKs', async (t) => {
  const gw = await demo(t);
  for (const gen of ['new', 'old']) {
    const c = sdk(gen, gw.url, gw.key);
    const ask = { model: 'claude-sonnet-4-6', max_tokens: 99, messages: [{ role: 'user', content: 'Hi' }] };
    ok((await c.messages.create(ask)).content.length > 0);
    ok((await c.messages.stream(ask).finalMessage()).usage.output_tokens > 0);
    const { max_tokens, ...counted } = ask;
    ok((await c.messages.countTokens(counted)).input_tokens > 0);
    const ids = [];
    for await (const m of c.models.list()) ids.push(m.id);
    ok(ids.length > 0);
  }
});

test('demo: a restart with --demo does not make a second account; without it there is none', async (t) => {
  const gw = await demo(t);
  await gw.stop();
  await gw.start({ args: ['--demo'] });
  equal((await gw.post(message())).status, 200);
  const list = await gw.json(['account', 'list']);
  const rows = Array.isArray(list) ? list : Object.values(list).find(Array.isArray);
  equal(rows.length, 1, JSON.stringify(list));
  await gw.stop();
  await gw.start({});
  ok((await gw.post(message())).status >= 400, 'the demo never runs by itself');
});

test('demo: never mixed into a pool of real accounts unasked', async (t) => {
  const { gw } = await t.setup();
  for (let i = 0; i < 3; i++) {
    equal((await gw.post(message())).json().content[0].text, 'Hello from the scripted provider.');
  }
});
