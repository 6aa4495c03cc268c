// Backups: made while the gateway is busy, put back elsewhere, sealed all the way.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { deepEqual, equal, match, ok } from '../lib/assert.mjs';
import { integrity } from '../lib/sqlite.mjs';
import { until } from '../lib/wire.mjs';

const mode = (f) => (fs.statSync(f).mode & 0o7777).toString(8);

// The forms in which a value could lie in a file.
function forms(value) {
  const b = Buffer.from(value);
  return [value, b.toString('base64').replace(/=+$/, ''), b.toString('base64url'), b.toString('hex'), b.toString('utf16le')];
}

function clear(bytes, gw) {
  const found = [];
  const text = bytes.toString('latin1');
  const master = fs.readFileSync(path.join(gw.state, 'master.key'), 'utf8').trim();
  for (const [value, what] of [...gw.secrets, [master, 'the master key'], [Buffer.from(master, 'hex').toString('latin1'), 'its bytes']]) if (forms(value).some((f) => text.includes(f))) found.push(what);
  return found;
}

// Exchanges what the two first rows of every table with secrets hold; how many there were.
function swapSecrets(file) {
  const program = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
n = 0
for (table,) in db.execute("select name from sqlite_schema where type = 'table'").fetchall():
    if 'secret' not in [c[1] for c in db.execute(f'pragma table_info({table})')]:
        continue
    rows = db.execute(f'select rowid, secret from {table} where secret is not null').fetchall()
    if len(rows) >= 2:
        db.execute(f'update {table} set secret = ? where rowid = ?', (rows[1][1], rows[0][0]))
        db.execute(f'update {table} set secret = ? where rowid = ?', (rows[0][1], rows[1][0]))
        n += 1
db.commit()
print(n)
`;
  try {
    return Number(execFileSync('python3', ['-c', program, file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  } catch (e) {
    if (e.code === 'ENOENT' || /No module/.test(e.stderr ?? '')) return null;
    throw e;
  }
}

test('backup: under load, anywhere its caller may write, and into another folder', { timeout: 90000 }, async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: {}, b: { priority: 2 } } });
  let busy = true;
  let served = 0;
  const load = Promise.all(Array.from({ length: 6 }, async (_, i) => {
    while (busy) {
      const a = await gw.post(message({ stream: i % 2 === 0 }));
      equal(a.status, 200);
      ok(a.complete);
      served++;
    }
  }));
  await until(() => served > 30, 30000, 'some load');
  const dir = t.subdir('backups');
  const first = path.join(dir, 'first.db');
  const before = served;
  const told = await gw.json(['backup', first]);
  equal(told.file, first);
  equal(told.bytes, fs.statSync(first).size);
  const again = await gw.cli(['backup', first]);
  equal(again.code, 6, 'not over another one');
  match(again.err, /--replace/);
  await gw.ok(['backup', first, '--replace']);
  const inside = path.join(gw.state, 'copy.db');
  await gw.ok(['backup', inside]);
  for (const name of ['master.key', 'sluice.db', 'sluice.db-wal', 'sluice.lock']) {
    const p = await gw.cli(['backup', path.join(gw.state, name), '--replace']);
    ok(p.code !== 0, `${name} was overwritten`);
    match(p.err, /own files/);
  }
  const link = path.join(dir, 'link.db');
  fs.symlinkSync(path.join(dir, 'elsewhere.db'), link);
  ok((await gw.cli(['backup', link, '--replace'])).code !== 0, 'through a link');
  ok(!fs.existsSync(path.join(dir, 'elsewhere.db')));
  await until(() => served > before + 10, 30000, 'load that went on');
  busy = false;
  await load;
  for (const f of [first, inside]) {
    equal(mode(f), '600', f);
    deepEqual(clear(fs.readFileSync(f), gw), [], 'still sealed');
    equal(integrity(f) ?? 'ok', 'ok', f);
  }
  deepEqual(fs.readdirSync(dir).sort(), ['first.db', 'link.db'], 'nothing is left behind');
  deepEqual(fs.readdirSync(gw.state).filter((f) => f.startsWith('backup-')), []);

  // into a second folder, which has no key at first
  const second = t.gateway();
  second.key = gw.key;
  for (const [v, w] of gw.secrets) second.secrets.set(v, w);
  const back = await second.json(['restore', first]);
  equal(back.master_key, told.master_key);
  equal(back.master_key_present, false);
  equal(mode(second.state), '700');
  equal(mode(path.join(second.state, 'sluice.db')), '600');
  await second.start({ expectFail: true });
  ok(await second.proc.exit() !== 0, 'without its key it does not start');
  match(second.proc.err, /master\.key is missing/);
  second.logs += second.proc.err;
  second.proc = null;
  // with a wrong one
  fs.writeFileSync(path.join(second.state, 'master.key'), `${'5a'.repeat(32)}\n`, { mode: 0o600 });
  const wrong = await second.cli(['restore', first, '--replace']);
  equal(wrong.code, 77);
  match(wrong.err, new RegExp(`needs the master key with the fingerprint ${told.master_key}`));
  // with the right one everything is as it was
  fs.copyFileSync(path.join(gw.state, 'master.key'), path.join(second.state, 'master.key'));
  fs.chmodSync(path.join(second.state, 'master.key'), 0o600);
  await second.start({});
  const n = (await prov.requests()).length;
  equal((await second.post(message())).status, 200, 'the same client key, the same account');
  const last = (await prov.requests()).pop();
  equal((await prov.requests()).length, n + 1);
  equal(last.header('x-api-key'), keys.a);
  equal((await second.json(['account', 'list'])).accounts.length, 2);
  await second.stop();
  for (const f of second.stateFiles()) equal(fs.statSync(f).mode & 0o077, 0, f);
});

test('backup: a rotation in between, and a row in another row\'s place', async (t) => {
  const { gw, keys } = await t.setup({ accounts: { a: {}, b: { priority: 2 } } });
  const dir = t.subdir('backups');
  const old = path.join(dir, 'old.db');
  const was = await gw.json(['backup', old]);
  const oldKey = fs.readFileSync(path.join(gw.state, 'master.key'));
  const r = await gw.json(['vault', 'rotate']);
  equal(r.old_key, was.master_key);
  equal(r.unreadable, 0);
  ok(!oldKey.equals(fs.readFileSync(path.join(gw.state, 'master.key'))), 'with the sandbox closed, too');
  equal(mode(path.join(gw.state, 'master.key')), '600');
  equal((await gw.post(message())).status, 200);
  const now = await gw.json(['backup', path.join(dir, 'new.db')]);
  equal(now.master_key, r.new_key);
  deepEqual(clear(fs.readFileSync(path.join(dir, 'new.db')), gw), []);
  // the old copy needs the old key
  const second = t.gateway();
  second.key = gw.key;
  fs.mkdirSync(second.state, { mode: 0o700 });
  fs.copyFileSync(path.join(gw.state, 'master.key'), path.join(second.state, 'master.key'));
  fs.chmodSync(path.join(second.state, 'master.key'), 0o600);
  equal((await second.cli(['restore', old])).code, 77);
  fs.writeFileSync(path.join(second.state, 'master.key'), oldKey);
  await second.ok(['restore', old]);
  // one account's sealed secret in the other's row: nobody may ever send it there
  const swapped = swapSecrets(path.join(second.state, 'sluice.db'));
  if (swapped === null) t.skip('no Python with SQLite here');
  ok(swapped > 0, 'a table with two secrets');
  await second.start({});
  const list = (await second.json(['account', 'list'])).accounts;
  deepEqual(list.map((x) => x.state).filter((s) => s === 'ready'), [], JSON.stringify(list.map((x) => [x.name, x.state, x.reason])));
  const a = await second.post(message());
  ok(a.status >= 400, 'no request is served with a secret of another row');
  for (const k of Object.values(keys)) ok(!a.text.includes(k));
});
