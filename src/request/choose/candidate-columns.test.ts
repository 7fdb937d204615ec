import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXCLUDED } from '../../routing/policy.ts';
import type { OpenDecision } from '../record/decision.ts';
import { DecisionRing } from '../record/decision-ring.ts';
import { CandidateColumns } from './candidate-columns.ts';

/** So many candidates, the second of them without anything that a policy says. */
function columns(count: number): CandidateColumns {
  const table = new CandidateColumns(count);
  for (let at = 0; at < count; at += 1) {
    const rated = at !== 1;
    table.add(`http://w${at}`, rated ? EXCLUDED.no : EXCLUDED.tried, at, at - 0.5);
    table.rate(rated ? at + 1 / 3 : undefined, rated ? 16.4 : NaN);
  }
  return table;
}

test('a record that is read is the same text as one that was made of objects, in the same order', () => {
  const ring = new DecisionRing({ maxRecords: 2, maxBytes: 1e6 });
  const head = {
    schema_version: 5,
    timestamp: 't',
    request_id: 'r',
    http_method: 'POST',
    route: '/x',
  } as const;
  const tail = { candidates_rest: { count: 1, not_scored: 0, excluded: {} }, attempts: [] };
  const rest = {
    status: 200,
    outcome: 'ok',
    stream: false,
    queue_ms: 0,
    duration_ms: 1,
    total_ms: 1,
  } as const;
  const record: OpenDecision = {
    ...{ ...head, candidates: columns(3), ...tail },
    ...{ ...rest, request_bytes: 1, response_bytes: 1 },
  };
  ring.push(record);
  const candidates =
    '[{"worker":"http://w0","state":"eligible","running":0,"prefill_tokens":0,"score":0.333333,"matched_tokens":16},' +
    '{"worker":"http://w1","state":"tried","running":1,"prefill_tokens":1},' +
    '{"worker":"http://w2","state":"eligible","running":2,"prefill_tokens":2,"score":2.333333,"matched_tokens":16}]';
  const text =
    '{"schema_version":5,"timestamp":"t","request_id":"r","http_method":"POST","route":"/x",' +
    `"candidates":${candidates},"candidates_rest":{"count":1,"not_scored":0,"excluded":{}},"attempts":[],` +
    '"status":200,"outcome":"ok","stream":false,"queue_ms":0,"duration_ms":1,"total_ms":1,"request_bytes":1,"response_bytes":1}';
  assert.equal(JSON.stringify(ring.latest(1)[0]), text);
  // Who reads it again reads the same.
  assert.equal(JSON.stringify(ring.latest(1)[0]), text);
});

test('takes more candidates than a record lists by itself', () => {
  const records = columns(100).records();
  assert.deepEqual([records.length, records[99]?.worker, records[99]?.score], [100, 'http://w99', 99.333333]);
  assert.deepEqual(columns(0).records(), []);
});
