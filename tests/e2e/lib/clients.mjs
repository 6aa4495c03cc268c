// The real clients: Claude Code, the Anthropic SDK in two generations, curl.

import { File } from 'node:buffer';
import fs from 'node:fs';
import path from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import AnthropicOld from 'anthropic-sdk-old';
import { HERE } from './harness.mjs';

globalThis.File ??= File; // Node 18 has it, but not as a global, where the SDK looks

export const SDKS = { new: Anthropic, old: AnthropicOld };

// maxRetries 0: a test wants to see the first answer.
export function sdk(generation, baseURL, apiKey, options = {}) {
  return new SDKS[generation]({ apiKey, authToken: null, baseURL, maxRetries: 0, timeout: 20000, ...options });
}

function claudeBinary() {
  const dir = path.join(HERE, 'node_modules', '@anthropic-ai');
  for (const name of fs.readdirSync(dir)) {
    const file = path.join(dir, name, 'claude');
    if (name.startsWith('claude-code-') && fs.existsSync(file)) return file;
  }
  throw new Error('Claude Code is not installed for this system');
}

export const NOTE = 'The password of the day is marmalade.';

// Runs `claude -p PROMPT` in a folder of its own with note.txt in it, credentials from `env`.
// Gives {code, lines (stream-json), result, out, err}.
export async function claude(t, baseURL, env, prompt, { ms = 60000, args = [], model = 'claude-sonnet-4-6' } = {}) {
  const home = t.subdir(`home${t.procs.length}`);
  const work = t.subdir(`work${t.procs.length}`);
  fs.writeFileSync(path.join(work, 'note.txt'), `${NOTE}\n`);
  const p = t.spawn(claudeBinary(), ['-p', prompt.replaceAll('$WORK', work), '--output-format', 'stream-json',
    '--verbose', '--model', model, ...args], {
    input: '', cwd: work, detached: true,
    env: { PATH: process.env.PATH, HOME: home, TMPDIR: home, LANG: 'C.UTF-8', TERM: 'dumb',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_TELEMETRY: '1', DISABLE_AUTOUPDATER: '1',
      DISABLE_ERROR_REPORTING: '1', ...(baseURL ? { ANTHROPIC_BASE_URL: baseURL } : {}), ...env },
  });
  await p.exit(ms);
  const lines = p.out.split('\n').filter(Boolean).map((l) => {
    try { return JSON.parse(l); } catch { return { type: 'noise', text: l }; }
  });
  return { code: p.code, lines, result: lines.find((l) => l.type === 'result'), out: p.out, err: p.err, work };
}

// A prompt that makes the scripted provider call the harmless Read tool on note.txt.
export const READ_PROMPT = 'Please do this: [[tool:Read {"file_path":"$WORK/note.txt"}]]';

// Runs curl; body bytes go to a file so that they stay as they are.
export async function curl(t, args) {
  const out = path.join(t.dir, `curl-${t.procs.length}.out`);
  const head = `${out}.head`;
  const p = t.spawn('curl', ['-sS', '--max-time', '20', '-o', out, '-D', head, ...args], { input: '' });
  await p.exit(25000);
  const read = (f) => (fs.existsSync(f) ? fs.readFileSync(f) : Buffer.alloc(0));
  return { code: p.code, body: read(out), head: read(head).toString('latin1'), err: p.err };
}
