// The soaks of scripts/soak, so short that their numbers mean little: that they run, and that nothing
// is lost.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { HERE, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { idleTls, restarts, slowloris } from '../../soak/soak.mjs';

test('soak: 60 streams while the gateway is replaced every two seconds', { timeout: 90000 }, async (t) => {
  const r = await restarts(t, { ms: 10000, every: 2000, streams: 60, drain: '500ms' });
  equal(r.restarts, 5);
  ok(r.told > 0, 'some streams were ended by a drain, and told so');
  equal(r.complete + r.told, r.streams);
});

test('soak: 300 slow sockets keep no good client waiting', { timeout: 60000 }, async (t) => {
  const r = await slowloris(t, { sockets: 300, rounds: 2, ms: 800, rate: 50, least: 300 });
  equal(r.sockets, 300);
});

test('soak: 200 idle TLS connections are held', { timeout: 60000 }, async (t) => {
  const r = await idleTls(t, { connections: 200, processes: 2, most: 120 });
  ok(r.connections >= 200);
});

test('soak: the script tells what it can do', { direct: true }, async () => {
  const r = spawnSync(path.resolve(HERE, '../../scripts/soak'), ['--help'], { encoding: 'utf8' });
  equal(r.status, 0);
  for (const word of ['restarts', 'slowloris', 'idle-tls', 'mixed']) match(r.stdout, new RegExp(`scripts/soak ${word}`));
});
