// Claude Code's real command line where no Claude is behind, and through the clouds' doors.

import { test } from '../lib/harness.mjs';
import { equal, match, ok } from '../lib/assert.mjs';
import { NOTE, READ_PROMPT, claude } from '../lib/clients.mjs';
import { UPSTREAMS, addUpstream, house } from '../lib/upstreams.mjs';

const slow = { timeout: 120000 };
const map = (kind) => ['--model', `*=${UPSTREAMS[kind].model}`];

function toolTurn(run) {
  equal(run.code, 0, run.out + run.err);
  equal(run.result.is_error, false, run.out);
  ok(run.result.result.includes(NOTE), run.result.result);
  ok(!run.out.includes('api_retry'), `the client noticed nothing: ${run.out}`);
}
const bad = async (prov) => (await prov.requests((r) => r.method === 'POST' && r.answered >= 400)).map((r) => `${r.url} ${r.sent}`);

for (const kind of ['openai', 'openai-compatible', 'openrouter', 'gemini', 'ollama', 'bedrock', 'vertex-ai']) {
  test(`claude: a tool turn on ${kind}`, slow, async (t) => {
    const { gw, prov } = await house(t, kind, { more: { [kind]: { args: ['bedrock', 'vertex-ai'].includes(kind) ? [] : map(kind) } } });
    for (const model of ['claude-sonnet-4-6', 'claude-opus-4-8']) {
      toolTurn(await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT, { model }));
      equal((await bad(prov)).join('\n'), '', 'nothing was refused');
    }
  });
}

const cloud = {
  bedrock: (gw) => ({ CLAUDE_CODE_USE_BEDROCK: '1', ANTHROPIC_BEDROCK_BASE_URL: gw.url, CLAUDE_CODE_SKIP_BEDROCK_AUTH: '1', AWS_REGION: 'us-east-1', ANTHROPIC_AUTH_TOKEN: gw.key }),
  vertex: (gw) => ({ CLAUDE_CODE_USE_VERTEX: '1', ANTHROPIC_VERTEX_BASE_URL: `${gw.url}/v1`, CLAUDE_CODE_SKIP_VERTEX_AUTH: '1', CLOUD_ML_REGION: 'us-east5', ANTHROPIC_VERTEX_PROJECT_ID: 'any', ANTHROPIC_AUTH_TOKEN: gw.key }),
};
const MODELS = { bedrock: ['us.anthropic.claude-sonnet-4-5-20250929-v1:0', 'us.anthropic.claude-opus-4-6-v1'], vertex: ['claude-sonnet-4-5@20250929', 'claude-opus-4-6'] };

for (const door of ['bedrock', 'vertex']) {
  for (const kind of ['anthropic', 'bedrock', 'vertex-ai', 'openai']) {
    test(`claude: a tool turn through the ${door} door on ${kind}`, slow, async (t) => {
      const { gw, prov } = await house(t, kind, { more: { [kind]: { args: kind === 'openai' ? map(kind) : [] } } });
      for (const model of MODELS[door]) {
        toolTurn(await claude(t, undefined, cloud[door](gw), READ_PROMPT, { model }));
        equal((await bad(prov)).join('\n'), '', 'nothing was refused');
      }
    });
  }

  test(`claude: through the ${door} door a wrong key is told at once`, slow, async (t) => {
    const { gw, prov } = await house(t, 'anthropic');
    const from = Date.now();
    const run = await claude(t, undefined, { ...cloud[door](gw), ANTHROPIC_AUTH_TOKEN: 'slc_wrong' }, 'Hi', { model: MODELS[door][0] });
    ok(Date.now() - from < 30000, `took ${Date.now() - from} ms: it retried`);
    ok(run.result?.is_error ?? run.code !== 0, run.out);
    equal((await prov.requests()).length, 0);
  });
}

test('claude: with a custom header as key through the Bedrock door', slow, async (t) => {
  const { gw } = await house(t, 'anthropic');
  const { ANTHROPIC_AUTH_TOKEN, ...env } = cloud.bedrock(gw);
  toolTurn(await claude(t, undefined, { ...env, ANTHROPIC_CUSTOM_HEADERS: `x-api-key: ${gw.key}` }, READ_PROMPT, { model: MODELS.bedrock[0] }));
});

const LONG = { openai: { status: 400, error: { message: "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens. Please reduce the length of the messages.", code: 'context_length_exceeded', param: 'messages' } },
  openrouter: { status: 400, error: { message: "This endpoint's maximum context length is 200000 tokens. However, you requested about 250000 tokens." } },
  bedrock: { status: 400, error: { message: 'Input is too long for requested model.' } },
  gemini: { status: 400, error: { message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).' } },
  'vertex-ai': { status: 400, error: { message: 'prompt is too long: 250000 tokens > 200000 maximum', google: false } } };
for (const [kind, plan] of Object.entries(LONG)) {
  test(`claude: a prompt that is too long on ${kind} is told so`, slow, async (t) => {
    const { gw } = await house(t, kind, { more: { [kind]: { args: ['bedrock', 'vertex-ai'].includes(kind) ? [] : map(kind), plans: [plan] } } });
    const run = await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, 'Hi');
    match(run.out, /prompt is too long/i);
    if (kind === 'bedrock') {
      match((await claude(t, undefined, cloud.bedrock(gw), 'Hi', { model: MODELS.bedrock[0] })).out, /too long/i);
    }
  });
}

test('claude: from Claude to Bedrock to Z.AI, as each fails', slow, async (t) => {
  const limited = (message, headers) => ({ plans: [{ status: 429, error: { message }, headers }] });
  const { gw, prov, up } = await house(t, ['anthropic', 'bedrock', 'zai'], { more: {
    anthropic: limited('limit', { 'retry-after': '3600' }), bedrock: limited('Too many tokens, please wait before trying again.') } });
  toolTurn(await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT));
  const served = await prov.requests((r) => r.answered === 200);
  ok(served.length >= 2 && served.every((r) => r.key === up.zai.key), 'the third served');
  for (const r of served) match(JSON.parse(r.body).model, /^glm-/);
});

test('claude: a session moves from Claude to an OpenAI account and back', slow, async (t) => {
  const { gw, prov, up } = await house(t, 'anthropic', { more: { anthropic: { plans: [{ times: 1, when: { path: '/v1/messages' } }, { status: 529, error: { message: 'Overloaded' } }] } } });
  await addUpstream(gw, prov, 'openai', { priority: 2, args: map('openai') });
  toolTurn(await claude(t, gw.url, { ANTHROPIC_AUTH_TOKEN: gw.key }, READ_PROMPT));
  ok((await prov.requests((r) => r.url === '/v1/chat/completions' && r.answered === 200)).length >= 1);
  equal((await prov.requests((r) => r.url === '/v1/chat/completions' && r.answered >= 400)).length, 0);
  await up.anthropic.set({ plans: [] });
});
