// What is measured of sluice alone, and with other tools than the clock.

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { freePort, residentKib, run, say, sleep, threadsNs, tree, which } from './house.mjs';
import { spread } from './report.mjs';

// ---- idle, start, rows, choosing, size

async function idle(house) {
  const state = house.at('state.idle');
  fs.cpSync(house.at('state'), state, { recursive: true });
  const child = run(house.sluice, house.sluiceArgs(state, await freePort(), 0));
  await sleep(3000);
  const kib = residentKib(tree(child.pid));
  child.kill('SIGKILL');
  await child.ended;
  return { what: 'idle resident memory, MiB', limit: 12, value: kib / 1024 };
}

// CPU of the threads that are not the loop, for each record that they have written.
async function row(house) {
  const c = await house.start('sluice');
  const words = { pace: 'closed', clients: 16, body: 1024 };
  await house.load(c, 'plain', 'plain', { ...words, requests: 2000 });
  await sleep(1500);
  const n = 40000;
  const before = threadsNs(c.child.pid);
  const written = (s) => JSON.parse(house.cli(c.state, 'status', '--json')).store ?? JSON.parse(house.cli(c.state, 'status', '--json'));
  await house.load(c, 'plain', 'plain', { ...words, requests: n });
  await sleep(1500);
  const after = threadsNs(c.child.pid);
  const s = written();
  await c.stop();
  return { what: `record path, us of writer CPU a row (${s.records_written ?? '?'} written, ${s.records_dropped ?? '?'} dropped)`,
    limit: 6, value: (after.rest - before.rest) / 1000 / n };
}

// From the start of the program to its first answer, with a million records in the ledger.
async function start(house, rows) {
  const sqlite = which('sqlite3');
  if (!sqlite) return { what: 'start to first answer: skipped, sqlite3 is not installed' };
  const c = await house.start('sluice'); // one true record, which is then multiplied
  await house.load(c, 'plain', 'plain', { pace: 'closed', clients: 1, body: 1024, requests: 1 });
  await sleep(1500);
  c.child.kill('SIGTERM');
  await c.child.ended;
  const db = path.join(c.state, 'sluice.db');
  const columns = execFileSync(sqlite, [db, 'SELECT name FROM pragma_table_info(\'records\') WHERE name NOT IN (\'num\', \'id\')'],
    { encoding: 'utf8' }).trim().split('\n').join(',');
  execFileSync(sqlite, [db, `PRAGMA journal_mode=WAL; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ${rows})
    INSERT INTO records(id,${columns}) SELECT 'bench_' || i,${columns} FROM n, (SELECT * FROM records LIMIT 1);`]);
  const count = Number(execFileSync(sqlite, [db, 'SELECT count(*) FROM records'], { encoding: 'utf8' }));
  const times = [];
  for (let i = 0; i < 7; i++) {
    const port = await freePort();
    const child = run(path.join(house.bin, 'start'), [port, house.key.plain, house.sluice,
      ...house.sluiceArgs(c.state, port, 0), '--request-log-max-size', '0', '--request-log-max-age', '0']);
    if (await child.ended !== 0) throw new Error(`no first answer: ${child.err}`);
    times.push(Number(child.out) / 1000);
  }
  fs.rmSync(c.state, { recursive: true, force: true });
  return { what: `start to first answer with ${count.toLocaleString('en-US')} records, ms`, limit: 50, value: spread(times).median, spread: spread(times) };
}

// The speed test of the room that chooses, if it has been built.
function choosing(root) {
  const test = path.join(root, 'build/release/test_accounts_speed');
  if (!fs.existsSync(test)) return { what: 'choosing an account: skipped, build/release/test_accounts_speed is not built' };
  const out = spawnSync(test, { encoding: 'utf8', cwd: root, timeout: 120000 }).stdout;
  const worst = Math.max(...[...out.matchAll(/choosing among .*?(\d+) ns warm, *(\d+) ns cold/g)].flatMap((m) => [Number(m[1]), Number(m[2])]));
  return { what: `choosing among ${out.match(/choosing among (\d+)/)?.[1]} accounts, the slowest strategy, us`, limit: 5, value: worst / 1000 };
}

