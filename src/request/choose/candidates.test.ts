import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EXCLUDED } from '../../routing/policy.ts';
import { describeCandidates } from './candidates.ts';
import type { Plan } from './plan.ts';
import type { Runtime } from '../runtime.ts';

const LEDGER = { running: () => 1, prefillTokens: () => 0 };

/** Just what `describeCandidates` reads of a runtime and a plan. */
function describe(
  scores: readonly number[],
  chosen: number,
  mask: readonly number[] = [],
): ReturnType<typeof describeCandidates> {
  const rt = { ledger: LEDGER } as unknown as Runtime;
  const plan = {
    index: chosen,
    legs: [{ uncachedTokens: 0 }],
    choice: { scores: Float64Array.from(scores) },
    pool: {
      members: scores.map((_, slot) => ({ slot, id: `http://w${slot}` })),
      mask: Uint8Array.from(scores, (_, index) => mask[index] ?? EXCLUDED.no),
      eligible: scores.length - mask.filter((state) => state !== EXCLUDED.no).length,
    },
  } as unknown as Plan;
  return describeCandidates(rt, plan);
}

test('a small pool is listed in full, best first, with the distance to the runner-up', () => {
  const { listed, rest, margin } = describe([3, 1, 2], 1);
  assert.deepEqual(
    listed.map(({ worker }) => worker),
    ['http://w1', 'http://w2', 'http://w0'],
  );
  assert.equal(rest, undefined);
  assert.equal(margin, 1);
});

test('of a large pool the best eight, the chosen and the tried are listed; the rest is summed up', () => {
  const scores = Array.from({ length: 20 }, (_, index) => index);
  const mask: number[] = [];
  mask[15] = EXCLUDED.tried;
  mask[18] = EXCLUDED.unhealthy;
  const { listed, rest } = describe(
    scores.map((score, index) => (index === 18 ? NaN : score)),
    12,
    mask,
  );
  assert.deepEqual(
    listed.map(({ worker }) => worker.slice('http://w'.length)),
    ['0', '1', '2', '3', '4', '5', '6', '7', '12', '15'],
  );
  assert.equal(listed.at(-1)?.state, 'tried');
  assert.deepEqual(rest, {
    count: 10,
    not_scored: 0,
    score_min: 8,
    score_median: 13,
    score_max: 19,
    excluded: { unhealthy: 1 },
  });
});

test('those that a policy gave no score are counted, and the scores told are those of the others', () => {
  const scores = Array.from({ length: 20 }, (_, index) => (index < 11 ? 20 - index : NaN));
  const { rest, margin } = describe(scores, 10, [EXCLUDED.no, EXCLUDED.draining]);
  assert.deepEqual(rest, {
    ...{ count: 12, not_scored: 9, score_min: 18, score_median: 19, score_max: 20 },
    excluded: { draining: 1 },
  });
  assert.equal(margin, 1);
});

test('the listed are the best scores, whatever the scores', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: false, min: 0, max: 1e6 }), { minLength: 1, maxLength: 40 }),
      (scores) => {
        const { listed, rest } = describe(scores, 0);
        assert.equal(listed.length + (rest?.count ?? 0), scores.length);
        const finite = scores.filter((score) => Number.isFinite(score)).toSorted((a, b) => a - b);
        const shown = listed.map(({ score }) => score).filter((score) => score !== undefined);
        const expected = finite.slice(0, Math.min(8, finite.length));
        for (const [index, score] of expected.entries()) {
          assert.ok(Math.abs((shown[index] ?? NaN) - score) <= 1e-6 * Math.max(1, score));
        }
      },
    ),
    { seed: 7 },
  );
});
