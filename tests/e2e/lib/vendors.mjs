// The real clients of the other dialects: OpenAI's SDK, Vercel's, the Bedrock, Vertex and Google
// ones; and what accounts in the clouds look like. Loaded by the cases that need them only: they
// are large.

import crypto from 'node:crypto';

// maxRetries 0: a test wants to see the first answer.
export async function openai(baseURL, apiKey, options = {}) {
  const { default: OpenAI } = await import('openai');
  return new OpenAI({ apiKey, baseURL, maxRetries: 0, timeout: 20000, ...options });
}

export async function azureOpenai(endpoint, apiKey, deployment, options = {}) {
  const { AzureOpenAI } = await import('openai');
  return new AzureOpenAI({ endpoint, apiKey, deployment, apiVersion: '2024-10-21', maxRetries: 0, timeout: 20000, ...options });
}

// Bedrock's SDK with a bearer token, or with keys that sign.
export async function bedrock(baseURL, options) {
  const { AnthropicBedrock } = await import('@anthropic-ai/bedrock-sdk');
  return new AnthropicBedrock({ baseURL, awsRegion: 'us-east-1', maxRetries: 0, timeout: 20000, ...options });
}

// Vertex's SDK; `token` is what Google's library would have fetched.
export async function vertex(baseURL, token, options = {}) {
  const { AnthropicVertex } = await import('@anthropic-ai/vertex-sdk');
  const authClient = { projectId: 'a-project', getRequestHeaders: async () => new Headers({ authorization: `Bearer ${token}` }) };
  return new AnthropicVertex({ baseURL, region: 'us-east5', projectId: 'a-project', authClient, maxRetries: 0, timeout: 20000, ...options });
}

export async function genai(baseUrl, apiKey) {
  const { GoogleGenAI } = await import('@google/genai');
  return new GoogleGenAI({ apiKey, httpOptions: { baseUrl, timeout: 20000 } });
}

// Vercel's SDK: {ai, anthropic(model), compatible(model), bedrock(model)} of the gateway's or provider's doors.
export async function vercel(root, apiKey) {
  const [ai, a, c, b] = await Promise.all([import('ai'), import('@ai-sdk/anthropic'), import('@ai-sdk/openai-compatible'),
    import('@ai-sdk/amazon-bedrock/anthropic')]);
  return { ai, anthropic: a.createAnthropic({ baseURL: `${root}/v1`, apiKey }),
    compatible: c.createOpenAICompatible({ name: 'here', baseURL: `${root}/v1`, apiKey, includeUsage: true, supportsStructuredOutputs: true }),
    bedrock: b.createBedrockAnthropic({ baseURL: root, apiKey, region: 'us-east-1' }) };
}

// ---- what accounts in the clouds are made of -------------------------------------------------

export function awsKeys({ session = false } = {}) {
  const secret = crypto.randomBytes(30).toString('base64');
  return { id: `AKIA${crypto.randomBytes(8).toString('hex').toUpperCase()}`, secret,
    token: session ? crypto.randomBytes(60).toString('base64') : undefined };
}

let pair;
// A key file of a service account, and the public half that a provider knows. The key is one for
// the whole run: making it takes a moment.
export function googleKey(tokenUrl) {
  pair ??= crypto.generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' } });
  const email = `robot-${crypto.randomBytes(4).toString('hex')}@a-project.iam.gserviceaccount.com`;
  const file = { type: 'service_account', project_id: 'a-project', private_key_id: crypto.randomBytes(20).toString('hex'),
    private_key: pair.privateKey, client_email: email, client_id: '1234567890', token_uri: tokenUrl };
  return { email, file, publicKey: pair.publicKey };
}
