// The command line: the same verbs with the daemon running and without it.

import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { until } from '../lib/wire.mjs';
import { equal, isError, match, ok } from '../lib/assert.mjs';

const listOf = (v) => (Array.isArray(v) ? v : Object.values(v).find(Array.isArray) ?? []);
const accountNames = async (gw) => listOf(await gw.json(['account', 'list'])).map((a) => a.name);

async function everyVerb(t, gw, prov) {
  const secret = t.secret();
  await prov.accounts({ [secret]: { name: 'second' } });
  await gw.addAccount({ name: 'second', url: prov.url, secret, priority: 7, weight: 3 });
  ok((await accountNames(gw)).includes('second'));
  match((await gw.ok(['account', 'list'])).out, /second/);
  const shown = await gw.json(['account', 'show', 'second']);
  const text = JSON.stringify(shown);
  match(text, /"priority":7/);
  match(text, /"weight":3/);
  ok(text.includes(prov.url), text);
  const dup = await gw.cli(['account', 'add', 'second', '--provider', 'anthropic', '--secret-file', '-'], { input: 'x\n' });
  ok(dup.code !== 0, 'a name is taken once');
  await gw.ok(['account', 'pause', 'second']);
  match(JSON.stringify(await gw.json(['account', 'show', 'second'])), /paused/i);
  await gw.ok(['account', 'resume', 'second']);
  await gw.ok(['account', 'rename', 'second', 'third']);
  ok((await accountNames(gw)).includes('third') && !(await accountNames(gw)).includes('second'));
  await gw.ok(['account', 'test', 'third'], { ms: 30000 });
  await gw.ok(['account', 'remove', 'third']);
  ok(!(await accountNames(gw)).includes('third'));
  for (const verb of ['show', 'pause', 'resume', 'reset-limit', 'remove', 'test']) {
    const p = await gw.cli(['account', verb, 'nobody']);
    ok(p.code !== 0 && p.code < 128, `${verb} of an unknown account: ${p.code}`);
    match(p.err, /nobody/);
  }
  const key = await gw.addKey('second-key');
  match(key, /^slc_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}$/);
  ok(JSON.stringify(await gw.json(['key', 'list'])).includes('second-key'));
  await gw.ok(['key', 'revoke', 'second-key']);
  ok((await gw.cli(['key', 'revoke', 'never-made'])).code !== 0);
  ok(await gw.json(['status']));
  ok((await gw.ok(['status'])).out.length > 0);
  ok(Array.isArray(await gw.records()));
  await gw.ok(['requests']);
  ok(await gw.json(['config', 'check']));
  match((await gw.ok(['config', 'check'])).out, /listen/);
}

test('cli: every verb without the daemon', { timeout: 120000 }, async (t) => {
  const { gw, prov } = await t.setup({ start: false });
  await everyVerb(t, gw, prov);
});

test('cli: every verb with the daemon', { timeout: 120000 }, async (t) => {
  const { gw, prov } = await t.setup();
  await everyVerb(t, gw, prov);
  equal((await gw.post(message())).status, 200);
});

test('cli: what was added without the daemon is served, and the other way round', async (t) => {
  const { gw, prov } = await t.setup({ start: false });
  await gw.start({});
  equal((await gw.post(message())).status, 200);
  const secret = t.secret();
  await prov.accounts({ [secret]: { name: 'late', plans: [] } });
  await gw.addAccount({ name: 'late', url: prov.url, secret, priority: 0 });
  await gw.post(message({ text: 'a conversation that is warm nowhere yet' }));
  equal((await prov.requests()).at(-1).key, secret, 'a new preferred account serves at once');
  const key = await gw.addKey('late-key');
  equal((await gw.post(message(), { key })).status, 200, 'a new key works at once');
  await gw.ok(['account', 'pause', 'late']);
  await gw.post(message());
  ok((await prov.requests()).at(-1).key !== secret, 'a paused account serves no more');
  await gw.ok(['key', 'revoke', 'late-key']);
  isError(await gw.post(message(), { key }), 401, 'authentication_error');
  await gw.stop();
  ok((await accountNames(gw)).includes('late'));
});

test('cli: all accounts paused', async (t) => {
  const { gw } = await t.setup();
  await gw.ok(['account', 'pause', 'a']);
  const a = await gw.post(message());
  ok(a.status >= 429, `status ${a.status}`);
  equal(a.json().type, 'error');
  await gw.ok(['account', 'resume', 'a']);
  equal((await gw.post(message())).status, 200);
});

test('cli: removing an account while it streams', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ gate: 5 }] } } });
  const c = gw.open(message({ stream: true }));
  await prov.waitState('held');
  await gw.ok(['account', 'remove', 'a']);
  await prov.release();
  const a = await c.answer();
  ok(a.complete || a.text.includes('event: error'), a.text);
  ok((await gw.post(message())).status >= 429, 'nobody is left to serve');
  equal((await gw.booked(2)).length, 2);
});

