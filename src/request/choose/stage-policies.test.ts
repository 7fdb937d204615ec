import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicySettings } from '../../config/settings/settings.ts';
import type { Policy } from '../../routing/policy.ts';
import { StagePolicies, type StageSettings, type WholePolicies } from './stage-policies.ts';

const RANDOM: PolicySettings = { type: 'random' };
const TURNS: PolicySettings = { type: 'round_robin' };
const NONE: StageSettings = { prefillPolicy: undefined, decodePolicy: undefined, policyNamed: false };

function instance(settings: PolicySettings, scope = ''): { settings: PolicySettings; policy: Policy } {
  // Nobody chooses here: the name is all that is looked at.
  return { settings, policy: { name: `${settings.type} ${scope}`.trim() } as Policy };
}

function bench(settings: Partial<StageSettings> = {}) {
  const made: string[] = [];
  const stages = new StagePolicies({ ...NONE, ...settings }, (one, scope) => {
    made.push(`${one.type} ${scope}`);
    return instance(one, scope);
  });
  const whole = (own?: PolicySettings): WholePolicies => ({
    own: own && instance(own),
    default: instance(RANDOM),
  });
  const names = (own?: PolicySettings): (string | undefined)[] =>
    (['prefill', 'decode'] as const).map((stage) => stages.policyFor(stage, whole(own))?.name);
  return { stages, whole, names, made };
}

describe('the policies of the two halves', () => {
  it('are none where nobody has named one', () => {
    const { names, made } = bench();
    assert.deepEqual(names(), [undefined, undefined]);
    assert.deepEqual(made, []);
  });

  it('are those of the stage, before those of the model, before the default one that was named', () => {
    assert.deepEqual(bench({ policyNamed: true }).names(), ['random prefill', 'random decode']);
    const { names } = bench({ policyNamed: true, prefillPolicy: TURNS });
    assert.deepEqual(names(), ['round_robin prefill', 'random decode']);
    assert.deepEqual(names(TURNS), ['round_robin prefill', 'round_robin decode']);
    assert.deepEqual(bench().names(TURNS), ['round_robin prefill', 'round_robin decode']);
  });

  it('can be left to the cost of pairs, whatever is named', () => {
    const pairs = { type: 'pair_cost' } as const;
    assert.deepEqual(bench({ policyNamed: true, decodePolicy: pairs }).names(TURNS), [
      'round_robin prefill',
      undefined,
    ]);
  });

  it('are made once each, with a memory of their own', () => {
    const { stages, whole, made } = bench({ policyNamed: true });
    const [prefill, again] = [stages.policyFor('prefill', whole()), stages.policyFor('prefill', whole())];
    assert.equal(prefill, again);
    // The same policy, as a reload reads it anew.
    const equal = stages.policyFor('prefill', { own: undefined, default: instance({ type: 'random' }) });
    assert.equal(equal, prefill);
    assert.notEqual(stages.policyFor('decode', whole()), prefill);
    assert.deepEqual(made, ['random prefill', 'random decode']);
  });

  it('are switched, and back', () => {
    const { stages, names } = bench({ prefillPolicy: TURNS });
    assert.equal(stages.switchTo('prefill', TURNS), false);
    assert.equal(stages.switchTo('prefill', RANDOM), true);
    assert.equal(stages.switchTo('decode', TURNS), true);
    assert.deepEqual(names(), ['random prefill', 'round_robin decode']);
    assert.equal(stages.switchTo('prefill', undefined), true);
    assert.equal(stages.switchTo('decode', undefined), true);
    assert.deepEqual(names(), ['round_robin prefill', undefined]);
    stages.followDefault();
    assert.deepEqual(names(), ['round_robin prefill', 'random decode']);
    stages.reconfigure(NONE);
    assert.deepEqual(names(), [undefined, undefined]);
  });

  it('are forgotten when nobody is chosen by them any more', () => {
    const { stages, names, made } = bench({ policyNamed: true, prefillPolicy: TURNS });
    names();
    stages.dropUnused([RANDOM]);
    assert.equal(stages.instances().length, 2);
    stages.reconfigure({ ...NONE, policyNamed: true });
    stages.dropUnused([RANDOM]);
    assert.deepEqual(
      stages.instances().map(({ policy }) => policy.name),
      ['random decode'],
    );
    names();
    assert.deepEqual(made, ['round_robin prefill', 'random decode', 'random prefill']);
  });
});
