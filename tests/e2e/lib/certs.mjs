// Certificates for the TLS cases, made by the openssl command: one CA and what goes wrong with one.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const NAMES = 'DNS:localhost,IP:127.0.0.1,IP:::1';

function openssl(...args) {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function newKey(file) {
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file);
}

// Returns {ca, good, wrongName, expired, selfSigned, otherCa}; each of the last five {cert, key}.
export function makeCerts(dir) {
  fs.mkdirSync(dir, { recursive: true });
  const at = (n) => path.join(dir, n);
  const conf = at('ca.cnf');
  fs.writeFileSync(conf, [
    '[ca]', 'default_ca = d', '[d]', `database = ${at('index.txt')}`, `new_certs_dir = ${dir}`,
    `serial = ${at('serial')}`, 'default_md = sha256', 'policy = any', 'copy_extensions = copy',
    'unique_subject = no', 'x509_extensions = leaf', '[any]', 'commonName = supplied', '[leaf]',
    'basicConstraints = critical,CA:FALSE', 'keyUsage = critical,digitalSignature',
    'extendedKeyUsage = serverAuth', '[req]', 'distinguished_name = dn', 'prompt = no', '[dn]',
    'CN = placeholder', '[root]', 'basicConstraints = critical,CA:TRUE',
    'keyUsage = critical,keyCertSign,cRLSign', '',
  ].join('\n'));
  fs.writeFileSync(at('index.txt'), '');
  fs.writeFileSync(at('serial'), '1000\n');
  const authority = (name) => {
    newKey(at(`${name}.key`));
    openssl('req', '-new', '-x509', '-config', conf, '-extensions', 'root', '-subj', `/CN=${name}`,
      '-key', at(`${name}.key`), '-days', '3650', '-out', at(`${name}.pem`));
  };
  const leaf = (name, san, start, end, by = 'test-ca') => {
    newKey(at(`${name}.key`));
    openssl('req', '-new', '-config', conf, '-subj', `/CN=${name}`, '-key', at(`${name}.key`),
      '-addext', `subjectAltName=${san}`, '-out', at(`${name}.csr`));
    openssl('ca', '-batch', '-notext', '-config', conf, '-cert', at(`${by}.pem`), '-keyfile',
      at(`${by}.key`), '-startdate', start, '-enddate', end, '-in', at(`${name}.csr`), '-out', at(`${name}.pem`));
    return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
  };
  authority('test-ca');
  authority('other-ca');
  const [past, soon, future] = ['20200101000000Z', '20200201000000Z', '20491231000000Z'];
  const out = {
    ca: at('test-ca.pem'),
    good: leaf('localhost', NAMES, past, future),
    wrongName: leaf('wrong-name', 'DNS:provider.invalid', past, future),
    expired: leaf('expired', NAMES, past, soon),
    otherCa: leaf('other', NAMES, past, future, 'other-ca'),
  };
  newKey(at('self.key'));
  openssl('req', '-new', '-x509', '-config', conf, '-subj', '/CN=localhost', '-key', at('self.key'),
    '-addext', `subjectAltName=${NAMES}`, '-days', '3650', '-out', at('self.pem'));
  out.selfSigned = { cert: at('self.pem'), key: at('self.key') };
  return out;
}
