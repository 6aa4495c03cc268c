// scripts/soak's program: the words of its command line, one soak after the other.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { makeCerts } from '../e2e/lib/certs.mjs';
import { Context } from '../e2e/lib/harness.mjs';
import { idleTls, restarts, slowloris } from './soak.mjs';

const { values: o, positionals } = parseArgs({ allowPositionals: true, options: {
  seconds: { type: 'string', default: '600' }, every: { type: 'string', default: '30' },
  streams: { type: 'string', default: '200' }, drain: { type: 'string', default: '8s' },
  sockets: { type: 'string', default: '5000' }, rounds: { type: 'string', default: '5' },
  connections: { type: 'string', default: '10000' },
} });
const say = (text) => console.error(`soak: ${text}`);
const SOAKS = {
  restarts: (t) => restarts(t, { ms: Number(o.seconds) * 1000, every: Number(o.every) * 1000, streams: Number(o.streams), drain: o.drain, say }),
  slowloris: (t) => slowloris(t, { sockets: Number(o.sockets), rounds: Number(o.rounds), say }),
  'idle-tls': (t) => idleTls(t, { connections: Number(o.connections), say }),
};

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-soak-'));
const shared = { bin: process.env.SLUICE, tmp, certs: makeCerts(path.join(tmp, 'certs')) };
let failed = 0;
for (const name of positionals.length ? positionals : Object.keys(SOAKS)) {
  const t = new Context({ name }, shared);
  try {
    if (!SOAKS[name]) throw new Error(`no such soak: one of ${Object.keys(SOAKS).join(', ')}`);
    console.log(JSON.stringify({ soak: name, ...await SOAKS[name](t) }));
  } catch (e) {
    failed++;
    say(`${name} FAILED: ${e.stack}`);
    const log = t.report();
    if (log.trim()) say(`the end of the log:\n${log}`);
  }
  for (const p of t.procs) p.signal('SIGKILL');
  for (const fn of t.cleanups) await Promise.resolve(fn()).catch(() => {});
}
fs.rmSync(tmp, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
