// Hostile replies, by the tables of lib/replies.mjs: no client ever sees a wrong answer that looks like
// a good one, and a connection that misbehaved is never used again.

import { message, test } from '../lib/harness.mjs';
import { ANSWER, Recorder } from '../lib/recorder.mjs';
import { replies, streams } from '../lib/replies.mjs';
import { eventsOf } from '../lib/answers.mjs';
import { equal } from '../lib/assert.mjs';
import { events } from '../lib/wire.mjs';

const MARK = 'the hostile one';

// How an answer looks to its client.
function verdict(a, row) {
  if (!a.complete) return a.status === 200 ? 'cut' : `broken ${a.status}`;
  if (a.status >= 500 && a.json().type === 'error') return 'error';
  if (a.status !== 200) return `status ${a.status} ${a.text.slice(0, 100)}`;
  if (row.stream) return events(a.body).at(-1)?.event === 'message_stop' ? 'ok' : 'a stream without its end';
  return a.text === ANSWER ? 'ok' : `another body: ${a.text.slice(0, 100)}`;
}

// A good request; the failures of the row before are forgotten by a few of them.
async function good(gw, rec, row) {
  const a = await gw.post(message({ text: 'fine' }));
  const seen = rec.requests.at(-1);
  if (a.status !== 200 || a.text !== ANSWER) return `afterwards: ${a.status} ${a.text.slice(0, 100)}`;
  if (!row.reused && seen.nth !== 1) return 'its connection is used again';
  if (row.reused && seen.nth === 1) return 'its connection is not used again';
  for (let i = 0; i < 4 && row.outcome !== 'ok'; i++) await gw.post(message({ text: 'fine' }));
  return '';
}

async function play(t, rows, stream) {
  const rec = await Recorder.start(t);
  const { gw } = await t.setup({ accounts: { a: { url: rec.url } } });
  const wrong = [];
  for (const row of rows) {
    rec.reply = (r) => (r.body.includes(MARK) ? { bytes: row.bytes, then: row.then } : null);
    const c = gw.open(message({ text: MARK, ...(stream ? { stream: true } : {}) }));
    const a = await c.answer(0, 15000);
    c.leave();
    const got = verdict(a, { ...row, stream });
    if (got !== row.outcome) wrong.push(`${row.name}: ${got} instead of ${row.outcome}`);
    if (a.get('set-cookie') || a.get('link') || a.raw?.includes('evil') || a.text.includes('evil')) wrong.push(`${row.name}: something of it came through`);
    if (a.text.includes('message_stop') && row.outcome === 'cut') wrong.push(`${row.name}: it looks complete`);
    const after = await good(gw, rec, row);
    if (after) wrong.push(`${row.name}: ${after}`);
    if (!gw.proc.running) throw new Error(`${row.name}: the gateway died\n${gw.logged().slice(-3000)}`);
  }
  equal(wrong.join('\n'), '');
}

test('replies: each hostile one ends as the table says', { timeout: 120000 }, async (t) => {
  await play(t, replies(), false);
});

test('replies: each hostile stream too', { timeout: 120000 }, async (t) => {
  const req = JSON.parse(message({ stream: true }));
  const list = eventsOf(req, [{ type: 'text', text: 'a text of some length' }], { input_tokens: 1, output_tokens: 5 }, 1);
  await play(t, streams(list), true);
});
