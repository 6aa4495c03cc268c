// What the process has given up, seen from outside, and that it still does all it should.

import fs from 'node:fs';
import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { authority, issue, replace, secureAsk } from '../lib/front.mjs';

const linux = fs.existsSync('/proc/self/status');
const threads = (pid) => fs.readdirSync(`/proc/${pid}/task`).map((n) => fs.readFileSync(`/proc/${pid}/task/${n}/status`, 'utf8'));
const field = (text, name) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(text)?.[1];

// Both builds: the sanitized one is let have a few calls more.
for (const [build, bin] of [['', undefined], [' (release)', process.env.SLUICE_BIN_RELEASE]]) {
  for (const mode of ['on', 'strict']) {
    test(`sandbox: ${mode}${build}: closed for every thread, and everything works`, { timeout: 90000 }, async (t) => {
      if (build && !(bin && fs.existsSync(bin))) t.skip('no release build');
      if (bin) t.bin = bin;
      const pair = issue(t, 'front');
      const tls = { tls_cert: pair.cert, tls_key: pair.key, tls_client_ca: authority(t, 'test-ca'), tls_client_auth: 'optional' };
      const prov = await t.provider({ tls: t.shared.certs.good });
      const gw = t.gateway();
      const secret = t.secret();
      await prov.accounts({ [secret]: { name: 'a' } });
      await gw.addAccount({ name: 'a', url: prov.url, secret }); // by a name: https://localhost
      gw.key = await gw.addKey('tester');
      await gw.start({ config: { sandbox: mode, ca_file: t.shared.certs.ca, log_level: 'debug', ...tls } });
      const { sandbox } = await gw.json(['status']);
      equal(sandbox.mode, mode);
      if (linux && (process.arch === 'x64' || process.arch === 'arm64')) ok(sandbox.calls, JSON.stringify(sandbox));
      match((await gw.ok(['status'])).out, /^sandbox +\S/m);
      const headers = { 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' };
      const served = async (what) => {
        const a = await secureAsk(t, gw, 'POST', '/v1/messages', { headers, body: message({ stream: true }) });
        equal(a.status, 200, `${what}: ${a.error?.message ?? a.text}`);
      };
      await served('a name is resolved, a handshake done, both by other threads');
      if (linux) {
        const all = threads(gw.proc.pid);
        ok(all.length > 2, `${all.length} threads`);
        for (const one of all) {
          equal(field(one, 'NoNewPrivs'), '1', field(one, 'Name'));
          if (sandbox.calls) equal(field(one, 'Seccomp'), '2', field(one, 'Name'));
        }
        match(fs.readFileSync(`/proc/${gw.proc.pid}/limits`, 'utf8'), /^Max core file size +0 +0 /m);
      }
      replace(pair, issue(t, 'renewed'));
      await gw.ok(['reload']);
      await served('after the certificate was renewed');
      const moved = path.join(path.dirname(pair.cert), 'moved.pem');
      fs.copyFileSync(pair.cert, moved);
      fs.renameSync(moved, pair.cert);
      gw.proc.signal('SIGHUP');
      await served('after another file took its place');
      await gw.ok(['vault', 'rotate']);
      await gw.ok(['backup', path.join(t.subdir('copies'), 'copy.db')]);
      await gw.ok(['account', 'test', 'a']);
      await gw.stop();
      gw.secrets.delete('');
      await gw.start(gw.options);
      await served('after a restart');
    });
  }
}

test('sandbox: off is off, and says so', async (t) => {
  const { gw } = await t.setup({ config: { sandbox: 'off' } });
  const { sandbox } = await gw.json(['status']);
  equal(sandbox.mode, 'off');
  ok(!sandbox.files && !sandbox.calls);
  match((await gw.ok(['status'])).out, /^sandbox +off/m);
  if (linux) equal(field(threads(gw.proc.pid)[0], 'Seccomp'), '0');
  const other = t.gateway();
  await other.start({ config: { sandbox: 'perhaps' }, expectFail: true });
  equal(await other.proc.exit(), 78);
  match(other.proc.err, /sandbox: use on, strict or off/);
  other.proc = null;
});

test('sandbox: a certificate from elsewhere is refused with a sentence, until it may be read', async (t) => {
  const pair = issue(t, 'front');
  const { gw } = await t.setup({ config: { tls_cert: pair.cert, tls_key: pair.key } });
  const { sandbox } = await gw.json(['status']);
  if (!sandbox.files) t.skip('no Landlock here');
  const far = t.subdir('elsewhere');
  const there = { cert: path.join(far, 'x.pem'), key: path.join(far, 'x.key') };
  replace(there, issue(t, 'other'));
  const config = `tls_cert: ${there.cert}\ntls_key: ${there.key}\n`;
  fs.writeFileSync(gw.config, config);
  const p = await gw.cli(['reload']);
  ok(p.code !== 0);
  match(p.err, /x\.(pem|key).*(sandbox|restart)/s);
  await gw.stop();
  await gw.start({ config: { tls_cert: pair.cert, tls_key: pair.key, sandbox_read: [far] } });
  fs.writeFileSync(gw.config, config);
  await gw.ok(['reload']);
});

test('sandbox: a state folder that others may change is refused', async (t) => {
  const { gw } = await t.setup();
  await gw.stop();
  for (const mode of [0o770, 0o777, 0o1777, 0o702]) {
    fs.chmodSync(gw.state, mode);
    await gw.start({ expectFail: true });
    equal(await gw.proc.exit(), 77, mode.toString(8));
    match(gw.proc.err, /can be changed by its group or by others.*chmod 700/);
    gw.proc = null;
    equal((await gw.cli(['account', 'list'])).code, 77, 'the verbs refuse it too');
  }
  fs.chmodSync(gw.state, 0o700);
  // what lies there under our names may not lead elsewhere
  const victim = path.join(t.subdir('victim'), 'file');
  fs.writeFileSync(victim, 'precious');
  for (const name of ['sluice.lock', 'sluice.db']) {
    const file = path.join(gw.state, name);
    fs.renameSync(file, `${file}.kept`);
    fs.symlinkSync(victim, file);
    await gw.start({ expectFail: true });
    ok(await gw.proc.exit() !== 0, name);
    gw.proc = null;
    equal(fs.readFileSync(victim, 'utf8'), 'precious', name);
    fs.unlinkSync(file);
    fs.renameSync(`${file}.kept`, file);
  }
  await gw.start({});
  equal((await gw.post(message())).status, 200);
});

test('sandbox: what is made is for its owner alone, whatever the umask was', async (t) => {
  const gw = t.gateway();
  const prov = await t.provider();
  const secret = t.secret();
  await prov.accounts({ [secret]: { name: 'a' } });
  await gw.addAccount({ name: 'a', url: prov.url, secret });
  gw.key = await gw.addKey('tester');
  await gw.stop();
  await gw.start({ wrap: ['sh', '-c', 'umask 0; exec "$@"', 'sh'] });
  equal((await gw.post(message())).status, 200);
  await gw.booked(1);
  await gw.ok(['backup', path.join(gw.state, 'copy.db')]);
  await gw.ok(['vault', 'rotate']);
  const names = fs.readdirSync(gw.state);
  ok(names.length >= 4, names.join(' '));
  for (const n of names) equal(fs.lstatSync(path.join(gw.state, n)).mode & 0o777, 0o600, n);
});
