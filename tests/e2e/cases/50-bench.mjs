// The benchmark's harness works: each kind of scenario is played, briefly. Its numbers mean nothing.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { HERE, test } from '../lib/harness.mjs';
import { equal, ok } from '../lib/assert.mjs';

const SCENARIOS = 'a,c,d,e,tls-a,tls-h,g';

function builds(source) {
  try {
    execFileSync('cc', ['-E', '-o', '/dev/null', '-'], { input: source, stdio: ['pipe', 'ignore', 'ignore'] });
    return true;
  } catch {
    return false;
  }
}

test('bench: the harness plays its scenarios', { timeout: 120000 }, async (t) => {
  const bin = process.env.SLUICE_BIN_RELEASE ?? t.shared.bin;
  if (!fs.existsSync('/proc/self/smaps_rollup') || !builds('int x;\n')) t.skip('needs Linux and a C compiler');
  const file = path.join(t.dir, 'bench.json');
  const p = t.spawn(path.resolve(HERE, '../../scripts/bench'), ['--quick', '--only', SCENARIOS, '--json', file],
    { env: { ...process.env, SLUICE: bin, TMPDIR: t.dir } });
  equal(await p.exit(100000), 0, p.err);
  const { scenarios } = JSON.parse(fs.readFileSync(file, 'utf8'));
  const played = builds('#include <openssl/ssl.h>\n') ? SCENARIOS : SCENARIOS.replace(/tls-\w+,/g, '');
  equal(scenarios.map((s) => s.id).join(), played);
  for (const s of scenarios) {
    for (const [who, seen] of Object.entries(s.players)) {
      equal(seen.errors, 0, `${s.id}, ${who}`);
      ok(seen.units.median > 0 && (who === 'direct' || seen.cpu.median > 0), `${s.id}, ${who}: something was measured`);
    }
    ok(s.players.sluice, `${s.id} was played with sluice`);
  }
  equal(fs.readdirSync(t.dir).filter((f) => f.startsWith('sluice-bench') || f.startsWith('tmp.')).join(), '', 'nothing is left behind');
});
