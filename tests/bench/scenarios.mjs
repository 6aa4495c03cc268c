// The scenarios, and how a round of one is played.

import { peakKib } from './house.mjs';

const KIB = 1024;
const closed = (body, reply = 'json') => ({ pace: 'closed', body: body * KIB, reply });
const held = (clients, reply = 'held.1000.1') => ({ pace: 'held', clients, reply });

// unit: what CPU time is divided by. fresh: a new process for each round, because its memory counts.
const base = [
  { id: 'a', title: '1 KiB JSON', unit: 'request', load: closed(1) },
  { id: 'b', title: '100 KiB request', unit: 'request', load: closed(100) },
  { id: 'b2', title: '300 KiB request', unit: 'request', load: closed(300) },
  { id: 'c', title: '200 SSE events at once', unit: 'request', load: closed(1, 'burst') },
  { id: 'd', title: 'held streams, 1 event/s', unit: 'event', fresh: true, load: held(2000) },
];
const plain = { front: 'plain', back: 'plain' };
const over = (front, back, prefix, words) => base.map((s) => (
  { ...s, id: `${prefix}-${s.id}`, title: `${words}: ${s.title}`, front, back }));

export const SCENARIOS = [
  ...base.map((s) => ({ ...s, ...plain })),
  { id: 'd2', title: 'held streams, 1 event/s', unit: 'event', fresh: true, ...plain, load: held(10000) },
  { id: 'e', title: '500 requests/s, open loop', unit: 'request', ...plain, load: {
    pace: 'open', rate: 500, clients: 2000, body: KIB } },
  ...over('tls', 'plain', 'tls', 'TLS in front'),
  { id: 'tls-h', title: 'TLS handshakes, ECDSA P-256', unit: 'handshake', front: 'tls', back: 'plain',
    noDirect: true, load: { pace: 'shake', clients: 8 } },
  { id: 'tls-q', title: '200 streams of 10 events/s over TLS, no handshakes beside', unit: 'event',
    front: 'tls', back: 'plain', load: held(200, 'held.100.1') },
  { id: 'tls-r', title: '200 streams of 10 events/s over TLS, 300 handshakes/s beside', unit: 'event',
    front: 'tls', back: 'plain', load: held(200, 'held.100.1'), beside: { pace: 'shake', rate: 300, clients: 1000 } },
  ...over('tls', 'tls', 'tls2', 'TLS on both sides'),
  { id: 'g', title: 'OpenAI client, Anthropic upstream: 50 streams, 2,000 events/s in all', unit: 'event',
    front: 'plain', back: 'slow', pass: true, load: held(50) },
  { id: 'g2', title: 'OpenAI client, Anthropic upstream: 50 streams of 2,000 events/s', unit: 'event',
    front: 'plain', back: 'fast', pass: true, load: held(50) },
];

// Which scenarios a comma-separated list means; "all".
export function choose(list) {
  if (!list || list === 'all') return SCENARIOS;
  return list.split(',').map((id) => {
    const s = SCENARIOS.find((x) => x.id === id);
    if (!s) throw new Error(`no scenario ${id}: ${SCENARIOS.map((x) => x.id).join(', ')}`);
    return s;
  });
}

// How many streams fit: a proxy needs two descriptors for each, and sluice gives its clients 40 % of
// what it may have.
export function fitted(s, house) {
  const most = Math.floor(house.descriptors * 0.39);
  if (s.load.pace !== 'held' || s.load.clients <= most) return { s, note: '' };
  return { s: { ...s, load: { ...s.load, clients: most } },
    note: `${s.id}: ${most} streams in place of ${s.load.clients}: this machine allows ${house.descriptors} descriptors a process` };
}

// In (g) the gateway runs twice: translating, and passing the same stream through.
export function players(s, contestants) {
  if (!s.pass) return s.noDirect || s.fresh ? contestants : ['direct', ...contestants];
  return contestants.flatMap((c) => (c.startsWith('sluice') ? [c, `${c}:pass`] : [c]));
}

// One round of one player. Times are in us, memory in KiB.
export async function play(house, s, player, c, options) {
  const words = { ...s.load, warm_ms: options.warmMs, run_ms: options.runMs };
  if (s.load.pace === 'closed') words.clients = options.clients;
  if (s.pass && c.kind === 'sluice' && !player.endsWith(':pass')) words.dialect = 'openai';
  let beside;
  if (s.beside) {
    beside = house.load({ ...c, pids: [] }, s.front, s.back, {
      ...s.beside, warm_ms: options.warmMs, run_ms: options.runMs + 1500 });
    beside.catch(() => {});
  }
  const seen = await house.load(c, s.front, s.back, words);
  const also = await beside;
  const units = s.unit === 'event' ? seen.events : seen.answers;
  const out = { errors: seen.errors, units, rate: units / seen.seconds };
  if (c.pids.length) {
    out.cpu = seen.cpu_ns / 1000 / Math.max(units, 1);
    out.core = seen.cpu_ns / 1e7 / seen.seconds; // per cent of one
    out.peak = peakKib(c.pids);
    if (s.fresh) out.stream = (seen.rss - seen.rss_before) / seen.ready;
  }
  for (const series of ['latency', 'delay']) {
    for (const p of ['p50', 'p90', 'p99', 'p999']) if (seen[series]) out[`${series}_${p}`] = seen[series][p];
  }
  if (also) out.handshakes = also.answers / also.seconds;
  return out;
}
