import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { columnsOf } from '../../test/support/pool-columns.ts';
import { bestWhole, chooseSplit, wholeAt, wholeSeconds } from './split.ts';

const ask = { promptTokens: 4000, answerTokens: 100, theta: 0.3 };
const whole = { index: 0, seconds: 1, uncachedTokens: 600 };
const pair = { seconds: 2 };

describe('a whole run', () => {
  it('costs what least_work says, and what its place and its answer cost there', () => {
    const columns = columnsOf({ prefillTokens: 2000, running: 4, saved: 3000 });
    const leastWork = (2000 + 1000) / 8000 + (0.3 * 1000 * 4) / 8000;
    const place = (1000 * (1 + 0.3 * 4)) / 8000;
    const answer = (0.3 * 2 * 100 * 4 * 3) / 8000;
    assert.ok(Math.abs(wholeSeconds(ask, columns, 0) - leastWork - place - answer) < 1e-12);
  });

  it('goes where it costs least of those that may be chosen', () => {
    const columns = columnsOf(
      { saved: NaN },
      { running: 40 },
      { prefillTokens: 900 },
      { running: 9, saved: 500 },
    );
    assert.equal(bestWhole(ask, columns)?.index, 2);
    assert.deepEqual(bestWhole(ask, columnsOf({ saved: NaN })), undefined);
    assert.equal(wholeAt(ask, columns, 3).uncachedTokens, 3500);
  });
});

describe('whether to split', () => {
  it('is said by the rule', () => {
    assert.deepEqual(chooseSplit({ kind: 'always' }, { pair, whole }), {
      ...{ split: true, reason: 'always', pairSeconds: 2, wholeSeconds: 1 },
    });
    assert.deepEqual(chooseSplit({ kind: 'never' }, { pair, whole }), {
      ...{ split: false, reason: 'never', pairSeconds: 2, wholeSeconds: 1 },
    });
    assert.equal(chooseSplit({ kind: 'auto' }, { pair, whole }).reason, 'whole_sooner');
    assert.equal(chooseSplit({ kind: 'auto' }, { pair: { seconds: 0.5 }, whole }).reason, 'pair_sooner');
    assert.equal(chooseSplit({ kind: 'threshold', tokens: 600 }, { pair, whole }).reason, 'long');
    assert.equal(chooseSplit({ kind: 'threshold', tokens: 601 }, { pair, whole }).reason, 'short');
  });

  it('is no question where one of the two is not to be had', () => {
    for (const rule of [{ kind: 'always' }, { kind: 'auto' }, { kind: 'threshold', tokens: 0 }] as const) {
      const noPair = chooseSplit(rule, { pair: undefined, whole });
      assert.deepEqual([noPair.split, noPair.reason], [false, 'no_pair']);
      assert.equal(chooseSplit(rule, { pair, whole: undefined }).split, true);
      assert.equal(chooseSplit(rule, { pair: undefined, whole: undefined }).split, false);
    }
  });
});