test('cli: help, version and mistakes', { timeout: 120000 }, async (t) => {
  const gw = t.gateway();
  const run = (...args) => {
    const p = t.spawn(t.bin, args, { input: '', env: gw.environment() });
    return p.exit(10000).then(() => p);
  };
  const version = await run('version');
  equal(version.code, 0);
  match(version.out, /\d+\.\d+/);
  ok(JSON.parse((await run('version', '--json')).out));
  const help = await run('--help');
  equal(help.code, 0);
  for (const verb of ['serve', 'account', 'key', 'status', 'requests', 'config', 'version']) match(help.out, new RegExp(verb));
  for (const verb of [['serve'], ['account', 'add'], ['account', 'list'], ['account', 'show'], ['account', 'pause'],
    ['account', 'resume'], ['account', 'reset-limit'], ['account', 'remove'], ['account', 'rename'], ['account', 'test'], ['account', 'login'],
    ['account', 'callback'], ['account', 'import'], ['key', 'add'], ['key', 'list'], ['key', 'set'], ['key', 'revoke'],
    ['group', 'list'], ['group', 'show'], ['group', 'set'], ['group', 'remove'], ['route', 'explain'], ['requests', 'show'], ['status'], ['requests'], ['config', 'check'], ['version']]) {
    const p = await run(...verb, '--help');
    equal(p.code, 0, `${verb.join(' ')} --help: ${p.err}`);
    match(p.out, /--state-dir|usage/i);
  }
  for (const bad of [['nonsense'], ['account'], ['account', 'nonsense'], ['account', 'add'], ['serve', '--nonsense'],
    ['key', 'add'], ['account', 'show'], ['account', 'add', 'x', '--provider', 'nonsense', '--secret-file', '-'],
    ['account', 'add', 'x', '--provider', 'anthropic', '--secret-file', '/no/such/file']]) {
    const p = await run(...bad, '--state-dir', gw.state);
    ok(typeof p.code === 'number' && p.code !== 0, `${bad.join(' ')}: exit ${p.code}`);
    ok(p.err.length > 0, `${bad.join(' ')} says why on stderr`);
  }
});

test('cli: secrets come from a file or standard input only', async (t) => {
  const prov = await t.provider();
  const gw = t.gateway();
  const secret = t.secret();
  const file = path.join(gw.dir, 'secret.txt');
  fs.writeFileSync(file, `  ${secret}\n`, { mode: 0o600 });
  await prov.accounts({ [secret]: { name: 'f' } });
  gw.secrets.set(secret, 'secret from a file');
  await gw.ok(['account', 'add', 'f', '--provider', 'anthropic', '--base-url', prov.url, '--secret-file', file]);
  for (const empty of ['', '\n', 'two words\nand lines\n']) {
    const p = await gw.cli(['account', 'add', 'g', '--provider', 'anthropic', '--secret-file', '-'], { input: empty });
    ok(p.code !== 0, `refused: ${JSON.stringify(empty)}`);
  }
  fs.rmSync(file);
  gw.key = await gw.addKey('k');
  await gw.start();
  equal((await gw.post(message())).status, 200);
});

test('cli: a loopback base URL is marked in the list', async (t) => {
  const { gw } = await t.setup();
  match(JSON.stringify(await gw.json(['account', 'list'])), /local|loopback|private/i);
  for (const url of ['ftp://x', 'http://', 'not a url', 'http://user:pw@host/', 'http://127.0.0.1:99999']) {
    const p = await gw.cli(['account', 'add', 'bad', '--provider', 'anthropic-compatible', '--base-url', url,
      '--secret-file', '-'], { input: 'secret\n' });
    ok(p.code !== 0, `refused: ${url}`);
  }
});

test('cli: account test tells a good account from a bad one', async (t) => {
  const { gw } = await t.setup({ accounts: { good: {}, bad: { plans: [{ status: 401, error: { message: 'invalid x-api-key' } }] } } });
  await gw.ok(['account', 'test', 'good']);
  const p = await gw.cli(['account', 'test', 'bad']);
  ok(p.code !== 0);
  match(p.out + p.err, /401|invalid|refused|authentication/i);
});

test('cli: requests -f shows a request as it ends', async (t) => {
  const { gw } = await t.setup();
  const p = t.spawn(t.bin, ['requests', '-f', '--state-dir', gw.state], { env: gw.environment() });
  await until(async () => {
    await gw.post(message());
    return /claude-sonnet-4-6/.test(p.out);
  }, 10000, 'a line');
  p.signal('SIGINT');
  await p.exit(5000);
});

test('cli: two verbs at once, without the daemon', async (t) => {
  const { gw } = await t.setup({ start: false });
  const all = await Promise.all(Array.from({ length: 4 }, (_, i) => gw.cli(['key', 'add', `k${i}`, '--json'])));
  for (const p of all) if (p.code === 0) gw.secrets.set(JSON.parse(p.out).key, 'client key');
  const good = all.filter((p) => p.code === 0).length;
  ok(good >= 1, 'at least one got the lock');
  equal(listOf(await gw.json(['key', 'list'])).length, good + 1);
});

