import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Decision } from './decision.ts';
import { DecisionRing } from './decision-ring.ts';

fc.configureGlobal({ seed: 7 });

function record(id: string, candidates = 0): Decision {
  return {
    schema_version: 5,
    timestamp: '2026-11-03T09:21:07.123Z',
    request_id: id,
    http_method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    outcome: 'ok',
    stream: false,
    attempts: [],
    queue_ms: 0,
    duration_ms: 1,
    total_ms: 1,
    request_bytes: 1,
    response_bytes: 1,
    candidates: Array.from({ length: candidates }, () => ({
      worker: 'w',
      state: 'eligible',
      running: 0,
      prefill_tokens: 0,
    })),
  };
}

function ids(ring: DecisionRing, limit = 1000): string[] {
  return ring.latest(limit).map(({ request_id }) => request_id);
}

test('keeps the latest records, oldest first', () => {
  const ring = new DecisionRing({ maxRecords: 3, maxBytes: 1e6 });
  for (const id of ['a', 'b', 'c', 'd', 'e']) ring.push(record(id));
  assert.deepEqual(ids(ring), ['c', 'd', 'e']);
  assert.deepEqual(ids(ring, 2), ['d', 'e']);
  assert.deepEqual(ids(ring, 0), []);
  assert.equal(ring.total, 5);
});

test('of size 0 keeps nothing', () => {
  const ring = new DecisionRing({ maxRecords: 0, maxBytes: 1e6 });
  ring.push(record('a'));
  assert.deepEqual(ids(ring), []);
  assert.equal(ring.bytes, 0);
});

test('a record larger than the whole ring is not kept, and drops no other', () => {
  const ring = new DecisionRing({ maxRecords: 10, maxBytes: 5_000 });
  ring.push(record('a'));
  ring.push(record('x'.repeat(10_000)));
  assert.deepEqual(ids(ring), ['a']);
});

test('stays within its bounds, and what it keeps is the end of what came', () => {
  const pushes = fc.array(fc.record({ length: fc.nat(3_000), candidates: fc.nat(10) }), { maxLength: 60 });
  const limits = fc.record({
    maxRecords: fc.integer({ min: 1, max: 12 }),
    maxBytes: fc.integer({ min: 2_000, max: 40_000 }),
  });
  fc.assert(
    fc.property(pushes, limits, (list, { maxRecords, maxBytes }) => {
      const ring = new DecisionRing({ maxRecords, maxBytes });
      const kept: string[] = [];
      for (const [index, { length, candidates }] of list.entries()) {
        const id = `${index}${'x'.repeat(length)}`;
        const before = ring.size;
        ring.push(record(id, candidates));
        if (ring.latest(1)[0]?.request_id === id) kept.push(id);
        else assert.equal(ring.size, before);
        assert.ok(ring.size <= maxRecords && ring.bytes <= maxBytes && ring.bytes >= 0);
      }
      assert.deepEqual(ids(ring), kept.slice(kept.length - ring.size));
      assert.ok(ring.size > 0 || kept.length === 0);
    }),
  );
});

test('its estimate is at least what the record takes as JSON', () => {
  const ring = new DecisionRing({ maxRecords: 10, maxBytes: 1e6 });
  const full = record('r'.repeat(40), 10);
  ring.push(full);
  assert.ok(ring.bytes >= JSON.stringify(full).length);
});

test('keeps the newest records that fit when its bounds change, and counts on', () => {
  const ring = new DecisionRing({ maxRecords: 5, maxBytes: 1e6 });
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) ring.push(record(id));
  ring.reconfigure({ maxRecords: 2, maxBytes: 1e6 });
  assert.deepEqual([ids(ring), ring.total], [['e', 'f'], 6]);
  ring.reconfigure({ maxRecords: 4, maxBytes: 1e6 });
  for (const id of ['g', 'h', 'i']) ring.push(record(id));
  assert.deepEqual([ids(ring), ring.size, ring.total], [['f', 'g', 'h', 'i'], 4, 9]);
  const { bytes } = ring;
  ring.reconfigure({ maxRecords: 4, maxBytes: Math.floor(bytes / 2) });
  assert.deepEqual([ids(ring), ring.bytes <= bytes / 2], [['h', 'i'], true]);
  ring.reconfigure({ maxRecords: 0, maxBytes: 1e6 });
  assert.deepEqual([ids(ring), ring.bytes], [[], 0]);
});
