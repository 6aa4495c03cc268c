// Numbers to tables: medians, ratios of one round, the targets.

export function spread(values) {
  const v = values.filter((x) => Number.isFinite(x)).sort((a, b) => a - b);
  if (!v.length) return null;
  const mid = v.length >> 1;
  return { median: v.length % 2 ? v[mid] : (v[mid - 1] + v[mid]) / 2, min: v[0], max: v.at(-1), rounds: values };
}

const PERCENTILES = ['p50', 'p90', 'p99', 'p999'];

// The rounds of one scenario -> what is told of each player. What was measured in one round is
// compared with the same round of the others: the machine was then as busy for all of them.
export function digest(s, rounds, reference) {
  const players = {};
  const direct = rounds.direct;
  for (const [who, list] of Object.entries(rounds)) {
    const out = { errors: list.reduce((sum, r) => sum + r.errors, 0) };
    for (const k of new Set(list.flatMap((r) => Object.keys(r)))) {
      if (k !== 'errors') out[k] = spread(list.map((r) => r[k]));
    }
    if (direct && who !== 'direct') {
      for (const p of PERCENTILES) {
        const k = `latency_${p}`;
        if (out[k]) out[`added_${p}`] = spread(list.map((r, i) => r[k] - direct[i][k]));
      }
    }
    players[who] = out;
  }
  const ref = players[reference];
  for (const [who, out] of Object.entries(players)) {
    out.to = {};
    if (!ref || who === 'direct') continue;
    for (const k of Object.keys(out)) {
      if (!ref[k]?.rounds || !out[k]?.rounds) continue;
      const ratio = spread(out[k].rounds.map((v, i) => v / ref[k].rounds[i]));
      if (ratio) out.to[k] = ratio;
    }
    // What is added may be next to nothing in one round: these are compared by their medians.
    for (const p of PERCENTILES) {
      const k = `added_${p}`;
      if (out.to[k]) out.to[k] = ref[k].median > 0 ? spread([out[k].median / ref[k].median]) : undefined;
    }
  }
  return { id: s.id, title: s.title, unit: s.unit, streams: s.load.pace === 'held' ? s.load.clients : undefined,
    reference, players };
}

// ---- one table of all scenarios

const n0 = (x) => (x == null ? '' : Math.round(x).toLocaleString('en-US'));
const n1 = (x) => (x == null ? '' : x < 10 ? x.toFixed(2) : x < 1000 ? x.toFixed(1) : n0(x));
const mid = (m) => m?.median;
const joined = (out, prefix, which) => (out[`${prefix}_p50`]
  ? which.map((p) => n0(mid(out[`${prefix}_${p}`]))).join(' / ') : '');
const range = (m, f) => (m ? `${f(m.median)} (${f(m.min)}-${f(m.max)})` : '');
const two = (x) => x.toFixed(2);

export function table(results, instructions = {}) {
  const lines = [
    '| scenario | through | a second | latency added us, p50 / p90 / p99 / p99.9 | event delay us, p50 / p99 | CPU us each (min-max) | to the reference (min-max) | instructions each | peak MiB | KiB a stream |',
    '|---|---|---|---|---|---|---|---|---|---|'];
  for (const r of results) {
    let title = `(${r.id}) ${r.title.replace('held', `${n0(r.streams)} held`)}; each ${r.unit}`;
    for (const [who, out] of Object.entries(r.players)) {
      const direct = who === 'direct';
      const latency = direct ? joined(out, 'latency', PERCENTILES) : joined(out, 'added', PERCENTILES) || joined(out, 'latency', PERCENTILES);
      const isReference = who === r.reference;
      lines.push(`| ${title} | ${direct ? '(direct: latency itself)' : who} | ${n0(mid(out.rate))} | ${latency} | ${
        joined(out, 'delay', ['p50', 'p99'])} | ${range(out.cpu, n1)} | ${
        isReference || direct ? '' : range(out.to.cpu, two)} | ${n0(instructions[who]?.[r.id]?.sum)} | ${
        out.peak ? (mid(out.peak) / 1024).toFixed(1) : ''} | ${out.stream ? two(mid(out.stream)) : ''} |`);
      title = '';
    }
  }
  return lines.join('\n');
}

