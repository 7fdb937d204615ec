import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICIES } from '../../routing/policies/index.ts';
import { BASELINES } from '../baselines/index.ts';
import { parseContenders } from './contenders.ts';

const names = (...list: string[]): readonly string[] | string => {
  const parsed = parseContenders(list);
  return typeof parsed === 'string' ? parsed : parsed.map(({ name }) => name);
};

describe('--policies', () => {
  it('names policies and formulas, in order and each once', () => {
    assert.deepEqual(names('least_work', 'vllm_dp', 'least_work'), ['least_work', 'vllm_dp']);
    assert.deepEqual(names('baselines'), Object.keys(BASELINES));
    assert.deepEqual(names('all'), [...Object.keys(POLICIES), ...Object.keys(BASELINES)]);
  });

  it('takes parameters, which make another contender of a policy', () => {
    const [key, other] = [
      'cache_aware:balance_abs_threshold=8',
      'cache_aware:balance_abs_threshold=8;cache_threshold=0.4',
    ];
    assert.deepEqual(names('cache_aware', key, other), ['cache_aware', key, other]);
  });

  it('says what is wrong', () => {
    assert.equal(names('least_wrok'), 'unknown policy least_wrok; did you mean least_work?');
    assert.match(String(names('nothing_like_it')), /^unknown policy nothing_like_it/);
    assert.match(String(names('constructor')), /^unknown policy constructor/);
    assert.match(String(names('vllm_dp:weight=4')), /has no parameters/);
    assert.match(
      String(names('cache_aware:cache_threshold=2')),
      /^cache_aware:cache_threshold=2: .*cache_threshold/,
    );
    assert.match(String(names('cache_aware:no_such=2')), /no_such/);
  });
});
