// Looks into the gateway's database from outside: with the sqlite3 command or with Python's module.

import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';

const HEADER = Buffer.from('SQLite format 3\0');

export function databases(files) {
  return files.filter((f) => {
    const head = Buffer.alloc(16);
    const fd = fs.openSync(f, 'r');
    fs.readSync(fd, head, 0, 16, 0);
    fs.closeSync(fd);
    return head.equals(HEADER);
  });
}

// The answer of `PRAGMA integrity_check`, or null when this system has no way to ask.
export function integrity(file) {
  if (spawnSync('sqlite3', ['-version']).status === 0) {
    return execFileSync('sqlite3', [file, 'PRAGMA integrity_check;']).toString().trim();
  }
  const py = 'import sqlite3,sys;print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])';
  const run = spawnSync('python3', ['-c', py, file]);
  return run.status === 0 ? run.stdout.toString().trim() : null;
}
