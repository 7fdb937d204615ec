import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRecord, type LogRecord } from '../decisions/log-record.ts';
import { logTrace } from './log-trace.ts';

function record(fields: object): LogRecord {
  const parsed = parseRecord(
    JSON.stringify({
      ...{ schema_version: 4, timestamp: '2026-01-02T03:04:05.000Z', route: '/v1/completions', status: 200 },
      ...{
        outcome: 'ok',
        stream: true,
        method: 'policy',
        worker: 'http://b',
        duration_ms: 100,
        total_ms: 900,
      },
      ...{ ttft_ms: 300, prompt_tokens: 1200, completion_tokens: 10, attempts: [{ duration_ms: 800 }] },
      ...{ block_hashes: Buffer.alloc(16, 1).toString('base64'), block_tokens: 512 },
      ...fields,
    }),
  );
  if (typeof parsed === 'string') throw new Error(parsed);
  return parsed;
}

test('times count from the dispatch to the worker that answered, whatever was waited for before', () => {
  const { requests } = logTrace([record({}), record({ total_ms: 1800, ttft_ms: 1250 })]);
  assert.deepEqual(
    requests.map(({ request, ttftMs, e2eMs }) => [request.at, ttftMs, e2eMs]),
    [
      [0, 200, 800],
      [900, 250, 800],
    ],
  );
});

test('a request that was split is not replayed: the worker that answered did not compute its prompt', () => {
  const { requests } = logTrace([record({ pd: { split: true } }), record({ pd: { split: false } })]);
  assert.equal(requests.length, 1);
  assert.equal(requests[0]?.record.split, false);
});

test('only what an engine computed to the end is modelled; only what a policy placed is replayed', () => {
  const { requests, modelled, workers } = logTrace([
    record({ candidates: [{ worker: 'http://a' }] }),
    record({ outcome: 'client_abort' }),
    record({ status: 503 }),
    record({ prompt_tokens: undefined }),
    record({ method: 'owner', worker: 'http://c' }),
    record({ worker: undefined, status: 429 }),
  ]);
  assert.deepEqual([requests.length, modelled], [4, 1]);
  // Whoever could have been chosen belongs to the fleet.
  assert.deepEqual(workers, ['http://a', 'http://b']);
});

test('blocks are never more than the prompt, and come from the text where there are no hashes', () => {
  const three = Buffer.alloc(24, 7).toString('base64');
  const { requests } = logTrace([
    record({ block_hashes: three }),
    record({ block_hashes: undefined, block_tokens: undefined }),
    record({ block_hashes: undefined, block_tokens: undefined, request_text: 'word '.repeat(100) }),
  ]);
  assert.deepEqual(
    requests.map(({ request }) => request.blocks.count),
    [2, 0, 7],
  );
});
