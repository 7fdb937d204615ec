import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICIES } from '../../routing/policies/index.ts';
import { BASELINES } from '../baselines/index.ts';
import { contendersOf, parseContenders } from './contenders.ts';
import { SIMULATE_DEFAULTS, type SimulateOptions } from './options.ts';

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

describe('what is compared where requests may be split', () => {
  const of = (options: Partial<SimulateOptions>) =>
    contendersOf({ ...SIMULATE_DEFAULTS, prefill: 1, decode: 1, policies: ['pair_cost'], ...options });
  const namesOf = (options: Partial<SimulateOptions>): readonly string[] | string => {
    const all = of(options);
    return typeof all === 'string' ? all : all.map(({ name }) => name);
  };

  it('is every policy with every rule', () => {
    assert.deepEqual(namesOf({}), ['pair_cost']);
    const both = { policies: ['pair_cost', 'random'], splits: ['auto', 'never', 64] as const };
    assert.deepEqual(namesOf(both), [
      ...['pair_cost auto', 'random auto', 'pair_cost never', 'random never'],
      ...['pair_cost 64', 'random 64'],
    ]);
    assert.equal(namesOf({ policies: ['rundom'] }), 'unknown policy rundom; did you mean random?');
    assert.equal(namesOf({ decodePolicy: 'rundom' }), 'unknown policy rundom; did you mean random?');
  });

  it('lets a policy that is named choose both halves, but for those that have their own', () => {
    const stages = (options: Partial<SimulateOptions>): readonly boolean[] => {
      const all = of(options);
      assert.ok(typeof all !== 'string');
      const { pairs, policy } = all[0] ?? {};
      return [pairs?.prefillPolicy, pairs?.decodePolicy].map((one) => one !== undefined && one === policy);
    };
    assert.deepEqual(stages({}), [false, false]);
    assert.deepEqual(stages({ policies: ['random'] }), [true, true]);
    assert.deepEqual(stages({ policies: ['random'], decodePolicy: 'round_robin' }), [true, false]);
  });

  it('is the policies alone where requests are not split', () => {
    const all = contendersOf(SIMULATE_DEFAULTS);
    assert.ok(typeof all !== 'string' && all.every(({ pairs }) => pairs === undefined));
    const without = contendersOf({ ...SIMULATE_DEFAULTS, policies: ['pair_cost'] });
    assert.equal(without, 'unknown policy pair_cost');
  });
});
