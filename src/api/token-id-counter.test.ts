import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenIdCounter } from './token-id-counter.ts';

for (const [body, count] of [
  ['{"choices":[{"token_ids":[1,22,333]},{"token_ids":[ 4 , 5 ]}]}', 5],
  ['{"choices":[{"token_ids":[]},{"token_ids":null},{"token_ids":[7]}]}', 1],
  ['{"prompt_token_ids":[1,2,3],"choices":[{"token_ids" : [\n4]}]}', 1],
  ['{"text":"\\"token_ids\\":[1,2,3]","x":"token_ids","y":["token_ids",[1,2]]}', 0],
  ['{"choices":[{"token_ids":[1,2', 2],
] as const) {
  test(`counts ${count} in ${JSON.stringify(body)}, however it is cut`, () => {
    for (const size of [1, 2, 3, 7, 1000]) {
      const counter = new TokenIdCounter();
      for (let at = 0; at < body.length; at += size) counter.push(Buffer.from(body.slice(at, at + size)));
      assert.equal(counter.count, count, `in pieces of ${size}`);
    }
  });
}
