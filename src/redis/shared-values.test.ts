import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { RedisLink } from './redis-link.ts';
import { SharedValues } from './shared-values.ts';

test('what is no value at all is a miss', async () => {
  const discarded: string[] = [];
  let answer: unknown;
  const link = {
    ...{ name: 'a', keyPrefix: '', isUp: true, takesWrites: true },
    ask: () => Promise.resolve({ kind: 'done', value: answer }),
  } as unknown as RedisLink;
  const values = new SharedValues(link, new VirtualClock(0), {
    ...{ kind: 'answer', mostBytes: 100, secret: undefined },
    onDiscarded: (_kind, reason) => discarded.push(reason),
  });
  for (answer of [null, 5, [], {}]) assert.equal(await values.get('key'), undefined);
  assert.deepEqual(discarded, ['foreign', 'foreign', 'foreign', 'foreign']);
});
