import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../base/system-clock.ts';
import type { LoggedDecision } from '../request/record/decision.ts';
import { DecisionLog } from './decision-log.ts';

const RECORDS = 30_000;
const AT_ONCE = 250;
const CANDIDATES = 8;

/** As a request of 8,000 tokens leaves it in a fleet of eight. */
function record(place: number): LoggedDecision {
  const worker = (index: number): string => `http://10.0.0.${String(index)}:8000`;
  return {
    schema_version: 5,
    timestamp: new Date(1.7e12 + place).toISOString(),
    request_id: `chatcmpl-${String(place).padStart(24, '0')}`,
    http_method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    outcome: 'ok',
    stream: true,
    attempts: [{ worker: worker(1), reason: 'least_work', duration_ms: 743.071, status: 200 }],
    queue_ms: 0,
    duration_ms: 533.494,
    total_ms: 744.395,
    request_bytes: 33_278,
    response_bytes: 6830,
    model: 'Qwen/Qwen3-8B',
    requested_model: 'Qwen/Qwen3-8B',
    worker: worker(1),
    method: 'policy',
    reason: 'least_work',
    policy: 'least_work',
    cache_source: 'predicted',
    predicted_cached_tokens: 4220,
    predicted_ttft_ms: 551.143437,
    candidates: Array.from({ length: CANDIDATES }, (_, index) => ({
      worker: worker(index),
      state: 'eligible',
      score: 0.551143 + index + place / RECORDS,
      running: index,
      prefill_tokens: 4231,
      matched_tokens: 4220,
    })),
    margin: 0.542024,
    ttft_ms: 533.939,
    prompt_tokens: 8272,
    completion_tokens: 32,
    actual_cached_tokens: 4256,
    overhead_ms: 1.072,
    block_hashes: Buffer.alloc(8 * 16, place).toString('base64'),
    block_tokens: 512,
  };
}

test('takes more than 20,000 records a second with eight candidates each, on one core', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'throughput-'));
  t.after(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const path = join(dir, 'd.jsonl');
  const log = new DecisionLog(
    {
      path,
      intervalMs: 1000,
      includeRequestText: false,
      candidates: CANDIDATES,
      maxFileBytes: 1e9,
      maxFileAgeMs: 1e9,
      keepFiles: 3,
      maxWaitingBytes: 64 * 1024 * 1024,
    },
    { clock: systemClock, onTrouble: (error) => assert.fail(String(error)) },
  );
  await log.open();
  const records = Array.from({ length: AT_ONCE }, (_, place) => record(place));
  // Processor time rather than time: other tests run beside this one.
  const before = process.cpuUsage();
  for (let pushed = 0; pushed < RECORDS; pushed += AT_ONCE) {
    for (const one of records) log.push(one);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await log.close();
  const { user, system } = process.cpuUsage(before);
  const perSecond = Math.round((RECORDS / (user + system)) * 1e6);
  const bytes = Math.round(statSync(path).size / RECORDS);
  t.diagnostic(`${String(perSecond)} records per processor second of ${String(bytes)} bytes each`);
  assert.deepEqual([log.written, log.dropped], [RECORDS, 0]);
  assert.ok(perSecond > 20_000, `${String(perSecond)} per second`);
});
