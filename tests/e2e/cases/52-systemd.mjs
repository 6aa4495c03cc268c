// The service manager's side: what it is told and when, and how exposed the unit is.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { HERE, message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { until } from '../lib/wire.mjs';
import { Listener, admin, ended } from '../lib/restarts.mjs';

const SCRIPTS = path.resolve(HERE, '../../scripts');

test('systemd: ready, status, watchdog, reload, stop, as sd_notify wants them', async (t) => {
  const l = await Listener.start(t);
  const { gw } = await t.setup({ start: false });
  await gw.start({ env: { NOTIFY_SOCKET: l.path, WATCHDOG_USEC: '600000', SLUICE_DRAIN_LEAD: '1s' } });
  await l.wait((m) => m.READY === '1' && m.STATUS === 'serving: 0 streams, 1 of 1 accounts usable');
  for (let i = 0; i < 3; i++) await l.wait((m) => m.WATCHDOG === '1');
  gw.proc.signal('SIGHUP');
  const reloading = await l.wait((m) => m.RELOADING === '1');
  ok(Number(reloading.MONOTONIC_USEC) > 0);
  await l.wait((m) => m.READY === '1');
  const stream = gw.open(message({ stream: true }));
  gw.proc.signal('SIGTERM');
  await l.wait((m) => m.STOPPING === '1');
  const duck = await l.wait((m) => m.STATUS?.startsWith('lame_duck: '));
  match(duck.STATUS, /^lame_duck: \d+ requests left, \d+ of them streams; 31[0-9] s at most$/);
  ok(Number(duck.EXTEND_TIMEOUT_USEC) >= 10000000, 'more than the time to the next word');
  await l.wait((m) => m.WATCHDOG === '1', 'fed in the drain, too');
  await stream.answer();
  equal(await gw.proc.exit(8000), 0);
  ok(l.all.every((m) => m.MAINPID === undefined));
});

test('systemd: a watchdog meant for another process is not fed', async (t) => {
  const l = await Listener.start(t);
  const { gw } = await t.setup({ start: false });
  await gw.start({ env: { NOTIFY_SOCKET: l.path, WATCHDOG_USEC: '30000', WATCHDOG_PID: '1' } });
  await l.wait((m) => m.READY === '1');
  await gw.post(message());
  await gw.stop();
  ok(l.all.every((m) => m.WATCHDOG === undefined), JSON.stringify(l.all));
});

test('systemd: a process that hangs is not fed', { timeout: 30000 }, async (t) => {
  const l = await Listener.start(t);
  const { gw } = await t.setup({ start: false });
  await gw.start({ env: { NOTIFY_SOCKET: l.path, WATCHDOG_USEC: '300000' } });
  await l.wait((m) => m.WATCHDOG === '1');
  gw.proc.signal('SIGSTOP');
  const at = l.all.length;
  await new Promise((go) => { setTimeout(go, 1500); });
  ok(l.all.length <= at + 1, 'a hanging process says nothing');
  gw.proc.signal('SIGCONT');
  await until(() => gw.logged().includes('the loop was late by a second or more'), 5000, 'the reason in the log');
  await l.wait((m) => m.WATCHDOG === '1', 'fed again');
});

test('systemd: an upgrade moves the main process, and the older one falls silent', async (t) => {
  const l = await Listener.start(t);
  const { gw, prov } = await t.setup({ start: false, accounts: { a: { plans: [{ gate: 5, times: 1 }] } } });
  await gw.start({ env: { NOTIFY_SOCKET: l.path, WATCHDOG_USEC: '600000', INVOCATION_ID: 'run-1' } });
  const first = gw.proc.pid;
  await l.wait((m) => m.READY === '1');
  // who is not in the service is told where to go; nothing happens
  for (const env of [{ INVOCATION_ID: '' }, { INVOCATION_ID: 'another' }]) {
    const p = await gw.cli(['upgrade'], { env });
    equal(p.code, 1, p.err);
    match(p.err, /`systemctl reload sluice` starts it there/);
  }
  const stream = gw.open(message({ stream: true }));
  await prov.waitState('held');
  const at = l.all.length;
  // as ExecReload= runs it: no watchdog in its environment
  const p = await gw.ok(['upgrade', '--json'], { env: { WATCHDOG_USEC: '', NOTIFY_SOCKET: '' } });
  const { pid } = JSON.parse(p.out);
  t.cleanups.push(() => { try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } });
  await l.wait((m) => m.READY === '1' && m.MAINPID === String(pid));
  const after = l.all.slice(at);
  const moved = after.findIndex((m) => m.MAINPID === String(pid));
  ok(moved >= 0 && after[moved].READY === undefined, 'the older one says it first: it is believed');
  ok(after.every((m) => m.STOPPING === undefined), 'the service does not stop');
  const quiet = l.all.length;
  for (let i = 0; i < 3; i++) await l.wait((m) => m.WATCHDOG === '1');
  ok(l.all.slice(quiet).every((m) => !/draining|lame/.test(m.STATUS ?? '')), 'of the older one nothing is heard');
  await prov.release();
  ok((await stream.answer()).complete);
  await ended(first);
  process.kill((await admin(gw, 'GET', '/api/status')).json().pid, 'SIGTERM');
  await l.wait((m) => m.STOPPING === '1');
  await ended(pid);
});

// ---- the units -------------------------------------------------------------------------------

const analyze = (args) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });

function needed(t) {
  if (analyze(['--version']).status !== 0) t.skip('no systemd-analyze here');
}

test('systemd: the unit is exposed by no more than 1.5', { direct: true }, async (t) => {
  needed(t);
  const r = analyze(['security', '--offline=true', '--no-pager', path.join(SCRIPTS, 'sluice.service')]);
  if (/unrecognized option|Unknown/.test(r.stderr)) t.skip('this systemd-analyze judges no file');
  const level = /Overall exposure level for sluice\.service: ([\d.]+)/.exec(r.stdout);
  ok(level, r.stdout + r.stderr);
  ok(Number(level[1]) <= 1.5, r.stdout);
});

test('systemd: the units are understood', { direct: true }, async (t) => {
  needed(t);
  // the program is not installed here: any stands for it
  const dir = t.subdir('units');
  for (const f of ['sluice.service', 'sluice.socket']) {
    const text = fs.readFileSync(path.join(SCRIPTS, f), 'utf8').replaceAll('/usr/bin/sluice', '/bin/true');
    fs.writeFileSync(path.join(dir, f), text);
  }
  const r = analyze(['verify', '--man=no', path.join(dir, 'sluice.service'), path.join(dir, 'sluice.socket')]);
  const complaints = r.stderr.split('\n').filter((l) => l.includes('sluice.'));
  equal(complaints.join('\n'), '');
});
