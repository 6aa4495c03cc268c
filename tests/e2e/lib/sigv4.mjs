// AWS's signature of requests, version 4, from the other side: is it right? Written from the
// documentation alone, and checked with its published example (cases/30-dialects.mjs).

import crypto from 'node:crypto';

const sha = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex');
const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();
const encode = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export function canonical({ method, url, headers, signed, body }) {
  const [path, query = ''] = url.split(/\?(.*)/s);
  const uri = (path || '/').split('/').map(encode).join('/'); // of the path as it came: '%' is encoded again
  const pairs = query.split('&').filter(Boolean).map((p) => p.split(/=(.*)/s).slice(0, 2).map((v) => encode(decodeURIComponent(v ?? ''))))
    .map(([k, v = '']) => [k, v]).sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : 1));
  const values = (n) => headers.filter(([k]) => k.toLowerCase() === n).map(([, v]) => v.trim().replace(/ +/g, ' ')).join(',');
  return [method, uri, pairs.map(([k, v]) => `${k}=${v}`).join('&'), ...signed.map((n) => `${n}:${values(n)}`), '', signed.join(';'),
    sha(body)].join('\n');
}

export function signature({ secret, date, region, service, request }) {
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  const key = [date.slice(0, 8), region, service, 'aws4_request'].reduce(hmac, `AWS4${secret}`);
  return hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha(request)].join('\n')).toString('hex');
}

// 20150830T123600Z -> ms
const time = (date) => Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));

export function keyIdOf(authorization) {
  return /^AWS4-HMAC-SHA256 Credential=([^/]+)\//.exec(authorization ?? '')?.[1];
}

// null, or {name, message} of what AWS answers. `account`: {secret, token, region, service}.
export function refuse(req, account) {
  const { headers } = req; // [[name, value]]
  const get = (n) => headers.find(([k]) => k.toLowerCase() === n)?.[1];
  const m = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(get('authorization') ?? '');
  if (!m) return { name: 'IncompleteSignatureException', message: 'Authorization header requires \'Credential\', \'Signature\' and \'SignedHeaders\'.' };
  const [, , day, region, service, names, given] = m;
  const signed = names.split(';');
  const date = get('x-amz-date') ?? '';
  const wrong = (message) => ({ name: 'InvalidSignatureException', message });
  if (!account) return { name: 'UnrecognizedClientException', message: 'The security token included in the request is invalid.' };
  if (!(Math.abs(Date.now() - time(date)) < 300000)) return wrong(`Signature expired: ${date} is now earlier or later than 5 min`);
  if (!date.startsWith(day)) return wrong('Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP');
  if (region !== account.region) return wrong(`Credential should be scoped to a valid region.`);
  if (service !== (account.service ?? 'bedrock')) return wrong(`Credential should be scoped to correct service: 'bedrock'.`);
  if ((get('x-amz-security-token') ?? null) !== (account.token ?? null)) return { name: account.token ? 'UnrecognizedClientException' : 'InvalidSignatureException', message: 'The security token included in the request is invalid.' };
  const due = ['host', ...headers.map(([k]) => k.toLowerCase()).filter((k) => k.startsWith('x-amz-'))];
  if (due.some((n) => !signed.includes(n))) return wrong(`not signed: ${due.filter((n) => !signed.includes(n))}`);
  if (signed.join() !== [...signed].sort().join()) return wrong('SignedHeaders are not sorted');
  const hash = get('x-amz-content-sha256');
  if (hash !== undefined && hash !== sha(req.body)) return wrong('x-amz-content-sha256 is not that of the body');
  const request = canonical({ ...req, signed });
  if (signature({ secret: account.secret, date, region, service, request }) === given) return null;
  return wrong(`The request signature we calculated does not match the signature you provided. The Canonical String for this request should have been\n'${request}'`);
}
