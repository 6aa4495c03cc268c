// Hostile framing through the real listener, by the table of lib/garden.mjs; the upstream writes down
// every byte it gets, and a request that was smuggled fails the test.
//
// The list by which the gateway's security is accepted, and what tests each item (the web pages' come
// with them):
//
//    1  the HTTP Garden's 74 classes          here: S1..S48, T1..T25, H2; 46-differential
//    2  llhttp's and http_parser's CVEs       here: CVE-..; replies: 44-replies
//    3  no lenient flag, ever                 unit http_h1; fuzz h1
//    4  wrong certificates, on every way      14-tls, 47-bad-certificates; unit net_tls
//    5  no credential where it does not belong   50-secrets; lib/harness: findSecrets, behind each case
//    6  who may use the verbs (no roles: all)  50-admin
//    7  names, origins, no CORS               50-admin, 15-routes; unit http_host, gateway_auth
//    8  56 spellings of what is not public    unit net_dial; net_addr
//    9  time tells nothing of keys            unit gateway_keys
//   10  5,000 slow heads                      scripts/soak; unit http_front
//   11  the master key: wrong, half rotated   51-backup; unit store_vault, store_keep, app_key
//   12  rows cannot change places             51-backup; unit store_vault
//   13  a program is never executed           50-sandbox; unit net_sandbox, app_sandbox
//   16  a backup holds no clear secret        51-backup, 50-secrets; unit store_keep
//   17  a revoked key is refused at once      11-keys, 28-overlap
//   18  a body past its bound is not held     18-hostile
//   19  a head without end from upstream      44-replies: fields, a reason, interim replies without end
//   20  hours of fuzzing                      scripts/fuzz SECONDS
//
// (14 and 15, the list of parts and builds that can be repeated, are no behaviour of the program.)

import { test } from '../lib/harness.mjs';
import { garden, short } from '../lib/garden.mjs';
import { Recorder } from '../lib/recorder.mjs';
import { dial, issue } from '../lib/front.mjs';
import { equal } from '../lib/assert.mjs';
import { until } from '../lib/wire.mjs';

// Sends a row; what was answered, and whether the connection went on: then a last request is served,
// and its answer is where it should be.
async function talk(c, row, send) {
  const { answers } = c.reader;
  const n = row.statuses.length;
  await send(c, Buffer.from(row.bytes, 'latin1'));
  await until(() => c.ended || c.fault || answers.length >= n, 10000, 'an answer').catch(() => {});
  if (!c.ended && !c.fault) {
    c.send('GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n');
    await until(() => c.ended, 10000, 'the end').catch(() => {});
  }
  const open = answers.length === n + 1 && answers[n].status === 200 && !answers[n].get('x-should-retry');
  return { statuses: answers.slice(0, open ? n : undefined).map((a) => a.status), open,
    fault: c.fault?.message, cut: c.reader.now?.status, closing: answers[n - 1]?.get('connection') };
}

const told = (list) => JSON.stringify(list.map(([m, target, body]) => [m, target, body === null ? '' : body]));

// What is wrong with a row, in words; '' if nothing is.
async function faults(rec, c, row, send) {
  rec.forget();
  const a = await talk(c, row, send);
  c.leave();
  const out = [];
  if (a.fault || a.cut) out.push(`a broken answer: ${a.fault ?? a.cut}`);
  if (String(a.statuses) !== String(row.statuses)) out.push(`answers ${a.statuses} instead of ${row.statuses}`);
  if (a.open !== row.open) out.push(a.open ? 'the connection goes on' : 'the connection is closed');
  if (!row.open && a.closing !== 'close' && row.statuses.length === a.statuses.length) out.push('the last answer does not say that it is the last');
  if (rec.faults.length) out.push(`to the upstream: ${rec.faults}`);
  const own = (r) => r.method === 'GET' && r.target.startsWith('/v1/models') && !r.target.includes('evil');
  const seen = told(rec.requests.filter((r) => !own(r)).map((r) => [r.method, r.target, r.body.toString()]));
  if (seen !== told(row.seen)) out.push(`upstream: ${seen.slice(0, 300)}`);
  return out.length ? `${row.name}: ${out.join('; ')}` : '';
}

async function setup(t, options) {
  const rec = await Recorder.start(t);
  const s = await t.setup({ accounts: { a: { url: rec.url } }, ...options });
  return { rec, ...s };
}

async function play(t, { gw, rec }, rows, connect, send) {
  const wrong = [];
  for (const row of rows) {
    wrong.push(await faults(rec, await connect(row), row, send));
    if (!gw.proc.running) throw new Error(`${row.name}: the gateway died\n${gw.logged().slice(-3000)}`);
  }
  equal(wrong.filter(Boolean).join('\n'), '');
}

const whole = (c, bytes) => { c.send(bytes); };
// each byte on its own: the kernel may join some, the loop of the gateway is quicker than we are
async function bytewise(c, bytes) {
  for (const b of bytes) {
    if (c.ended || c.fault) return;
    c.send(Buffer.from([b]));
    await new Promise((go) => { setImmediate(go); });
  }
}

test('framing: each hostile request is answered as the table says', { timeout: 120000 }, async (t) => {
  const s = await setup(t);
  await play(t, s, garden(s.gw.key), () => s.gw.connect(), whole);
});

test('framing: the same one byte at a time', { timeout: 180000 }, async (t) => {
  const s = await setup(t);
  await play(t, s, short(garden(s.gw.key)), () => s.gw.connect(), bytewise);
});

test('framing: the same over TLS', { timeout: 180000 }, async (t) => {
  const pair = issue(t, 'front');
  const s = await setup(t, { listen: ['https://127.0.0.1:0'], args: ['--tls-cert', pair.cert, '--tls-key', pair.key] });
  let session;
  await play(t, s, garden(s.gw.key), async () => {
    const d = await dial(t, s.gw, { session });
    if (d.error) throw d.error;
    session ??= d.conn.session;
    return d.conn;
  }, whole);
});