function size(house) {
  const copy = house.at('stripped');
  fs.copyFileSync(house.sluice, copy);
  if (which('strip')) spawnSync('strip', [copy]);
  return { what: 'program, stripped, MiB', limit: 4, value: fs.statSync(copy).size / 2 ** 20 };
}

export async function extras(house, root, rows) {
  const out = [];
  for (const f of [() => size(house), () => idle(house), () => row(house), () => start(house, rows), () => choosing(root)]) {
    const x = await f();
    say(x.value === undefined ? x.what : `${x.what}: ${x.value.toFixed(2)}`);
    out.push(x);
  }
  return out;
}

// ---- instructions, by callgrind: the same from run to run, on however busy a machine

const COUNTED = {
  a: { clients: 8, body: 1024, reply: 'json', n: 1000 },
  b: { clients: 8, body: 102400, reply: 'json', n: 300 },
  c: { clients: 8, body: 1024, reply: 'burst', n: 200 },
  d: { clients: 300, reply: 'held.1000.1', hold: 10 },
};
export const COUNTABLE = Object.keys(COUNTED);
for (const id of COUNTABLE) COUNTED[`tls-${id}`] = { ...COUNTED[id], front: 'tls' };
COUNTED['tls-h'] = { clients: 1, pace: 'shake', front: 'tls', n: 100 };
const BEFORE = 200; // requests that are not counted

const control = (...args) => spawnSync('callgrind_control', args.map(String), { encoding: 'utf8' });

function totals(house, prefix, known, keep) {
  const each = [];
  for (const f of fs.readdirSync(house.dir).filter((x) => x.startsWith(prefix) && !known.has(x)).sort()) {
    known.add(f);
    const m = fs.readFileSync(house.at(f), 'utf8').match(/^(?:totals|summary): *(\d+)/m);
    if (m) each.push(Number(m[1]));
    if (keep) fs.copyFileSync(house.at(f), path.join(keep, f));
  }
  return each;
}

// {contestant: {scenario: {sum, threads}}}: instructions of user space for a request (d: an event).
export async function instructions(house, contestants, ids, keep) {
  if (!which('valgrind')) {
    say('no instructions are counted: valgrind is not installed');
    return {};
  }
  if (keep) fs.mkdirSync(keep, { recursive: true });
  const out = {};
  for (const kind of contestants) {
    const file = `callgrind.${kind}`;
    const c = await house.start(kind, { wrap: [which('valgrind'), '--tool=callgrind', '-q', '--separate-threads=yes',
      `--callgrind-out-file=${house.at(file)}`], tls: ids.some((id) => COUNTED[id].front) });
    const known = new Set();
    out[kind] = {};
    for (const id of ids) {
      const w = COUNTED[id];
      const front = w.front ?? 'plain';
      let units = w.n;
      let before = [];
      if (w.hold) {
        await house.load({ ...c, pids: [] }, front, 'plain', { pace: 'held', clients: w.clients, reply: w.reply,
          warm_ms: 1000, run_ms: w.hold * 1000 + 3000 }, async () => {
          control('--zero', c.child.pid);
          await sleep(w.hold * 1000);
          control(`--dump=${id}`, c.child.pid);
        });
        units = w.clients * w.hold;
      } else {
        const words = w.pace ? { pace: w.pace, clients: w.clients }
          : { pace: 'closed', clients: w.clients, body: w.body, reply: w.reply };
        const load = (requests) => house.load({ ...c, pids: [] }, front, 'plain', { ...words, requests });
        await load(BEFORE);
        control('--zero', c.child.pid);
        if (front === 'tls' && !w.pace) { // their handshakes are what the same load has with fewer requests
          await load(BEFORE);
          control(`--dump=${id}`, c.child.pid);
          before = totals(house, file, known);
        }
        await load(units + (before.length > 0 ? BEFORE : 0));
        control(`--dump=${id}`, c.child.pid);
      }
      const threads = totals(house, file, known, keep).map((n, i) => (n - (before[i] ?? 0)) / units);
      out[kind][id] = { sum: threads.reduce((x, y) => x + y, 0), threads };
      say(`${kind}, ${id}: ${Math.round(out[kind][id].sum)} instructions`);
    }
    await c.stop();
  }
  return out;
}

