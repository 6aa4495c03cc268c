// What people and scripts type, and what becomes of files: every mistake is told, none hurts.

import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { deepEqual, equal, match, ok } from '../lib/assert.mjs';

// A verb ended like a program that knows what it does: with a code of its own and a message.
function told(p, what) {
  ok(typeof p.code === 'number' && p.code > 0 && p.code < 126, `${what}: exit ${p.code}\n${p.out}${p.err}`);
  ok(p.err.trim().length > 0, `${what}: says why`);
  ok(!/\x1b|[\x00-\x08\x0b-\x1f]/.test(p.err + p.out), `${what}: no raw control characters: ${JSON.stringify(p.err)}`);
}

test('odd input: names and addresses of accounts', { timeout: 120000 }, async (t) => {
  const gw = t.gateway();
  const add = (name, url, input = 'sk-x\n') => gw.cli(['account', 'add', name, '--provider', 'anthropic', '--base-url', url, '--secret-file', '-'], { input });
  for (const name of ['', ' ', 'a b', 'a\nb', '../x', 'a/b', '-x', '\x1b[31mred', 'n'.repeat(300), 'caf\u00e9\u202e', '%00']) {
    told(await add(name, 'http://127.0.0.1:1'), `name ${JSON.stringify(name)}`);
  }
  for (const url of ['', 'x', 'http://', 'ftp://127.0.0.1', 'http://user:pw@127.0.0.1', 'http://127.0.0.1:0', 'http://127.0.0.1:99999', 'http://127.0.0.1:-1',
    'http://127.0.0.1/?q', 'http://127.0.0.1/#f', 'http://[::1', 'http://[zz]', 'http://127.0.0.1\r\nx: y', 'http://127.0.0.1/ x', `http://${'a.'.repeat(140)}`,
    'javascript:alert(1)', 'http://2130706433', 'http://0x7f.1']) {
    const p = await add('u', url);
    if (p.code === 0) { // accepted ones are local addresses written oddly
      match(url, /2130706433|0x7f/, `accepted: ${url}`);
      await gw.ok(['account', 'remove', 'u']);
    } else told(p, `url ${JSON.stringify(url)}`);
  }
  for (const [what, secret] of Object.entries({ empty: '', blank: ' \n\n', 'two lines': 'a\nb\n', binary: '\x00\x01\x02', long: 'x'.repeat(100000), 'a line end inside': 'sk-x\r\nx-evil: 1' })) {
    told(await add('s', 'http://127.0.0.1:1', secret), `secret ${what}`);
  }
  deepEqual(await gw.json(['account', 'list']).then((v) => (Array.isArray(v) ? v : v.accounts)), []);
});

test('odd input: numbers and flags', { timeout: 120000 }, async (t) => {
  const gw = t.gateway();
  const base = ['account', 'add', 'n', '--provider', 'anthropic', '--base-url', 'http://127.0.0.1:1', '--secret-file', '-'];
  for (const extra of [['--priority', 'x'], ['--priority', '-1'], ['--priority', '99999999999999999999'], ['--weight', '0'], ['--weight', '1.5'],
    ['--weight', ''], ['--priority'], ['--nope'], ['--priority=1', '--priority=2', 'extra'], ['--provider', 'nobody']]) {
    told(await gw.cli([...base, ...extra], { input: 'sk-x\n' }), extra.join(' '));
  }
  for (const args of [['requests', '--limit', '-1'], ['requests', '--limit', 'all'], ['key', 'revoke', 'nobody'], ['account', 'show', 'nobody'],
    ['account', 'rename', 'a'], ['account'], ['nope'], ['key', 'add'], ['serve', '--listen', 'x'], ['serve', '--listen', '127.0.0.1:99999'],
    ['serve', '--config', '/nowhere/x.yaml'], ['config', 'check', '--config', '/dev/null/x']]) {
    told(await gw.cli(args), args.join(' '));
  }
});

const YAML = {
  'a tab': 'listen:\n\t- 127.0.0.1:1\n',
  'no mapping': '- a\n- b\n',
  'only a word': 'hello\n',
  'twice': 'ping_interval: 1s\nping_interval: 2s\n',
  'an alias bomb': 'a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d]\n',
  'deep': `${'['.repeat(20000)}\n`,
  'two documents': 'ping_interval: 1s\n---\nping_interval: 2s\n',
  'binary': '\x00\x01\xff',
  'a number without a unit that needs one': 'ping_interval: banana\n',
  'a negative time': 'ping_interval: -5s\n',
  'an overflowing size': 'max_body: 99999999999999999999999GiB\n',
  'an unknown variable': 'ca_file: ${NO_SUCH_VARIABLE_HERE}\n',
  'a variable without end': 'ca_file: ${HOME\n',
  'a mapping where a word belongs': 'ping_interval: {a: b}\n',
  'a key that is a list': '? [a, b]\n: c\n',
};

