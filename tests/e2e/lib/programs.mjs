// Programs of the system, and ports for them.

import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

// Where a program is; a case that needs one that is not there is skipped.
export function program(t, name) {
  const found = ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin', '/opt/homebrew/bin'].map((d) => path.join(d, name)).find((p) => fs.existsSync(p));
  return found ?? t.skip(`${name} is not installed`);
}

export async function freePort() {
  const s = net.createServer();
  await new Promise((go) => { s.listen(0, '127.0.0.1', go); });
  const { port } = s.address();
  await new Promise((go) => { s.close(go); });
  return port;
}
