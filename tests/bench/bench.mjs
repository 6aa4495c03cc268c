// scripts/bench: what is asked for, in which order it is played, what is printed.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { COUNTABLE, extras, instructions, profile, soak } from './extras.mjs';
import { House, endAll, say, sleep, which } from './house.mjs';
import { digest, judge, sameness, table, targets } from './report.mjs';
import { SCENARIOS, choose, fitted, play, players } from './scenarios.mjs';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');

const { values: opt } = parseArgs({ options: {
  only: { type: 'string' }, contestants: { type: 'string' }, rounds: { type: 'string' },
  seconds: { type: 'string' }, clients: { type: 'string', default: '32' }, quick: { type: 'boolean' },
  aa: { type: 'string' }, beside: { type: 'string' }, json: { type: 'string' }, markdown: { type: 'string' },
  instructions: { type: 'string' }, profile: { type: 'string' }, keep: { type: 'string' },
  soak: { type: 'string' }, alone: { type: 'boolean' }, list: { type: 'boolean' }, 'no-extras': { type: 'boolean' },
  'max-minutes': { type: 'string', default: '60' }, 'ledger-rows': { type: 'string', default: '1000000' },
} });

if (opt.list) {
  for (const s of SCENARIOS) console.log(`${s.id.padEnd(8)} ${s.title.replace('held', `${s.load.clients} held`)}`);
  process.exit(0);
}

const QUICK = 'a,b,c,d,e,tls-a,tls-h,g';
const options = {
  rounds: Number(opt.rounds ?? (opt.quick ? 1 : 31)),
  runMs: Number(opt.seconds ?? (0.2)) * 1000,
  warmMs: 40,
  clients: Number(opt.clients),
};
// Many short rounds, because the machine's other work comes and goes; fewer and longer ones where
// not so much happens in a second.
const slow = { ...options, rounds: Math.ceil(options.rounds / 7), runMs: options.runMs * 12, warmMs: 300 };
const optionsOf = (s) => (!opt.quick && (s.load.pace === 'held' || s.load.pace === 'open') ? slow : options);

function contestantsOf() {
  if (opt.aa) return [opt.aa, `${opt.aa}#2`];
  if (opt.beside) return ['sluice', OTHER];
  const wanted = (opt.contestants ?? 'nginx,haproxy,sluice').split(',');
  return wanted.filter((c) => {
    if (c === 'sluice' || which(c)) return true;
    say(`without ${c}: it is not installed (scripts/bootstrap --bench)`);
    return false;
  });
}

function scenariosOf(house) {
  const chosen = choose(opt.only ?? (opt.quick ? QUICK : 'all'));
  const out = [];
  for (const wanted of chosen) {
    if (!house.tls && isTls(wanted)) {
      notes.add('no TLS: OpenSSL\'s headers (libssl-dev) or its command are not installed');
      continue;
    }
    const { s, note } = fitted(wanted, house);
    if (note) notes.add(note);
    out.push(opt.quick && s.load.pace === 'held' ? { ...s, load: { ...s.load, clients: Math.min(s.load.clients, 50) } } : s);
  }
  return out;
}

const notes = new Set();
const isTls = (s) => s.front === 'tls' || s.back === 'tls';
const OTHER = 'sluice#2'; // the program of --beside
const kindOf = (player) => player.split('#')[0].split(':')[0];
const baseOf = (player) => player.split(':')[0];

// Notes the records that sluice says it has lost: there should be none.
async function told(house, s, c) {
  if (c.kind !== 'sluice') return;
  await sleep(300); // those of the clients that have just left
  const find = (o) => (o && typeof o === 'object'
    ? ('records_dropped' in o ? o : Object.values(o).map(find).find(Boolean)) : undefined);
  const { records_written: written, records_dropped: lost } = find(JSON.parse(house.cli(c.state, 'status', '--json'))) ?? {};
  if (lost > 0) notes.add(`${s.id}: sluice lost ${lost} records, ${written} were written by then`);
}

async function scenario(house, s, contestants) {
  const who = players(s, contestants);
  const rounds = Object.fromEntries(who.map((w) => [w, []]));
  const alive = {};
  const times = optionsOf(s);
  for (let r = 0; r < times.rounds; r++) {
    for (let i = 0; i < who.length; i++) {
      const player = who[(i + r) % who.length]; // nobody is always the first
      const base = baseOf(player);
      const c = base === 'direct' ? house.direct() : alive[base] ?? await house.start(kindOf(player),
        { tls: isTls(s), sluice: player === OTHER && opt.beside });
      if (base !== 'direct' && !s.fresh) alive[base] = c;
      rounds[player].push(await play(house, s, player, c, times));
      if (s.fresh) {
        await told(house, s, c);
        await c.stop();
      }
    }
  }
  for (const c of Object.values(alive)) {
    await told(house, s, c);
    await c.stop();
  }
  const reference = opt.aa ?? (opt.beside ? OTHER : contestants.includes('nginx') ? 'nginx' : contestants[0]);
  return digest(s, rounds, reference);
}

function machine() {
  return { cpu: os.cpus()[0]?.model, cores: os.cpus().length, kernel: os.release(),
    nginx: spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr?.trim(),
    haproxy: spawnSync('haproxy', ['-v'], { encoding: 'utf8' }).stdout?.split('\n')[0] };
}

