import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocksFromHashIds } from '../routing/hash-ids.ts';
import { Conversations } from './conversations.ts';

const prompt = (...ids: number[]) => blocksFromHashIds(ids, 512, 512 * ids.length);

test('turns of a conversation have one name, other conversations others', () => {
  const conversations = new Conversations();
  const first = conversations.of(prompt(1, 2));
  assert.equal(conversations.of(prompt(1, 2, 3)), first);
  const other = conversations.of(prompt(8, 9));
  assert.notEqual(other, first);
  assert.equal(conversations.of(prompt(1, 2, 3, 4, 5)), first);
  assert.equal(conversations.of(prompt(8, 9, 10)), other);
  assert.equal(conversations.of(prompt()), undefined);
});

test('a common beginning does not make one conversation of all, even where somebody said nothing more', () => {
  const conversations = new Conversations();
  const names = Array.from({ length: 20 }, (_, n) => [
    conversations.of(prompt(1, 2)),
    conversations.of(prompt(1, 2, 100 + n)),
    conversations.of(prompt(1, 2, 100 + n, 200 + n)),
  ]);
  const later = names.slice(3);
  assert.equal(new Set(later.map(([, turn]) => turn)).size, later.length);
  assert.ok(later.every(([, turn, next]) => turn === next));
});
