// Clients that come over TLS or through balancers, and the certificates they meet.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { Connection, until } from './wire.mjs';

function openssl(...args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

// A certificate in the case's folder: {cert, key}. `by` names the authority: test-ca or other-ca.
export function issue(t, name, { san = 'DNS:localhost,IP:127.0.0.1', days = 90, usage = 'serverAuth', by = 'test-ca' } = {}) {
  const dir = t.subdir('certs');
  const at = (n) => path.join(dir, n);
  const ca = path.dirname(t.shared.certs.ca);
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', at(`${name}.key`));
  fs.chmodSync(at(`${name}.key`), 0o600);
  openssl('req', '-new', '-subj', `/CN=${name}`, '-key', at(`${name}.key`), '-out', at(`${name}.csr`));
  fs.writeFileSync(at(`${name}.ext`), `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${usage}\nsubjectAltName=${san}\n`);
  openssl('x509', '-req', '-in', at(`${name}.csr`), '-CA', path.join(ca, `${by}.pem`), '-CAkey', path.join(ca, `${by}.key`),
    '-CAcreateserial', '-CAserial', at(`${name}.srl`), '-days', String(days), '-extfile', at(`${name}.ext`), '-out', at(`${name}.pem`));
  return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
}

// Puts a pair in the place of another one, as a renewal does.
export function replace(pair, by) {
  fs.copyFileSync(by.cert, pair.cert);
  fs.copyFileSync(by.key, pair.key);
  fs.chmodSync(pair.key, 0o600);
}

export function authority(t, name) {
  return path.join(path.dirname(t.shared.certs.ca), `${name}.pem`);
}

// A connection over TLS, or why there is none: {socket, conn} or {error}.
export async function dial(t, gw, { client, servername = 'localhost', port = gw.port, ...rest } = {}) {
  const socket = tls.connect({ host: '127.0.0.1', port, servername, ca: fs.readFileSync(t.shared.certs.ca),
    ALPNProtocols: ['http/1.1'], checkServerIdentity: () => undefined,
    ...(client ? { cert: fs.readFileSync(client.cert), key: fs.readFileSync(client.key) } : {}), ...rest });
  const conn = t.track(new Connection({ host: '127.0.0.1', port, socket })); // at once: it must miss nothing
  let error;
  let secure = false;
  socket.on('session', (s) => { conn.session = s; });
  socket.on('error', (e) => { error ??= e; });
  socket.on('secureConnect', () => { secure = true; });
  socket.on('close', () => { error ??= new Error('closed'); });
  await until(() => secure || error, 15000, 'a handshake');
  if (!secure) return { error };
  return { socket, conn };
}

// One request over TLS: the answer, or {error} when the connection was refused (with TLS 1.3 a
// refusal of the client's certificate comes behind the handshake).
export async function secureAsk(t, gw, method, urlPath, { headers = {}, body, ...rest } = {}) {
  const d = await dial(t, gw, rest);
  if (d.error) return d;
  const a = await d.conn.request(method, urlPath, { host: 'localhost', ...headers }, body).answer();
  const { socket } = d;
  const seen = { answer: a, protocol: socket.getProtocol(), cipher: socket.getCipher()?.name, alpn: socket.alpnProtocol,
    reused: socket.isSessionReused(), name: socket.getPeerCertificate()?.subject?.CN, serial: socket.getPeerCertificate()?.serialNumber };
  d.conn.leave();
  return a.status === 0 ? { error: d.conn.error ?? new Error('closed') } : { ...a, ...seen };
}