// ---- what it must reach

const of = (results, id) => results.find((r) => r.id === id)?.players;

// [scenario, what, limit, number of a scenario's players, how it is written]
const ratio = (metric) => (p) => mid(p?.sluice?.to?.[metric]);
const both = (id, cpu, p50, p99, series = 'added') => [
  [id, 'CPU to nginx', cpu, ratio('cpu')],
  ...(p50 ? [[id, `${series === 'added' ? 'latency added' : 'event delay'} p50 to nginx`, p50, ratio(`${series}_p50`)]] : []),
  ...(p99 ? [[id, `${series === 'added' ? 'latency added' : 'event delay'} p99 to nginx`, p99, ratio(`${series}_p99`)]] : []),
];
const TARGETS = [
  ...both('a', 1, 1.1, 1.2), ...both('b', 1, 1.1, 1.2), ...both('b2', 1, 1.1, 1.2),
  ...both('c', 1, 1, 0, 'delay'),
  ...both('d', 1, 0, 1, 'delay'), ['d', 'KiB a stream', 4.5, (p) => mid(p?.sluice?.stream)],
  ...both('d2', 1, 0, 1, 'delay'), ['d2', 'KiB a stream', 4.5, (p) => mid(p?.sluice?.stream)],
  ...both('e', 0, 1.1, 1.2).slice(1),
  ...both('tls-a', 1.15, 1.2, 1.3), ...both('tls-c', 1.15, 1.2, 1.3, 'delay'),
  ...both('tls-d', 1.15, 1.2, 1.3, 'delay'),
  ['tls-d', 'KiB a connection', 36, (p) => mid(p?.sluice?.stream)],
  ['tls2-d', 'KiB a stream, two connections', 72, (p) => mid(p?.sluice?.stream)],
  ['tls-b', 'CPU to nginx', 1.5, ratio('cpu')],
  ['tls-h', 'CPU to nginx', 3, ratio('cpu')],
  ['g', 'CPU to its own pass-through', 2, (p) => mid(p?.sluice?.cpu) / mid(p?.['sluice:pass']?.cpu)],
  ['g', 'per cent of a core', 25, (p) => mid(p?.sluice?.core)],
  ['g2', 'CPU to its own pass-through', 2, (p) => mid(p?.sluice?.cpu) / mid(p?.['sluice:pass']?.cpu)],
  ['g2', 'per cent of a core', 25, (p) => mid(p?.sluice?.core)],
];

// Lines of {id, what, limit, value, met}; what was not measured is left out.
export function judge(results, extras) {
  const lines = TARGETS.map(([id, what, limit, get]) => ({ id, what, limit, value: of(results, id) ? get(of(results, id)) : NaN }));
  for (const x of extras) if (x.limit !== undefined) lines.push({ id: '', what: x.what, limit: x.limit, value: x.value });
  return lines.filter((l) => Number.isFinite(l.value)).map((l) => ({ ...l, met: l.value <= l.limit }));
}

export function targets(lines) {
  return ['| scenario | target | at most | measured | |', '|---|---|---|---|---|',
    ...lines.map((l) => `| ${l.id} | ${l.what} | ${l.limit} | ${two(l.value)} | ${l.met ? 'met' : 'NOT met'} |`)].join('\n');
}

// A contestant beside itself: how far from 1.00 does the harness put it?
export function sameness(results) {
  const lines = ['| scenario | CPU, the second to the first | rounds | |', '|---|---|---|---|'];
  let met = true;
  for (const r of results) {
    const again = Object.entries(r.players).find(([who]) => who.includes('#'))?.[1];
    const ratio = again?.to?.cpu;
    if (!ratio) continue;
    const fine = Math.abs(ratio.median - 1) <= 0.03;
    met &&= fine;
    lines.push(`| (${r.id}) ${r.title} | ${ratio.median.toFixed(3)} | ${ratio.rounds.map((x) => x.toFixed(2)).join(' ')} | ${fine ? 'within 1.00 +- 0.03' : 'NOT within 1.00 +- 0.03'} |`);
  }
  return { met, text: lines.join('\n') };
}
