// Assertions of the house on top of node:assert.

import assert from 'node:assert/strict';

export { assert };
export const { equal, deepEqual, ok, match, doesNotMatch, notEqual, rejects } = assert;

export function sameBytes(actual, expected, what) {
  const a = Buffer.from(actual);
  const b = Buffer.from(expected);
  if (a.equals(b)) return;
  let i = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  const near = (x) => JSON.stringify(x.subarray(Math.max(0, i - 20), i + 40).toString('latin1'));
  assert.fail(`${what}: ${a.length} bytes instead of ${b.length}, first difference at ${i}: ${near(a)} instead of ${near(b)}`);
}

// An error of the gateway in Anthropic's shape.
export function isError(answer, status, type) {
  assert.equal(answer.status, status, `status ${answer.status} instead of ${status}: ${answer.text?.slice(0, 300)}`);
  const body = answer.json();
  assert.equal(body.type, 'error');
  assert.equal(typeof body.error.message, 'string');
  assert.ok(body.error.message.length > 0, 'an error has a message');
  if (type) assert.equal(body.error.type, type);
  return body;
}

// The given names are not among the answer's headers.
export function lacks(answer, ...names) {
  for (const [k, v] of answer.headers) {
    for (const n of names) assert.ok(!k.startsWith(n), `header ${k}: ${v} should not be there`);
  }
}
