// The same bytes through sluice, nginx and HAProxy, each in front of an upstream that writes down what
// reaches it; and sluice behind and before the others. What sluice passes on, one of the others passes
// on just so, or sluice refuses it; no chain makes two requests out of one.
//
// SLUICE_E2E_MUTATIONS: so many mutations of the hostile table (default 2000), SLUICE_E2E_SEED: which,
// SLUICE_E2E_TELL: say how many went through.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { garden } from '../lib/garden.mjs';
import { dice, mutate } from '../lib/mutate.mjs';
import { ANSWER, Recorder, answerOf } from '../lib/recorder.mjs';
import { equal, ok } from '../lib/assert.mjs';
import { until } from '../lib/wire.mjs';
import { freePort, program } from '../lib/programs.mjs';

const AT_ONCE = 48;
const QUIET = 120; // ms without a byte: it has answered all that it will

// Each corpus entry has its number in the targets of its requests.
const number = (bytes, n) => bytes.replaceAll(/\/v1\/messages(?=[ ?])\??/g, `/v1/messages?id=${n}&`);
const numberOf = (r) => /[?&]id=(\d+)/.exec(r.target)?.[1] ?? 'none';

function corpus(key) {
  const random = dice(Number(process.env.SLUICE_E2E_SEED ?? 1));
  const table = garden(key).map((r) => r.bytes).filter((b) => b.length < 20000);
  const K = `host: 127.0.0.1\r\nx-api-key: ${key}\r\nanthropic-version: 2023-06-01\r\n`;
  const body = message();
  const good = [`POST /v1/messages HTTP/1.1\r\n${K}content-length: ${body.length}\r\n\r\n${body}`,
    `POST /v1/messages HTTP/1.1\r\n${K}transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    `POST /v1/messages HTTP/1.1\r\n${K}transfer-encoding: chunked\r\n\r\n5;a=b\r\n${body.slice(0, 5)}\r\n${(body.length - 5).toString(16)}\r\n${body.slice(5)}\r\n0\r\nx: y\r\n\r\n`];
  const seeds = [...table, ...good, ...good, ...good, ...good.map((g) => g + good[0])];
  const list = [...table, ...good];
  for (let i = Number(process.env.SLUICE_E2E_MUTATIONS ?? 2000); i > 0; i--) {
    // half of them are of what is good: those get furthest
    let bytes = random(2) ? good[random(good.length)] + (random(2) ? good[random(good.length)] : '') : seeds[random(seeds.length)];
    for (let k = random(3); k >= 0; k--) bytes = mutate(bytes, random, good);
    list.push(bytes.slice(0, 30000));
  }
  return list.map((bytes, n) => ({ n: String(n), bytes: Buffer.from(number(bytes, n), 'latin1') }));
}

// Sends one entry and waits until nothing more comes.
function send(port, bytes, quiet) {
  return new Promise((go) => {
    const s = net.connect({ port, host: '127.0.0.1', noDelay: true });
    const over = () => { s.destroy(); go(); };
    let timer = setTimeout(over, quiet * 4);
    s.on('data', () => { clearTimeout(timer); timer = setTimeout(over, quiet); });
    s.on('error', () => {});
    s.on('close', () => { clearTimeout(timer); go(); });
    s.write(bytes);
  });
}

// What reaches `rec` of each entry by way of `port`: number -> [text of a request].
async function sent(port, rec, entries, quiet = QUIET) {
  rec.forget();
  const queue = [...entries];
  const worker = async () => { for (let e = queue.shift(); e; e = queue.shift()) await send(port, e.bytes, quiet); };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const seen = new Map();
  for (const r of rec.requests) {
    if (r.method === 'GET' && r.target.startsWith('/v1/models')) continue;
    const n = numberOf(r);
    if (!seen.has(n)) seen.set(n, []);
    seen.get(n).push(`${r.method} ${r.target} ${r.body.toString('latin1')}`);
  }
  return { seen, faults: rec.faults };
}

// True when `few` is `many` with some left out.
function within(few, many) {
  let i = 0;
  for (const x of many) if (x === few[i]) i++;
  return i === few.length;
}

const server = (listen, to, name) => `upstream ${name} { server 127.0.0.1:${to}; keepalive 16; }
  server { listen 127.0.0.1:${listen}; location / { proxy_pass http://${name}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_next_upstream off;
    client_max_body_size 64m; proxy_read_timeout 5s; } }`;

async function nginx(t, bin, pairs) {
  const at = (n) => path.join(t.subdir('nginx'), n);
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `${n}_temp_path ${at(n)};`).join(' ');
  const file = at('nginx.conf');
  fs.writeFileSync(file, `events { worker_connections 1024; }\nhttp { access_log off; ${temp} ${pairs.map((p, i) => server(...p, `u${i}`)).join('\n')} }\n`);
  const p = t.spawn(bin, ['-p', t.dir, '-c', file, '-e', 'stderr', '-g', `daemon off; master_process off; pid ${at('pid')};`]);
  t.cleanups.push(() => p.signal('SIGTERM'));
}

async function haproxy(t, bin, pairs) {
  const file = path.join(t.dir, 'haproxy.cfg');
  const parts = pairs.map(([from, to], i) => `listen p${i}\n  bind 127.0.0.1:${from}\n  http-reuse always\n  server s 127.0.0.1:${to}\n`);
  fs.writeFileSync(file, `global\n  maxconn 1000\ndefaults\n  mode http\n  retries 0\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n  timeout http-request 3s\n${parts.join('\n')}`);
  t.spawn(bin, ['-db', '-f', file]);
}

// A reused connection of the chain still carries each answer to who asked.
async function aligned(t, gw, port) {
  for (let i = 0; i < 20; i++) {
    const c = t.track(gw.connect({ port }));
    const a = await c.request('POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' }, message({ text: `marker-${i}` })).answer();
    ok(a.text.includes(`marker-${i}`), `an answer of its own: ${a.status} ${a.text.slice(0, 200)}`);
    c.leave();
  }
}

const echo = (r) => answerOf(ANSWER.replace('"ok"', JSON.stringify(/marker-\d+/.exec(r.body.toString('latin1'))?.[0] ?? 'ok')));

test('differential: sluice, nginx and HAProxy see the same requests', { timeout: 900000 }, async (t) => {
  const [ngx, hap] = [program(t, 'nginx'), program(t, 'haproxy')];
  const [direct, byNginx, byHaproxy, behind] = await Promise.all([false, true, true, false].map((loose) => Recorder.start(t, { loose })));
  for (const r of [direct, byNginx, byHaproxy, behind]) r.reply = echo;
  const port = {};
  for (const p of ['nginx', 'nginxSluice', 'sluiceNginx', 'haproxy', 'haproxySluice']) port[p] = await freePort();
  const one = await t.setup({ accounts: { a: { url: direct.url } } });
  const two = await t.setup({ accounts: { a: { url: `http://127.0.0.1:${port.sluiceNginx}` } } });
  await nginx(t, ngx, [[port.nginx, byNginx.port], [port.nginxSluice, one.gw.port], [port.sluiceNginx, behind.port]]);
  await haproxy(t, hap, [[port.haproxy, byHaproxy.port], [port.haproxySluice, one.gw.port]]);
  for (const p of Object.values(port)) await until(() => send(p, Buffer.from('x\r\n\r\n'), 20).then(() => true), 5000, 'the proxies');
  const entries = corpus(one.gw.key);
  const ways = async (list, quiet) => ({
    sluice: await sent(one.gw.port, direct, list, quiet), nginx: await sent(port.nginx, byNginx, list, quiet), haproxy: await sent(port.haproxy, byHaproxy, list, quiet),
    nginxSluice: await sent(port.nginxSluice, direct, list, quiet), haproxySluice: await sent(port.haproxySluice, direct, list, quiet),
    sluiceNginx: await sent(two.gw.port, behind, list.map((e) => ({ ...e, bytes: Buffer.from(e.bytes.toString('latin1').replaceAll(one.gw.key, two.gw.key), 'latin1') })), quiet) });
  // What is wrong with each entry; those are tried once more by themselves, with more patience.
  const wrong = (w, list) => list.filter(({ n }) => {
    const of = (name) => w[name].seen.get(n) ?? [];
    return !(within(of('sluice'), of('nginx')) || within(of('sluice'), of('haproxy'))) || !within(of('nginxSluice'), of('nginx')) ||
      !within(of('haproxySluice'), of('haproxy')) || String(of('sluiceNginx')) !== String(of('sluice'));
  });
  const w = await ways(entries, QUIET);
  equal([w.sluice, w.nginxSluice, w.haproxySluice, w.sluiceNginx].flatMap((x) => x.faults).join('\n'), '', 'what sluice sends is clean');
  const passed = [...w.sluice.seen.values()].flat().length;
  ok(passed > 60, `sluice passed ${passed} on`);
  const again = wrong(w, entries);
  const faults = [];
  for (const e of again.slice(0, 40)) {
    const alone = await ways([e], QUIET * 4);
    if (!wrong(alone, [e]).length) continue;
    const told = Object.entries(alone).map(([name, x]) => `    ${name}: ${JSON.stringify(x.seen.get(e.n) ?? [])}`).join('\n');
    faults.push(`${JSON.stringify(e.bytes.toString('latin1').replaceAll(one.gw.key, 'KEY'))}\n${told}`);
  }
  equal(faults.join('\n'), '');
  for (const p of [port.nginxSluice, port.haproxySluice, one.gw.port]) await aligned(t, one.gw, p);
  await aligned(t, two.gw, two.gw.port);
  if (process.env.SLUICE_E2E_TELL) console.log(`     ${entries.length} entries, ${passed} requests passed on, ${again.length} tried again`);
});
