import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryInUse } from '../../../test/support/memory.ts';
import { BodyFields } from './body-fields.ts';
import { readFields } from './read-fields.ts';

function read(text: string): BodyFields {
  const body = Buffer.from(text);
  const fields = readFields(body);
  if (fields.problem !== undefined) throw new Error(fields.problem);
  return new BodyFields(body, fields.fields, fields.rawPrompt);
}

/** What is only looked at weakly is there until the turn is over. */
async function collect(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  memoryInUse();
}

test('the values are not kept, and are the same when they are read again', async () => {
  const text = `{"model":"m","user":"u","n":NaN,"messages":[${'[],'.repeat(40_000)}{"role":"user"}]}`;
  // What the code itself takes is there before.
  read(text);
  await collect();
  const before = memoryInUse();
  const fields = read(text);
  await collect();
  assert.ok(memoryInUse() - before < 3 * text.length);
  assert.deepEqual(fields.values(), JSON.parse(text.replace('NaN', 'null')));
  assert.equal(fields.values(), fields.values());
});

test('other bytes that name another model say what the client said', async () => {
  const fields = read('{"model":"alias","user":"u"}');
  fields.nowIn(Buffer.from('{"model":"m","user":"u"}'));
  await collect();
  assert.deepEqual(fields.values(), { model: 'alias', user: 'u' });
});

test('of a long body the values stay, for they are few', async () => {
  const fields = read(`{"model":"m","user":"u","prompt":"${'x'.repeat(2_000_000)}"}`);
  await collect();
  const values = fields.values();
  assert.deepEqual([values['model'], values['user'], values['prompt']], ['m', 'u', undefined]);
  assert.equal(fields.rawPrompt?.length, 256 * 1024);
  const dense = `[${'[],'.repeat(20_000)}[]]`;
  const text = `{${Array.from({ length: 20 }, (_, n) => `"m${n}":${dense}`).join()}}`;
  const before = memoryInUse();
  const many = read(text);
  await collect();
  assert.ok(memoryInUse() - before < 3 * text.length);
  assert.equal(Object.values(many.values()).filter((value) => value !== undefined).length, 2);
});

for (const [what, length] of [
  ['short', 1],
  ['long', 2_000_000],
] as const)
  test(`nothing is left of a ${what} body that is let go of`, () => {
    const fields = read(`{"model":"m","prompt":"${'x'.repeat(length)}"}`);
    fields.letGo();
    assert.deepEqual([fields.values(), fields.rawPrompt], [{}, undefined]);
    fields.nowIn(Buffer.from('{"model":"m"}'));
    assert.deepEqual(fields.values(), {});
  });
