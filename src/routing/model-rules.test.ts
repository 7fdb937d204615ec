import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from '../base/random.ts';
import { modelRuleSettings } from '../config/settings/model-rules-settings.ts';
import { applyModelRules } from './model-rules.ts';

type Rules = Parameters<typeof modelRuleSettings>[0];

interface Facts {
  readonly served?: readonly string[];
  readonly session?: string;
  readonly random?: () => number;
}

function decide(rules: Rules, asked: string, facts: Facts = {}) {
  const compiled = modelRuleSettings(rules);
  assert.ok(compiled);
  return applyModelRules(compiled, asked, {
    isServed: (model) => facts.served?.includes(model) ?? true,
    sessionKey: () => facts.session,
    random: facts.random ?? (() => 0.5),
  });
}

test('no rules are no settings: nothing is asked of them', () => {
  assert.equal(modelRuleSettings([]), undefined);
});

test('exact names and beginnings of names, in the order of the file', () => {
  const rules = [
    { match: 'openai/gpt-4', rewrite: 'first' },
    { match: 'openai/*', rewrite: 'second' },
    { match: 'openai/gpt-5', rewrite: 'never' },
    { match: '*', rewrite: 'rest' },
  ];
  for (const [asked, model, rule] of [
    ['openai/gpt-4', 'first', 'openai/gpt-4'],
    ['openai/gpt-5', 'second', 'openai/*'],
    ['openai/', 'second', 'openai/*'],
    ['openai', 'rest', '*'],
    ['OPENAI/gpt-4', 'rest', '*'],
  ]) {
    assert.deepEqual(decide(rules, asked ?? ''), { model, rule, missed: undefined }, asked);
  }
});

test('what a rule leads to is not matched again', () => {
  const rules = [
    { match: 'a', rewrite: 'b' },
    { match: 'b', rewrite: 'a' },
    { match: 'c*', rewrite: 'cc' },
  ];
  assert.equal(decide(rules, 'a').model, 'b');
  assert.equal(decide(rules, 'b').model, 'a');
  assert.equal(decide(rules, 'cc').model, 'cc');
});

test('a rewrite asks for no worker; both given, the rewrite counts', () => {
  const rules = [{ match: 'a', rewrite: 'b', fallback: ['c'] }];
  assert.equal(decide(rules, 'a', { served: [] }).model, 'b');
});

test('a fallback takes its first model with a worker, then the next rule is tried, then the name passes', () => {
  const rules = [
    { match: 'm', fallback: ['one', 'two'] },
    { match: 'm*', fallback: ['three'] },
  ];
  for (const [served, model, rule, missed] of [
    [['one', 'two', 'three'], 'one', 'm', undefined],
    [['two', 'three'], 'two', 'm', undefined],
    [['three'], 'three', 'm*', 'm'],
    [[], 'm', undefined, 'm*'],
    [['m'], 'm', undefined, 'm*'],
  ] as const) {
    assert.deepEqual(decide(rules, 'm', { served }), { model, rule, missed });
  }
});

test('a name may stand in its own fallback', () => {
  const rules = [{ match: 'big', fallback: ['big', 'small'] }];
  assert.equal(decide(rules, 'big').model, 'big');
  assert.equal(decide(rules, 'big', { served: ['small'] }).model, 'small');
});

test('the first rule of the file that can decides, whatever the rules', () => {
  const names = ['a', 'ab', 'abc', 'b', 'x'];
  const match = fc.constantFrom('a', 'ab', 'abc', 'b', '*', 'a*', 'ab*', 'b*');
  const target = fc.constantFrom('t1', 't2', 't3');
  const rule = fc.oneof(
    fc.record({ match, rewrite: target }),
    fc.record({ match, fallback: fc.array(target, { minLength: 1, maxLength: 3 }) }),
  );
  fc.assert(
    fc.property(
      fc.uniqueArray(rule, { selector: (one) => one.match, minLength: 1, maxLength: 6 }),
      fc.constantFrom(...names),
      fc.subarray(['t1', 't2', 't3']),
      (rules, asked, served) => {
        let expected = asked;
        for (const one of rules) {
          const matches = one.match.endsWith('*')
            ? asked.startsWith(one.match.slice(0, -1))
            : asked === one.match;
          if (!matches) continue;
          const model = 'rewrite' in one ? one.rewrite : one.fallback.find((name) => served.includes(name));
          if (model === undefined) continue;
          expected = model;
          break;
        }
        assert.equal(decide(rules, asked, { served }).model, expected);
      },
    ),
    { seed: 7, numRuns: 500 },
  );
});

const CANARY = [
  {
    match: 'm',
    split: [
      { model: 'stable', weight: 90 },
      { model: 'canary', weight: 10 },
    ],
  },
];

function sharesOf(rules: Rules, facts: (turn: number) => Facts): ReadonlyMap<string, number> {
  const shares = new Map<string, number>();
  for (let turn = 0; turn < 10_000; turn += 1) {
    const { model } = decide(rules, 'm', facts(turn));
    shares.set(model, (shares.get(model) ?? 0) + 1 / 10_000);
  }
  return shares;
}

test('a split keeps its proportions, by session and by chance', () => {
  const random = seededRandom(1);
  for (const shares of [
    sharesOf(CANARY, () => ({ random })),
    sharesOf(CANARY, (turn) => ({ session: `session-${turn}` })),
  ]) {
    assert.ok(Math.abs((shares.get('canary') ?? 0) - 0.1) < 0.012, `${shares.get('canary')}`);
    assert.equal(shares.size, 2);
  }
});

test('a session keeps its model, and moves only when the weights or the workers make it', () => {
  const wider = [
    {
      match: 'm',
      split: [
        { model: 'stable', weight: 90 },
        { model: 'canary', weight: 30 },
      ],
    },
  ];
  for (let turn = 0; turn < 2_000; turn += 1) {
    const facts = { session: `session-${turn}` };
    const before = decide(CANARY, 'm', facts).model;
    assert.equal(decide(CANARY, 'm', { ...facts, random: Math.random }).model, before);
    // More weight for the canary takes sessions from the other, and none away from the canary.
    if (before === 'canary') assert.equal(decide(wider, 'm', facts).model, 'canary');
    assert.equal(decide(CANARY, 'm', { ...facts, served: [before] }).model, before);
    const other = before === 'canary' ? 'stable' : 'canary';
    assert.equal(decide(CANARY, 'm', { ...facts, served: [other] }).model, other);
  }
  assert.deepEqual(decide(CANARY, 'm', { served: [] }), { model: 'm', rule: undefined, missed: 'm' });
});
