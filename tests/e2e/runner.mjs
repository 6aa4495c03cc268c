// Runs the cases of cases/*.mjs, two at a time by default, each bounded in time.
//
//   runner.mjs [--only TEXT] [--direct] [--jobs N] [--list] [--keep]
//
// --only runs the cases whose name contains TEXT (may be repeated); --direct runs those that need no
// gateway (they show that the scripted provider is good enough for the real clients).

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Context, HERE, Skip, cases } from './lib/harness.mjs';
import { makeCerts } from './lib/certs.mjs';

const { values: opt } = parseArgs({ options: {
  only: { type: 'string', multiple: true }, direct: { type: 'boolean' }, list: { type: 'boolean' },
  jobs: { type: 'string', default: process.env.E2E_JOBS ?? '2' }, keep: { type: 'boolean' },
} });

for (const f of fs.readdirSync(path.join(HERE, 'cases')).sort()) {
  if (f.endsWith('.mjs')) await import(`./cases/${f}`);
}

let chosen = cases;
if (opt.only) chosen = chosen.filter((c) => opt.only.some((o) => c.name.includes(o)));
if (opt.direct) chosen = chosen.filter((c) => c.direct);
if (opt.list) {
  for (const c of chosen) console.log(c.name);
  process.exit(0);
}

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-e2e-'));
const shared = { bin: process.env.SLUICE_BIN, tmp, certs: makeCerts(path.join(tmp, 'certs')) };
const tally = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

async function runOne(c) {
  const started = Date.now();
  const t = new Context(c, shared);
  let verdict = 'ok';
  let why = '';
  let timer;
  try {
    if (!c.direct && !shared.bin) throw new Error('no sluice binary (SLUICE_BIN)');
    if (c.root && process.getuid() !== 0) throw new Skip('needs root');
    const late = new Promise((_, no) => {
      timer = setTimeout(() => no(new Error(`took longer than ${c.timeout} ms`)), c.timeout);
    });
    await Promise.race([c.fn(t), late]);
  } catch (e) {
    verdict = e instanceof Skip ? 'skip' : 'FAIL';
    why = e instanceof Skip ? e.message : e.stack ?? String(e);
  }
  clearTimeout(timer);
  const log = t.report();
  const faults = await t.finish(verdict === 'FAIL');
  if (verdict === 'ok' && faults.length) {
    verdict = 'FAIL';
    why = faults.join('\n');
  }
  tally[{ ok: 'passed', FAIL: 'failed', skip: 'skipped' }[verdict]]++;
  const note = verdict === 'skip' ? ` (${why})` : '';
  console.log(`${verdict.padEnd(4)} ${c.name} (${Date.now() - started} ms)${note}`);
  if (verdict === 'FAIL') {
    failures.push(c.name);
    const indent = (s) => s.split('\n').map((l) => `       ${l}`).join('\n');
    console.log(indent(why));
    if (log.trim()) console.log(`       -- end of the gateway's log --\n${indent(log)}`);
  }
  if (!opt.keep) fs.rmSync(t.dir, { recursive: true, force: true });
}

const queue = [...chosen];
async function worker() {
  for (let c = queue.shift(); c; c = queue.shift()) await runOne(c);
}
await Promise.all(Array.from({ length: Math.max(1, Number(opt.jobs)) }, worker));

if (!opt.keep) fs.rmSync(tmp, { recursive: true, force: true });
if (failures.length) console.log(`failed: ${failures.join('; ')}`);
console.log(`e2e: ${tally.passed} passed, ${tally.failed} failed${tally.skipped ? `, ${tally.skipped} skipped` : ''}`);
process.exit(tally.failed || tally.passed + tally.skipped === 0 ? 1 : 0);
