// The soaks themselves: see scripts/soak. Each takes a case's context (tests/e2e/lib/harness.mjs),
// gives what it has measured, and throws if that is not what it must be.

import fs from 'node:fs';
import { allBooked, ended, running } from '../e2e/lib/restarts.mjs';
import { Streams, other, residentKib, sleep, startProvider } from './parts.mjs';

async function house(t, provider, { listen, config, release = false } = {}) {
  const prov = await startProvider(provider);
  t.cleanups.push(() => prov.stop());
  const gw = t.gateway();
  await gw.addAccount({ name: 'a', url: prov.url, secret: t.secret() });
  gw.key = await gw.addKey('soak');
  await gw.start({ listen, config: { max_connections_per_source: 0, log_level: 'warn', ...config } });
  return { gw, prov };
}

const must = (good, what) => { if (!good) throw new Error(what); };

// `streams` at any time while the gateway is replaced every `every` ms, for `ms`. With a drain_timeout
// shorter than its streams some of them are ended by it, and told so.
export async function restarts(t, { ms = 600000, every = 30000, streams = 200, drain = '8s', say = () => {} } = {}) {
  const { gw } = await house(t, { least: 500, most: Math.min(20000, 2 * every) }, { config: { drain_timeout: drain } });
  const all = new Streams(gw.target, gw.key, streams);
  const pids = [gw.proc.pid];
  const begin = Date.now();
  for (let at = every; at <= ms; at += every) {
    await sleep(begin + at - Date.now());
    const { pid, older_pid } = await gw.json(['upgrade'], { ms: 60000 });
    t.cleanups.push(() => { try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } });
    must(older_pid === pids.at(-1), `upgrade: process ${older_pid} was replaced, not ${pids.at(-1)}`);
    pids.push(pid);
    say(`${pids.length - 1} restarts: ${all.complete} complete, ${all.told} told, ${all.wrong.length} wrong`);
  }
  await all.end();
  must(all.wrong.length === 0, `${all.wrong.length} of ${all.sent} streams:\n${all.wrong.slice(0, 20).join('\n')}`);
  await allBooked(gw, all.sent);
  for (const pid of pids.slice(0, -1)) await ended(pid, 60000);
  process.kill(pids.at(-1), 'SIGTERM');
  await ended(pids.at(-1), 60000);
  must(pids.every((p) => !running(p)), 'all have ended');
  return { restarts: pids.length - 1, streams: all.sent, complete: all.complete, told: all.told, wrong: 0, records: all.sent };
}

// p99 of good clients, without and with `sockets` that never end their heads, in turns.
export async function slowloris(t, { sockets = 5000, rounds = 5, ms = 4000, rate = 200, most = 2, least = 0, say = () => {} } = {}) {
  const { gw } = await house(t, {}, {});
  const good = await other('good', { port: gw.port, key: gw.key, rate, clients: 20 });
  t.cleanups.push(() => good.stop());
  const measure = async () => { await good.ask(); await sleep(ms); return good.ask(); };
  await sleep(1000);
  const p99 = { without: [], with: [] };
  for (let i = 0; i < rounds; i++) {
    const calm = await measure();
    const attack = await other('slow', { port: gw.port, sockets });
    const busy = await measure();
    const { open, opened } = await attack.ask();
    attack.stop();
    await sleep(300);
    must(calm.wrong.length + busy.wrong.length === 0, `good clients: ${calm.wrong.concat(busy.wrong)}`);
    must(opened >= sockets, `only ${opened} of ${sockets} came in`);
    p99.without.push(calm.p99);
    p99.with.push(busy.p99);
    say(`p99 ${calm.p99.toFixed(2)} ms without, ${busy.p99.toFixed(2)} with ${open} slow sockets`);
  }
  // the best round of each: what else the machine does makes a round worse, never better
  const [without, busy] = [Math.min(...p99.without), Math.min(...p99.with)];
  must(busy < Math.max(most * without, least), `p99 of good clients: ${busy.toFixed(2)} ms, not ${without.toFixed(2)}`);
  return { sockets, p99_without_ms: without, p99_with_ms: busy, ratio: busy / without };
}

// What an idle TLS connection takes.
export async function idleTls(t, { connections = 10000, processes = 4, most = 36, certs = t.shared.certs, say = () => {} } = {}) {
  const { gw } = await house(t, {}, { listen: ['https://127.0.0.1:0', 'http://127.0.0.1:0'],
    config: { tls_cert: certs.good.cert, tls_key: certs.good.key, max_connections: connections + 200 } });
  // clients get two fifths of the descriptors, and of them four fifths where there is a handshake
  const descriptors = Number(/Max open files\s+(\d+)/.exec(fs.readFileSync(`/proc/${gw.proc.pid}/limits`, 'utf8'))[1]);
  const fit = Math.floor(descriptors * 2 / 5 * 4 / 5) - 100;
  if (fit < connections) {
    say(`${descriptors} descriptors are enough for ${fit} connections, not ${connections}`);
    connections = fit;
  }
  const warm = await other('idle', { port: gw.port, connections: 50, ca: certs.ca });
  warm.stop();
  await sleep(1000);
  const before = residentKib(gw.proc.pid);
  let open = 0;
  const all = [];
  for (let i = 0; i < processes; i++) {
    const one = await other('idle', { port: gw.port, connections: Math.ceil(connections / processes), ca: certs.ca });
    t.cleanups.push(() => one.stop());
    all.push(one);
    say(`${(i + 1) * Math.ceil(connections / processes)} connections`);
  }
  await sleep(1000);
  for (const one of all) open += (await one.ask()).open;
  must(open >= connections, `${open} of ${connections} are open`);
  const each = (residentKib(gw.proc.pid) - before) / open;
  for (const one of all) one.stop();
  must(each <= most, `an idle TLS connection takes ${each.toFixed(1)} KiB, not ${most}`);
  return { connections: open, kib_each: each };
}