test('cli: config check names the line and the nearest option', async (t) => {
  const gw = t.gateway();
  const file = path.join(gw.dir, 'c.yaml');
  const check = (text) => {
    fs.writeFileSync(file, text);
    return gw.cli(['config', 'check', '--config', file], { env: { LISTEN_HERE: '127.0.0.1:7171' } });
  };
  const good = await check('listen:\n  - "${LISTEN_HERE}"\n');
  equal(good.code, 0, good.err);
  match(good.out, /127\.0\.0\.1:7171/);
  match(good.out, /file/i, 'where the value came from');
  for (const [text, expected] of [['# one\nlistenn: 127.0.0.1:1\n', /2.*listen\b|listen\b.*2/s],
    ['listen: [\n', /./], ['pass_ratelimit_headers: perhaps\n', /1.*pass_ratelimit_headers/s],
    ['listen: "${NOT_SET_ANYWHERE}"\n', /NOT_SET_ANYWHERE/], ['listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n', /2/],
    ['head_timeout: -5s\n', /head_timeout/], ['head_timeout: 99999999999999999999s\n', /head_timeout/],
    ['head_timeout: soon\n', /head_timeout/]]) {
    const p = await check(text);
    ok(typeof p.code === 'number' && p.code !== 0, `refused: ${text}`);
    match(p.err + p.out, expected);
  }
  const serve = t.spawn(t.bin, ['serve', '--config', file, '--state-dir', gw.state, '--listen', '127.0.0.1:0'], { env: gw.environment() });
  ok((await serve.exit(10000)) !== 0, 'serve refuses a bad file');
});

test('cli: why a request goes where it goes, before and afterwards', async (t) => {
  const { gw } = await t.setup({ accounts: { a: {}, b: {} } });
  await gw.ok(['account', 'set', 'b', '--priority', '1']);
  const session = '0b8f6b0e-1f0c-4c7e-9d4e-5a7c6f1d2e3b';
  const headers = { 'x-claude-code-session-id': session };
  const explain = (...args) => gw.json(['route', 'explain', '--model', 'claude-sonnet-4-6', '--key', 'tester', ...args]);
  const before = await explain('--session', session);
  match(before.session, /^[0-9a-f]{16}$/);
  equal(before.warm_at, null);
  equal(before.accounts.length, 2);
  ok(before.accounts.every((x) => x.why_text.length > 0 && x.state === 'ready'), JSON.stringify(before));
  const r = await gw.post(message(), { headers });
  equal(r.status, 200);
  const [row] = await gw.booked(1);
  equal(row.account, before.account, 'as it was explained');
  equal(row.session, before.session, 'the same conversation');
  const { request } = await gw.json(['requests', 'show', row.id]);
  equal(request.id, row.id);
  equal(request.group, 'default');
  ok(request.why_text.length > 0, JSON.stringify(request));
  const text = (await gw.ok(['requests', 'show', row.id])).out;
  for (const part of [row.id, 'claude-sonnet-4-6', 'tester', 'served', 'complete', 'chosen']) ok(text.includes(part), text);
  const after = await explain('--session', row.session);
  equal(after.session, before.session);
  equal(after.account, before.account);
  match((await gw.ok(['route', 'explain', '--model', 'claude-sonnet-4-6', '--key', 'tester', '--session', session])).out, /goes to +\S+: /);
  await gw.ok(['account', 'pause', before.account]);
  const paused = await explain();
  ok(paused.account !== before.account);
  equal(paused.accounts.find((x) => x.account === before.account).why, 'paused');
});

test('cli: groups: a key is served by the accounts of its group', async (t) => {
  const { gw, prov, keys } = await t.setup({ accounts: { a: {}, b: {} } });
  await gw.ok(['group', 'set', 'premium', '--strategy', 'failover']);
  await gw.ok(['account', 'set', 'b', '--group', 'premium']);
  const key = await gw.json(['key', 'add', 'vip', '--group', 'premium']);
  gw.secrets.set(key.key, 'client key vip');
  equal((await gw.post(message(), { key: key.key })).status, 200);
  equal((await prov.requests()).at(-1).key, keys.b);
  equal((await gw.post(message())).status, 200);
  equal((await prov.requests()).at(-1).key, keys.a, 'the default group has only the other one');
  await gw.ok(['key', 'set', 'vip', '--group', 'default']);
  await gw.post(message(), { key: key.key });
  equal((await prov.requests()).at(-1).key, keys.a, 'at once');
  const p = await gw.cli(['group', 'remove', 'premium']);
  equal(p.code, 6);
  match(p.err, /account `b`/);
  await gw.ok(['account', 'set', 'b', '--group', '']);
  await gw.ok(['group', 'remove', 'premium']);
  await gw.ok(['group', 'set', 'kinds', '--strategy', 'model', '--route', 'claude-opus=default', '--route', '=default']);
  await gw.restart();
  const list = await gw.json(['group', 'list']);
  equal(list.groups.find((g) => g.name === 'kinds').routes.length, 2, 'kept over a restart');
});
