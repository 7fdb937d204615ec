import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withPromptIds } from './prompt-ids.ts';

const PARAMS = Buffer.from('{"a":1}');

function withIds(ids: string): string {
  return withPromptIds(PARAMS, Buffer.from(ids)).toString();
}

test('the tokens of the prompt go with the parameters', () => {
  assert.equal(withIds('[1,23,456]'), '{"a":1,"prompt_token_ids":[1,23,456]}');
  assert.equal(withIds('[0]'), '{"a":1,"prompt_token_ids":[0]}');
});

test('what is no list of ids does not', () => {
  for (const ids of [
    'null',
    '[]',
    '[ ]',
    '[1,]',
    '[,1]',
    '[1,,2]',
    '[1 2]',
    '[1, 2]',
    '[-1]',
    '[1.5]',
    '[[1]]',
    '"1"',
    '[1',
    '[true]',
    '',
  ])
    assert.equal(withIds(ids), '{"a":1}', ids);
  assert.equal(withPromptIds(PARAMS, undefined), PARAMS);
  assert.equal(withIds(`[${'1,'.repeat(1_100_000)}1]`), '{"a":1}', 'nor one of megabytes');
});