const say1 = (r) => Object.entries(r.players).filter(([, o]) => o.cpu)
  .map(([who, o]) => `${who} ${o.cpu.median.toFixed(1)} us${o.to.cpu && who !== r.reference ? ` (${o.to.cpu.median.toFixed(2)})` : ''}`).join(', ');

const aloneTable = (more) => ['| sluice alone | |', '|---|---|',
  ...more.map((x) => `| ${x.what} | ${x.value === undefined ? '' : x.value.toFixed(2)} |`)].join('\n');

async function compare(house) {
  const contestants = contestantsOf();
  const began = os.loadavg();
  const results = [];
  for (const s of scenariosOf(house)) {
    const r = await scenario(house, s, contestants);
    say(`${s.id.padEnd(7)} ${say1(r)}`);
    results.push(r);
  }
  const full = !opt.quick && !opt.aa && !opt.beside && !opt.only && !opt['no-extras'];
  const counted = full ? await instructions(house, contestants, COUNTABLE) : {};
  const more = full ? await extras(house, root, Number(opt['ledger-rows'])) : [];
  const lines = opt.aa || opt.beside ? [] : judge(results, more);
  const same = opt.aa ? sameness(results) : null;
  const m = machine();
  const text = [
    table(results, counted), '',
    ...(more.length ? [aloneTable(more), ''] : []),
    ...(lines.length && contestants.includes('nginx') ? [targets(lines), ''] : []),
    ...(same ? [same.text, ''] : []),
    `Machine: ${m.cpu}, ${m.cores} cores, Linux ${m.kernel}; ${m.nginx}; ${m.haproxy}. ${options.clients} connections, medians of ${
      options.rounds} rounds of ${options.runMs / 1000} s (held streams and open loop: ${slow.rounds} of ${slow.runMs / 1000} s), in turns; ratios are the medians of each round's. Load average ${
      began.map((x) => x.toFixed(1)).join(' ')} before, ${os.loadavg().map((x) => x.toFixed(1)).join(' ')} after.`,
    ...[...notes].map((n) => `* ${n}`),
  ].join('\n');
  console.log(text);
  if (opt.markdown) fs.writeFileSync(opt.markdown, `${text}\n`);
  if (opt.json) {
    fs.writeFileSync(opt.json, `${JSON.stringify({ machine: m, options, load: { before: began, after: os.loadavg() },
      scenarios: results, instructions: counted, extras: more, targets: lines, notes: [...notes] }, null, 1)}\n`);
  }
  const errors = results.flatMap((r) => Object.values(r.players)).reduce((sum, p) => sum + p.errors, 0);
  return errors > 0 || (same && !same.met) ? 1 : 0;
}

async function main() {
  const house = new House({ bin: process.env.BENCH_BIN, sluice: path.resolve(process.env.SLUICE),
    descriptors: Number(process.env.BENCH_DESCRIPTORS), tls: process.env.BENCH_TLS === '1' && Boolean(which('openssl')) });
  const tidy = () => {
    endAll();
    for (const dir of [house.dir, house.bin]) fs.rmSync(dir, { recursive: true, force: true });
  };
  const stop = (why) => { tidy(); say(why); process.exit(1); };
  for (const s of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(s, () => stop(s));
  const minutes = Math.max(Number(opt['max-minutes']), opt.soak ? Number(opt.soak) / 60 + 10 : 0);
  setTimeout(() => stop(`longer than ${minutes} minutes`), minutes * 60000).unref();
  try {
    await house.open();
    if (opt.instructions) {
      const counted = await instructions(house, contestantsOf(), opt.instructions.split(','), opt.keep);
      console.log('| through | scenario | instructions each | by thread |\n|---|---|---|---|');
      for (const [who, by] of Object.entries(counted)) {
        for (const [id, x] of Object.entries(by)) console.log(`| ${who} | ${id} | ${Math.round(x.sum)} | ${x.threads.map((t) => Math.round(t)).join(' ')} |`);
      }
      return 0;
    }
    if (opt.alone) {
      const more = await extras(house, root, Number(opt['ledger-rows']));
      const lines = judge([], more);
      console.log(`${aloneTable(more)}\n\n${targets(lines)}`);
      return 0;
    }
    if (opt.profile) {
      const { s } = fitted(choose(opt.profile)[0], house);
      const words = { ...s.load, warm_ms: 500, run_ms: Number(opt.seconds ?? 8) * 1000, ...(s.load.pace === 'closed' && { clients: options.clients }),
        ...(s.pass && { dialect: 'openai' }) };
      console.log(await profile(house, s, words, opt.keep ?? path.join(root, 'build/bench')));
      return 0;
    }
    if (opt.soak) {
      const r = await soak(house, Number(opt.soak));
      const mib = (k) => (k / 1024).toFixed(1);
      console.log(`mixed load for ${r.seconds} s: resident ${mib(r.begin)} MiB after a tenth of it, ${mib(r.end)} MiB in its last fifth, at most ${mib(r.most)}, ${mib(r.rest)} at rest after it`);
      for (const f of r.failures) console.log(`failed: ${f}`);
      if (opt.json) fs.writeFileSync(opt.json, `${JSON.stringify(r, null, 1)}\n`);
      return r.failures.length ? 1 : 0;
    }
    return await compare(house);
  } finally {
    await house.close();
    tidy();
  }
}

process.exitCode = await main().catch((e) => { say(e.stack ?? e); return 1; });
process.exit();
