// When memory runs short, and when strangers are slow on purpose: who is refused is told when to come
// back, and who is quick is served.

import net from 'node:net';
import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { writeConfig } from '../lib/options.mjs';

async function load(gw) {
  return (await gw.json(['status'])).load;
}

async function limit(gw, bytes) {
  writeConfig(gw.config, { memory_limit: bytes });
  await gw.ok(['reload']);
}

function reaches(gw, level, ms) {
  return until(async () => (await load(gw)).level === level, ms, `level ${level}`);
}

// A limit of which the process has so much now; and the level that it brings. When the process has
// taken more meanwhile, it is another level: once more.
async function bound(gw, share, level) {
  for (let i = 0; ; i++) {
    const { memory_bytes: has } = await load(gw);
    ok(has > 1 << 20, `memory is measured: ${has}`);
    await limit(gw, Math.round(has / share));
    try {
      return await reaches(gw, level, 2000);
    } catch (e) {
      if (i === 4) throw e;
      await limit(gw, 0);
      await reaches(gw, 'normal', 8000);
    }
  }
}

test('load: memory that runs out, by levels and back', { timeout: 90000 }, async (t) => {
  const { gw, prov } = await t.setup({ config: { memory_limit: 0 }, accounts: { a: { plans: [{ gate: 5 }, {}] } } });
  await until(async () => (await load(gw)).memory_bytes > 0, 5000, 'a look at the load');
  equal((await load(gw)).level, 'normal');
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');

  await bound(gw, 0.955, 'shed');
  const no = await gw.post(message());
  equal(no.status, 529, no.text);
  const wait = Number(no.get('retry-after'));
  ok(wait >= 5 && wait <= 15, `retry-after ${wait}`);
  equal(no.get('connection'), 'close');
  match(no.text, /overloaded_error/);
  const chat = await gw.post(message(), { path: '/v1/chat/completions', headers: { authorization: `Bearer ${gw.key}` } });
  equal(chat.status, 503, chat.text);
  equal((await gw.post(message(), { key: 'slc_nobody' })).status, 401);
  const ready = await gw.ask('GET', '/readyz', { key: null });
  equal(ready.status, 200, 'overloaded is ready: a refusal with a time beats a broken connection');
  equal(JSON.parse(ready.text).load, 'shed');
  match((await gw.ok(['status'])).out, /load +shed \(memory\); \d+ of \d+ MiB/);
  equal((await load(gw)).refused, 2);

  await limit(gw, 1 << 20);
  await reaches(gw, 'guard', 8000);
  equal((await gw.ask('GET', '/livez', { key: null })).status, 200);

  // the stream has seen nothing of it
  await prov.release();
  const a = await stream.answer();
  ok(a.complete && a.status === 200);
  equal(a.text, (await prov.requests())[0].sent.toString());

  await limit(gw, 0);
  await reaches(gw, 'normal', 8000);
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).length, 2);
  const said = gw.logged().split('\n').filter((l) => /"msg":"load"|load +level/.test(l));
  ok(said.length >= 3 && said.length <= 15, `a line a change: ${said.length}`);
});

// A peer that sends a little and waits, and comes back as soon as it is thrown out.
function slow(t, gw, state) {
  const s = net.connect(gw.target.port, gw.target.host);
  state.all.add(s);
  s.on('connect', () => s.write('POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-a'));
  s.on('error', () => {});
  s.on('close', () => {
    state.all.delete(s);
    state.closed += 1;
    if (!state.over) setTimeout(() => slow(t, gw, state), 20);
  });
}

test('load: more slow peers than there are places, and those who are quick are served', { timeout: 40000 }, async (t) => {
  const { gw, prov } = await t.setup({ wrap: ['sh', '-c', 'ulimit -n 256; exec "$0" "$@"'] });
  const state = { all: new Set(), closed: 0, over: false };
  t.cleanups.push(() => { state.over = true; for (const s of state.all) s.destroy(); });
  for (let i = 0; i < 300; i++) slow(t, gw, state);
  await until(() => state.closed > 50, 15000, 'slow peers to be thrown out');
  // Here a client takes tens of milliseconds for its own part now and then, and is slow as well.
  let served = 0;
  for (let i = 0; i < 40; i++) served += (await gw.post(message(), { ms: 8000 })).status === 200;
  ok(served >= 30, `${served} of 40 served`);
  equal((await prov.requests()).length, served);
  ok((await gw.json(['status'])).connections.crowded_out > 50);
  state.over = true;
  for (const s of state.all) s.destroy();
  await until(async () => (await gw.json(['status'])).connections.open <= 1, 15000, 'the places to be free again');
});
