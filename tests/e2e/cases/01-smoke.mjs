// Everything once, in a few exchanges: the case that is also run where each step is slow (under
// valgrind, with ThreadSanitizer).

import path from 'node:path';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok, sameBytes } from '../lib/assert.mjs';
import { issue, secureAsk } from '../lib/front.mjs';
import { events } from '../lib/wire.mjs';

const headers = (gw) => ({ 'x-api-key': gw.key, 'anthropic-version': '2023-06-01', 'content-type': 'application/json' });

test('smoke: JSON, streams, TLS on both sides, failover, another dialect, verbs, a drain', { timeout: 120000 }, async (t) => {
  const pair = issue(t, 'front');
  const { gw, prov, plan } = await t.setup({ tls: t.shared.certs.good, env: { SSL_CERT_FILE: t.shared.certs.ca },
    args: ['--tls-cert', pair.cert, '--tls-key', pair.key],
    accounts: { a: {}, b: {} } });
  for (const stream of [false, true]) {
    const body = message({ stream, text: '[[think]]' });
    const a = await secureAsk(t, gw, 'POST', '/v1/messages', { headers: headers(gw), body, ms: 20000 });
    equal(a.status, 200, a.error?.message ?? a.text);
    const [seen] = (await prov.requests()).slice(-1);
    sameBytes(seen.body, body, 'request');
    sameBytes(a.body, seen.sent, 'answer');
  }
  await plan('a', [{ status: 529, error: 'overloaded_error' }]);
  const other = await secureAsk(t, gw, 'POST', '/v1/chat/completions', { headers: headers(gw), ms: 20000,
    body: JSON.stringify({ model: 'claude-sonnet-4-6', stream: true, messages: [{ role: 'user', content: 'Hi' }] }) });
  equal(other.status, 200, other.text);
  match(other.text, /data: \[DONE\]/);
  equal((await secureAsk(t, gw, 'POST', '/v1/messages', { headers: { ...headers(gw), 'x-api-key': 'slc_wrong' }, body: message() })).status, 401);
  equal((await secureAsk(t, gw, 'GET', '/readyz')).status, 200);

  const list = await gw.json(['account', 'list'], { ms: 30000 });
  match(JSON.stringify(list), /"a"/);
  await gw.ok(['vault', 'rotate'], { ms: 30000 });
  await gw.ok(['backup', path.join(gw.state, 'copy.db')], { ms: 30000 });
  match((await gw.ok(['status'], { ms: 30000 })).out, /account|stream|request/i);
  gw.proc.signal('SIGHUP');

  await plan('a', [{ gate: 5 }]);
  await plan('b', [{ gate: 5 }]);
  const held = secureAsk(t, gw, 'POST', '/v1/messages', { headers: headers(gw), body: message({ stream: true }), ms: 60000 });
  await prov.waitState('held', 20000);
  gw.proc.signal('SIGTERM');
  await prov.release();
  const last = await held;
  ok(last.complete, 'the stream ends before the process does');
  equal(events(last.body).at(-1).event, 'message_stop');
  await gw.stop({ ms: 60000 });
  ok((await gw.records()).length >= 4, 'what was served is booked');
});
