// A client that ends its side behind its request (shutdown(SHUT_WR), `nc -N`) is served; one that is
// gone looks the same at first, and takes its upstream with it all the same.

import net from 'node:net';
import tls from 'node:tls';
import fs from 'node:fs';
import { message, test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { issue } from '../lib/front.mjs';
import { Connection, events, until } from '../lib/wire.mjs';

const key = (gw) => ({ 'x-api-key': gw.key, 'anthropic-version': '2023-06-01' });

function dial(t, gw, ca) {
  const at = { port: gw.port, host: '127.0.0.1', allowHalfOpen: true };
  const socket = ca ? tls.connect({ ...at, servername: 'localhost', ca: fs.readFileSync(ca), checkServerIdentity: () => undefined }) : net.connect(at);
  return t.track(new Connection({ port: gw.port, socket }));
}

const waits = [{ hold: true }];

async function served(t, { gw, prov }, ca) {
  const c = dial(t, gw, ca);
  c.request('POST', '/v1/messages', key(gw), message());
  c.socket.end();
  await prov.waitState('held');
  await until(() => c.reader.informational?.length >= 2, 8000, 'two interim replies');
  await prov.release();
  const a = await c.answer();
  equal(a.status, 200);
  equal(a.json().type, 'message');
  equal(a.get('connection'), 'close');
  ok(c.reader.informational.every((s) => s === 102));
  await c.closed();
  equal((await prov.requests()).at(-1).state, 'done');
}

test('half closed: a client is served, plain and over TLS', async (t) => {
  const pair = issue(t, 'front');
  const plain = await t.setup({ accounts: { a: { plans: waits } } });
  await served(t, plain);
  const secure = await t.setup({ accounts: { a: { plans: waits } }, listen: ['https://127.0.0.1:0'], args: ['--tls-cert', pair.cert, '--tls-key', pair.key] });
  await served(t, secure, t.shared.certs.ca);
});

test('half closed: a stream comes whole', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: [{ hold: true }] } } });
  const c = dial(t, gw);
  c.request('POST', '/v1/messages', key(gw), message({ stream: true }));
  c.socket.end();
  await prov.waitState('held');
  await prov.release();
  const a = await c.answer();
  ok(a.complete);
  match(a.text, /message_stop/);
  ok(events(a.body).length > 3);
});

test('half closed: who is gone, or goes later, takes the upstream along', async (t) => {
  const { gw, prov } = await t.setup({ accounts: { a: { plans: waits } } });
  const gone = dial(t, gw);
  gone.request('POST', '/v1/messages', key(gw), message());
  await prov.waitState('held');
  gone.leave();
  await prov.waitState('aborted', 3000);
  await prov.call('POST', '/forget');
  const later = dial(t, gw);
  later.request('POST', '/v1/messages', key(gw), message());
  later.socket.end();
  await until(() => later.reader.informational?.length >= 2, 8000, 'two interim replies');
  later.leave();
  await prov.waitState('aborted', 6000);
});

test('half closed: half a request is none', async (t) => {
  const { gw, prov } = await t.setup();
  for (const bytes of ['POST /v1/mess', 'POST /v1/messages HTTP/1.1\r\nhost: a\r\n', `POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-api-key: ${gw.key}\r\ncontent-length: 1000\r\n\r\n{`]) {
    const c = dial(t, gw);
    c.send(bytes);
    c.socket.end();
    await c.closed(5000);
    equal(c.peek(0), undefined);
  }
  equal((await prov.requests()).length, 0);
});
