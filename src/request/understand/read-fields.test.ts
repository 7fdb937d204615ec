import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFields, readFieldsInPieces, type Fields } from './read-fields.ts';

const MIB = 1024 * 1024;
/** Half a mebibyte is looked at in one go. */
const PIECES_PER_MIB = 2;

/** What the body says, and how many turns everything else got until it was known. */
async function read(body: Buffer): Promise<{ readonly fields: object; readonly turns: number }> {
  let turns = 0;
  let reading = true;
  const count = (): void => {
    turns += 1;
    if (reading) setImmediate(count);
  };
  setImmediate(count);
  const fields = await readFieldsInPieces(body);
  reading = false;
  return { fields, turns };
}

function plain(fields: object): object {
  return JSON.parse(JSON.stringify(fields)) as object;
}

for (const [what, body] of Object.entries({
  'one message full of escapes': `{"model":"m","messages":[{"role":"user","content":"${'\\\\n'.repeat(2 * MIB)}"}],"n":1}`,
  'many messages': `{"model":"m","messages":[${'{"role":"user","content":"a \\"b\\""},'.repeat(MIB / 8)}{}],"n":1}`,
  'members that are each short enough to be parsed': `{${Array.from({ length: 100 }, (_, n) => `"m${n}":"${'x'.repeat(60_000)}"`).join()}}`,
  'white space': `{"model":"m"${' '.repeat(4 * MIB)}}`,
}))
  test(`a long body is read in pieces: ${what}`, async () => {
    const bytes = Buffer.from(body);
    assert.ok(bytes.length > 3 * MIB);
    const { fields, turns } = await read(bytes);
    assert.deepEqual(plain(fields), plain(readFields(bytes)));
    assert.ok(turns >= Math.floor((bytes.length / MIB) * PIECES_PER_MIB), `${turns} turns`);
  });

test('what is no object at its end only is found out in pieces, too', async () => {
  const bytes = Buffer.from(`{"model":"m","messages":["${'\\\\n'.repeat(2 * MIB)}"]`);
  const { fields, turns } = await read(bytes);
  assert.match(JSON.stringify(fields), /not a JSON object/);
  assert.ok(turns >= 8, `${turns} turns`);
});

for (const [what, dense] of Object.entries({
  lists: `[${'[],'.repeat(200_000)}[]]`,
  'lists in lists': `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
  objects: `[${'{"a":1},'.repeat(80_000)}{}]`,
}))
  test(`a body below a mebibyte that is dense is read as a long one: ${what}`, async () => {
    const text = `{"user":"u","messages":${dense},"stream":"1","sampling_params":{"max_tokens":7},"model":"m"}`;
    const bytes = Buffer.from(text);
    assert.ok(bytes.length < MIB);
    const { fields: inPieces } = await read(bytes);
    for (const read of [readFields(bytes), inPieces as Fields]) {
      if (read.problem !== undefined) throw new Error(read.problem);
      const { messages, ...others } = read.fields;
      assert.deepEqual(others, {
        ...{ __proto__: null, user: 'u', stream: '1' },
        ...{ sampling_params: { max_tokens: 7 }, model: 'm' },
      });
      assert.equal(messages, undefined);
      assert.equal(read.rawPrompt, dense.slice(0, 256 * 1024));
      assert.equal(read.repeats(), false);
    }
  });

test('a dense body that names its model twice is seen to do so', () => {
  const read = readFields(
    Buffer.from(`{"model":"a","m\\u006fdel":"b","messages":[${'[],'.repeat(200_000)}[]]}`),
  );
  assert.ok(read.problem === undefined && read.repeats());
  assert.equal(read.fields['model'], 'b');
});
