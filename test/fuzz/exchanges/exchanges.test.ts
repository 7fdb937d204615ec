import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runExchanges } from './exchanges.ts';

const EXCHANGES = 3_000;

test('requests and answers go through the router byte for byte and in order, however they are cut, framed and pipelined', async () => {
  const { exchanges, faults, framings } = await runExchanges(EXCHANGES, 1);
  assert.deepEqual(faults, []);
  assert.ok(exchanges >= EXCHANGES);
  for (const [framing, count] of framings) assert.ok(count > EXCHANGES / 50, `${count} answers ${framing}`);
  assert.equal(framings.size, 5);
});