// ---- where the time goes

// A profile of sluice under the load of one scenario; returns text. The program needs symbols.
export async function profile(house, s, words, keep) {
  fs.mkdirSync(keep, { recursive: true });
  const data = path.join(keep, `perf.${s.id}.data`);
  if (!which('perf')) {
    if (!COUNTED[s.id]) throw new Error(`without perf only ${COUNTABLE.join(', ')} can be profiled, by callgrind`);
    await instructions(house, ['sluice'], [s.id], keep);
    const file = fs.readdirSync(keep).filter((f) => f.startsWith('callgrind.sluice')).map((f) => path.join(keep, f))
      .sort((x, y) => fs.statSync(y).size - fs.statSync(x).size)[0];
    return `${spawnSync('callgrind_annotate', [file], { encoding: 'utf8' }).stdout.split('\n').slice(0, 80).join('\n')}\n(${file})`;
  }
  const c = await house.start('sluice', { tls: s.front === 'tls' || s.back === 'tls' });
  let perf;
  await house.load(c, s.front, s.back, words, () => {
    perf = run(which('perf'), ['record', '-q', '-F', '1999', '-g', '-o', data, '-p', String(c.child.pid)]);
  });
  perf?.kill('SIGINT');
  await perf?.ended;
  await c.stop();
  const report = (...args) => spawnSync('perf', ['report', '-i', data, '--stdio', '--no-children', '-g', 'none', ...args],
    { encoding: 'utf8', maxBuffer: 1 << 26 }).stdout.split('\n').filter((l) => l && !l.startsWith('#'));
  return [...report('--sort', 'comm,dso').slice(0, 8), '', ...report('--sort', 'symbol').slice(0, 60), '',
    `perf report -i ${data}`].join('\n');
}

// ---- growth

// Mixed load for so many seconds; resident memory after the first tenth, and at the end.
export async function soak(house, seconds) {
  const c = await house.start('sluice', { tls: house.tls });
  const quiet = { ...c, pids: [] };
  const until = Date.now() + seconds * 1000;
  const part = Math.min(10000, seconds * 200);
  const failures = [];
  const keepUp = async (front, back, words) => {
    while (Date.now() < until) {
      await house.load(quiet, front, back, { ...words, run_ms: part }).catch((e) => failures.push(String(e)));
    }
  };
  const kinds = [
    ['plain', 'plain', { pace: 'open', rate: 300, clients: 500, body: 1024 }],
    ['plain', 'plain', { pace: 'open', rate: 20, clients: 200, body: 307200 }],
    ['plain', 'plain', { pace: 'open', rate: 40, clients: 200, body: 1024, reply: 'burst' }],
    ['plain', 'plain', { pace: 'held', clients: 200, reply: 'held.200.1' }],
    ['plain', 'slow', { pace: 'held', clients: 20, reply: 'held', dialect: 'openai' }],
    ...(house.tls ? [['tls', 'plain', { pace: 'open', rate: 50, clients: 200, body: 1024 }],
      ['tls', 'tls', { pace: 'held', clients: 50, reply: 'held.200.1' }],
      ['tls', 'plain', { pace: 'shake', rate: 20, clients: 100 }]] : []),
  ];
  const samples = [];
  const watch = setInterval(() => {
    samples.push({ s: seconds - (until - Date.now()) / 1000, kib: residentKib(c.pids) });
    if (samples.length % 20 === 0) say(`soak: ${Math.round(samples.at(-1).s)} s of ${seconds}, ${samples.at(-1).kib} KiB`);
  }, Math.max(500, seconds * 5));
  await Promise.all(kinds.map((k) => keepUp(...k)));
  clearInterval(watch);
  const busy = residentKib(c.pids);
  await sleep(1000);
  const rest = residentKib(c.pids);
  await c.stop();
  const begin = samples.find((x) => x.s >= seconds / 10)?.kib ?? samples[0].kib;
  const late = samples.slice(Math.floor(samples.length * 0.8)).map((x) => x.kib);
  return { seconds, begin, end: spread(late)?.median ?? busy, rest, most: Math.max(...samples.map((x) => x.kib)), samples, failures };
}
