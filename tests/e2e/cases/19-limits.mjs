// When the machine runs short: no disk, few file descriptors.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { Connection, until } from '../lib/wire.mjs';
import { deepEqual, equal, ok } from '../lib/assert.mjs';

test('limits: a full disk does not fail requests', { root: true, timeout: 120000 }, async (t) => {
  const { gw, prov } = await t.setup({ start: false });
  // The state folder moves onto a small file system of its own.
  const disk = t.subdir('disk');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    t.skip('no mount here');
  }
  t.cleanups.push(() => execFileSync('umount', ['-l', disk]));
  fs.cpSync(gw.state, path.join(disk, 'state'), { recursive: true });
  gw.state = path.join(disk, 'state');
  fs.chmodSync(gw.state, 0o700);
  await gw.start();
  equal((await gw.post(message())).status, 200);
  await gw.booked(1);
  const filler = fs.openSync(path.join(disk, 'filler'), 'w');
  try { for (;;) fs.writeSync(filler, Buffer.alloc(4096)); } catch (e) { equal(e.code, 'ENOSPC'); }
  for (let i = 0; i < 150; i++) {
    const a = await gw.post(message({ stream: i % 2 === 0 }));
    ok(a.status === 200 && a.complete, `request ${i}: ${a.status}`);
  }
  equal((await prov.requests()).length, 151);
  ok((await gw.ask('GET', '/livez', { key: null })).status === 200);
  const status = JSON.stringify(await gw.json(['status']));
  ok(/drop|lost|error|fail|store|disk/i.test(status), `the loss is counted: ${status}`);
  fs.closeSync(filler);
  fs.rmSync(path.join(disk, 'filler'));
  const id = (await gw.post(message())).get('x-sluice-request-id');
  await until(async () => (await gw.records()).some((r) => r.id === id), 10000, 'records to be written again');
});

test('limits: a database locked by somebody else does not fail requests', { timeout: 90000 }, async (t) => {
  const { gw } = await t.setup();
  const py = 'import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\nc.execute("BEGIN IMMEDIATE")\nprint("locked",flush=True)\nsys.stdin.read()';
  const db = gw.stateFiles().find((f) => fs.readFileSync(f).subarray(0, 15).toString() === 'SQLite format 3');
  ok(db, 'a database');
  const locker = t.spawn('python3', ['-c', py, db]);
  await until(() => locker.out.includes('locked') || !locker.running, 10000, 'the lock');
  if (!locker.running) t.skip('no Python here');
  for (let i = 0; i < 30; i++) equal((await gw.post(message())).status, 200);
  locker.child.stdin.end();
  await locker.exit();
  ok((await gw.booked(1, 15000)).length >= 1);
});

const SMALL = { wrap: ['sh', '-c', 'ulimit -n 64; exec "$0" "$@"'] };

test('limits: 64 file descriptors, 120 clients at once: all are served in turn', { timeout: 40000 }, async (t) => {
  const { gw, prov } = await t.setup(SMALL);
  const many = Array.from({ length: 120 }, () => t.track(new Connection(gw.target)));
  for (const c of many) c.request('POST', '/v1/messages', { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' }, message({ stream: true }));
  await until(() => many.every((c) => c.peek(0)?.complete || c.ended), 20000, 'an end of all 120');
  const statuses = many.map((c) => (c.peek(0)?.complete ? c.peek(0).status : 0));
  deepEqual(statuses.filter((s) => s !== 200), []);
  equal((await prov.requests()).length, 120);
});

test('limits: 64 file descriptors and 40 clients that say nothing', { timeout: 40000 }, async (t) => {
  const { gw } = await t.setup(SMALL);
  const idle = Array.from({ length: 40 }, () => t.track(new Connection(gw.target)));
  await until(() => idle.every((c) => !c.socket.connecting), 5000, 'idle connections');
  const from = Date.now();
  const before = cpuTicks(gw.proc.pid);
  await until(() => Date.now() - from > 500, 2000, 'half a second to look at the processor time');
  ok(cpuTicks(gw.proc.pid) - before < 20, `a full listener does not spin: ${cpuTicks(gw.proc.pid) - before} ticks in half a second`);
  // Places become free as the silent ones are let go, a second or so after they came.
  equal((await gw.post(message(), { ms: 15000 })).status, 200);
  for (const c of idle) c.leave();
  equal((await gw.post(message(), { ms: 5000 })).status, 200);
});

function cpuTicks(pid) {
  const f = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return Number(f[11]) + Number(f[12]);
}

test('limits: a frozen provider is given up, others serve', { timeout: 60000 }, async (t) => {
  const frozen = await t.provider();
  const { gw, prov } = await t.setup({ config: { stream_first_byte_timeout: '500ms', first_byte_timeout: '500ms' }, accounts: { a: { provider: frozen }, b: {} } });
  equal((await gw.post(message())).status, 200);
  frozen.proc.signal('SIGSTOP');
  t.cleanups.push(() => frozen.proc.signal('SIGCONT'));
  const a = await gw.post(message({ stream: true }));
  equal(a.status, 200, a.text);
  ok(a.complete);
  equal((await prov.requests()).length, 1);
  frozen.proc.signal('SIGCONT');
});

test('limits: a frozen gateway wakes up whole', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  gw.proc.signal('SIGSTOP');
  await prov.release();
  await prov.waitState('done');
  gw.proc.signal('SIGCONT');
  const a = await c.answer();
  ok(a.complete);
  equal(a.text, (await prov.requests())[0].sent.toString());
});