test('odd input: configuration files', { timeout: 120000 }, async (t) => {
  const gw = t.gateway();
  const file = path.join(gw.dir, 'odd.yaml');
  fs.mkdirSync(gw.dir, { recursive: true });
  for (const [what, text] of Object.entries(YAML)) {
    fs.writeFileSync(file, Buffer.from(text, 'latin1'));
    const p = await gw.cli(['config', 'check', '--config', file], { ms: 10000 });
    told(p, what);
    match(p.err, /odd\.yaml/, `${what}: names the file: ${p.err}`);
  }
  fs.writeFileSync(file, Buffer.alloc(20 << 20, '#'));
  const big = await gw.cli(['config', 'check', '--config', file], { ms: 10000 });
  ok(big.code === 0 || big.err.includes('odd.yaml'), big.err);
  fs.writeFileSync(file, '\ufeffping_interval: 1s\r\n');
  const bom = await gw.cli(['config', 'check', '--config', file]);
  ok(bom.code === 0 || bom.err.includes('odd.yaml'), bom.err);
  fs.writeFileSync(file, '');
  equal((await gw.cli(['config', 'check', '--config', file])).code, 0, 'an empty file is fine');
  told(await gw.cli(['config', 'check', '--config', gw.dir]), 'a folder');
  told(await gw.cli(['config', 'check', '--config', '/dev/zero'], { ms: 5000 }), 'a file without end');
});

const RUIN = {
  'rubbish in it': (f) => fs.writeFileSync(f, Buffer.alloc(40000, 0x5a)),
  'half of it': (f) => fs.truncateSync(f, fs.statSync(f).size >> 1),
  'a page overwritten': (f) => { const h = fs.openSync(f, 'r+'); fs.writeSync(h, Buffer.alloc(4096, 0xee), 0, 4096, 4096); fs.closeSync(h); },
  'nothing in it': (f) => fs.truncateSync(f, 0),
  'a folder in its place': (f) => { fs.rmSync(f); fs.mkdirSync(f); },
};

for (const [what, ruin] of Object.entries(RUIN)) {
  test(`odd input: a database with ${what}`, async (t) => {
    const gw = t.gateway();
    await gw.addAccount({ name: 'a', url: 'http://127.0.0.1:1', secret: t.secret() });
    const db = gw.stateFiles().find((f) => fs.readFileSync(f).subarray(0, 15).toString() === 'SQLite format 3');
    ruin(db);
    const list = await gw.cli(['account', 'list'], { ms: 10000 });
    const run = await gw.start({ expectFail: true });
    await until(() => !run.proc.running || run.bound().length, 10000, 'an end or a start');
    if (run.proc.running) {
      // An empty file is an empty store; anything else must have been repaired, not papered over.
      const seen = await gw.cli(['account', 'list']);
      ok(what === 'nothing in it' || seen.out.includes('a'), `it runs: ${run.proc.out}${run.proc.err}`);
      await gw.stop();
    } else {
      const p = run.proc;
      gw.proc = null;
      told(p, what);
      told(list, what);
      ok(!/AddressSanitizer|runtime error/.test(p.err), p.err);
    }
  });
}

test('odd input: a state folder that cannot be written', async (t) => {
  const gw = t.gateway();
  for (const [what, make] of Object.entries({ 'a file': (d) => fs.writeFileSync(d, 'x'), 'below a file': (d) => { fs.rmSync(d, { force: true, recursive: true }); fs.writeFileSync(path.dirname(d) + '/f', ''); gw.state = path.dirname(d) + '/f/state'; } })) {
    make(gw.state);
    told(await gw.cli(['account', 'list']), what);
    const run = await gw.start({ expectFail: true });
    equal(typeof await run.proc.exit(10000), 'number');
    told(run.proc, what);
    gw.proc = null;
  }
});

test('odd input: the database is deleted while it runs', async (t) => {
  const { gw } = await t.setup();
  equal((await gw.post(message())).status, 200);
  await gw.booked(1);
  for (const f of gw.stateFiles()) if (/sluice\.db/.test(f)) fs.rmSync(f);
  for (let i = 0; i < 5; i++) equal((await gw.post(message({ stream: true }))).status, 200);
  equal((await gw.ask('GET', '/livez', { key: null })).status, 200);
});

test('odd input: many verbs at once, with the daemon', { timeout: 60000 }, async (t) => {
  const { gw } = await t.setup();
  const all = await Promise.all(Array.from({ length: 16 }, (_, i) => gw.cli(['key', 'add', `k${i % 8}`, '--json'])));
  equal(all.filter((p) => p.code === 0).length, 8, 'each name once');
  for (const p of all) gw.secrets.set(p.code === 0 ? JSON.parse(p.out).key : `none-${Math.random()}`, 'client key');
  const list = await gw.json(['key', 'list']);
  equal((Array.isArray(list) ? list : list.keys).length, 9);
});
