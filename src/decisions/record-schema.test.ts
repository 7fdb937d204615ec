import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as z from 'zod';
import type { LoggedDecision } from '../request/record/decision.ts';
import { recordFields, recordJsonSchema, recordSchema } from './record-schema.ts';

/** What the code writes is what the schema says: these do not compile where they differ. */
export const asDescribed = (record: LoggedDecision): z.output<typeof recordSchema> => record;
export const everyField: Readonly<Record<keyof z.output<typeof recordSchema>, keyof LoggedDecision>> =
  Object.fromEntries(recordFields().map(({ name }) => [name, name])) as Record<
    keyof LoggedDecision,
    keyof LoggedDecision
  >;

const RECORD: LoggedDecision = {
  schema_version: 5,
  timestamp: '2026-01-02T03:04:05.678Z',
  request_id: 'r',
  http_method: 'POST',
  route: '/v1/completions',
  status: 200,
  outcome: 'ok',
  stream: false,
  attempts: [{ worker: 'http://a', reason: 'random', duration_ms: 1 }],
  queue_ms: 0,
  duration_ms: 1,
  total_ms: 1,
  request_bytes: 1,
  response_bytes: 1,
};

test('the schema takes a record and refuses what is none', () => {
  assert.equal(recordSchema.safeParse(RECORD).success, true);
  for (const wrong of [
    { ...RECORD, unknown: 1 },
    { ...RECORD, outcome: 'lost' },
    { ...RECORD, timestamp: 'yesterday' },
    { ...RECORD, attempts: undefined },
    { ...RECORD, block_hashes: '?' },
  ])
    assert.equal(recordSchema.safeParse(wrong).success, false, JSON.stringify(wrong));
});

test('the published schema names every field, says what it means, and lets later fields pass', () => {
  const { properties, required, additionalProperties } = recordJsonSchema() as {
    properties: Record<string, { description?: string }>;
    required: string[];
    additionalProperties: unknown;
  };
  assert.deepEqual(
    Object.keys(properties),
    recordFields().map(({ name }) => name),
  );
  assert.equal(additionalProperties, undefined);
  for (const { name, about, always } of recordFields()) {
    assert.notEqual(about, '', name);
    assert.equal(required.includes(name), always, name);
  }
  assert.deepEqual(required.toSorted(), Object.keys(RECORD).toSorted());
});
