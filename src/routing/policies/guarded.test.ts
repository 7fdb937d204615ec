import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RouterError } from '../../base/errors.ts';
import type { PluginPolicySettings } from '../../config/settings/settings.ts';
import type { PluginPolicy } from '../../plugins/plugin.ts';
import { FakeFleet, askFor, dispatch, prompt } from '../../../test/support/pool.ts';
import { EXCLUDED, type Choice, type PluginTrouble, type Policy, type PolicyDeps } from '../policy.ts';
import { createPolicy } from './index.ts';

const OK = { kind: 'chosen', index: 1, reason: 'mine' } as const;

interface Guarded {
  readonly fleet: FakeFleet;
  readonly policy: Policy;
  readonly troubles: PluginTrouble[];
  readonly deps: PolicyDeps[];
}

/** `plugin` under guard, with `fallback` behind it; the third member of its pools is unhealthy unless said. */
function guard(
  plugin: PluginPolicy | (() => PluginPolicy),
  fields: Partial<PluginPolicySettings> = {},
): Guarded {
  const fleet = new FakeFleet();
  const troubles: PluginTrouble[] = [];
  const deps: PolicyDeps[] = [];
  const create = (_parameters: unknown, given: PolicyDeps): PluginPolicy => {
    deps.push(given);
    return typeof plugin === 'function' ? plugin() : plugin;
  };
  const policy = createPolicy(
    {
      ...{ type: 'plugin', name: 'mine', plugin: { create }, parameters: undefined },
      ...{ fallback: { type: 'round_robin' }, timeoutMs: 50, overrunMs: 10 },
      ...fields,
    },
    fleet.deps,
    (trouble) => troubles.push(trouble),
  );
  return { fleet, policy, troubles, deps };
}

function kinds(troubles: readonly PluginTrouble[]): string[] {
  return troubles.map(({ kind }) => kind);
}

/** Whatever a plugin without types may return. */
const returning = (value: unknown): PluginPolicy => ({ choose: () => value as Choice });

describe('a plugin that answers as it should', () => {
  it('decides, under its own name and with its own scores', () => {
    const scores = Float64Array.of(2, 1, NaN);
    const { fleet, policy, troubles } = guard({ choose: () => ({ ...OK, scores }) });
    const choice = policy.choose(askFor(), fleet.pool(3, { masked: [2] }));
    assert.deepEqual(choice, { ...OK, scores });
    assert.equal(policy.name, 'mine');
    assert.deepEqual(troubles, []);
  });

  it('is told what was sent and who left, and so is its fallback', () => {
    const seen: unknown[] = [];
    const { fleet, policy } = guard({
      choose: () => OK,
      observe: (event) => seen.push([event.type, event.slot]),
    });
    dispatch(policy, askFor(), fleet.pool(3));
    policy.observe?.({ type: 'left', slot: 2 });
    assert.deepEqual(seen, [
      ['dispatched', 1],
      ['left', 2],
    ]);
  });

  it('keeps its fallback up to date: it knows who was sent what', () => {
    let broken = false;
    const { fleet, policy } = guard(
      { choose: () => (broken ? assert.fail('broken') : { ...OK, index: 0 }) },
      { fallback: { type: 'least_work', theta: 0.3 } },
    );
    dispatch(policy, askFor(prompt(64, 1)), fleet.pool(2));
    broken = true;
    // Of equals the one whose last cold prompt is longest ago.
    assert.equal(dispatch(policy, askFor(prompt(64, 2)), fleet.pool(2)).index, 1);
  });

  it('keeps the index only where it or its fallback asks for it, and sees none otherwise', () => {
    for (const [needs, fallback, kept] of [
      [undefined, { type: 'random' }, false],
      [{ cache: true }, { type: 'random' }, true],
      [undefined, { type: 'least_work', theta: 0.3 }, true],
    ] as const) {
      const { fleet, policy, deps } = guard({ choose: () => OK, ...(needs && { needs }) }, { fallback });
      fleet.cached = [0, 64];
      assert.equal(policy.needs.cache, kept);
      assert.equal(deps[0]?.cache.match(askFor(prompt(64)), 1).tokens, needs ? 64 : 0);
    }
  });
});

describe('what a plugin gets to see', () => {
  it('is nothing that the types do not name', () => {
    const pools: object[] = [];
    const { fleet, policy, deps } = guard({
      choose: (ask, pool) => {
        pools.push(...pool.members, pool, ask);
        return OK;
      },
    });
    const real = fleet.pool(2);
    const members = real.members.map((member) => ({ ...member, spec: { apiKey: 'secret' } }));
    policy.choose({ ...askFor(), body: 'text' } as ReturnType<typeof askFor>, { ...real, members });
    assert.deepEqual(
      pools.map((object) => Object.keys(object).sort().join()),
      [
        'id,slot',
        'id,slot',
        'eligible,generation,isRetry,key,mask,members,ramp',
        'blocks,chain,hashKey,model,stream,tokenIds',
      ],
    );
    assert.deepEqual(Object.keys(deps[0]?.loads ?? {}).sort(), [
      ...['kvTokens', 'prefillRate', 'prefillTokens', 'running'],
    ]);
  });

  it('is the same object for the same request and membership', () => {
    const asks: unknown[] = [];
    const members: unknown[] = [];
    const { fleet, policy } = guard({
      choose: (ask, pool) => {
        asks.push(ask);
        members.push(pool.members);
        return OK;
      },
      observe: (event) => event.type === 'dispatched' && asks.push(event.ask),
    });
    const pool = fleet.pool(2);
    const ask = askFor();
    dispatch(policy, ask, pool);
    policy.choose(ask, { ...pool, mask: new Uint8Array(2) });
    assert.equal(new Set(asks).size, 1);
    assert.equal(new Set(members).size, 1);
  });

  it('cannot be used to lift an exclusion', () => {
    const { fleet, policy, troubles } = guard({
      choose: (_ask, pool) => {
        pool.mask[1] = EXCLUDED.no;
        return OK;
      },
    });
    const pool = fleet.pool(2, { masked: [1] });
    assert.equal((policy.choose(askFor(), pool) as { index: number }).index, 0);
    assert.equal(pool.mask[1], EXCLUDED.unhealthy);
    assert.deepEqual(kinds(troubles), ['invalid']);
  });
});

describe('a plugin that does not answer as it should', () => {
  const long = new Float64Array(4);
  const cases: readonly (readonly [string, unknown])[] = [
    ['nothing', undefined],
    ['null', null],
    ['an index alone', 1],
    ['nobody, although somebody is there', { kind: 'none', reason: 'no' }],
    ['another kind', { ...OK, kind: 'picked' }],
    ['NaN', { ...OK, index: NaN }],
    ['a fraction', { ...OK, index: 0.5 }],
    ['a text', { ...OK, index: '1' }],
    ['a negative index', { ...OK, index: -1 }],
    ['an index beyond the pool', { ...OK, index: 3 }],
    ['a masked member', { ...OK, index: 2 }],
    ['no reason', { ...OK, reason: undefined }],
    ['a reason for a header injection', { ...OK, reason: 'x\r\ny' }],
    ['scores of another length', { ...OK, scores: long }],
    ['scores that are no typed array', { ...OK, scores: [1, 2, 3] }],
    ['negative tokens', { ...OK, matchedTokens: Float64Array.of(0, -1, 0) }],
    ['endless tokens', { ...OK, matchedTokens: Float64Array.of(0, Infinity, 0) }],
    ['a promise', Promise.resolve(OK)],
  ];
  for (const [what, value] of cases) {
    it(`the fallback chooses where it returns ${what}`, () => {
      const { fleet, policy, troubles } = guard(returning(value));
      const pool = fleet.pool(3, { masked: [2] });
      const choice = policy.choose(askFor(), pool);
      assert.ok(choice.kind === 'chosen');
      assert.equal(choice.reason, 'next_in_turn');
      assert.deepEqual(choice.fallback, { policy: 'round_robin', cause: 'invalid' });
      assert.deepEqual(kinds(troubles), ['invalid']);
    });
  }

  it('the fallback chooses where it throws', () => {
    const error = new Error('broken');
    const { fleet, policy, troubles } = guard({
      choose: () => {
        throw error;
      },
    });
    const choice = policy.choose(askFor(), fleet.pool(3));
    assert.deepEqual(choice.kind === 'chosen' && choice.fallback, { policy: 'round_robin', cause: 'threw' });
    assert.deepEqual(troubles, [{ plugin: 'mine', kind: 'threw', message: 'choose threw', error }]);
  });

  it('a body that cannot be read is the client’s fault, and stays an error', () => {
    const { fleet, policy, troubles } = guard({ choose: (ask) => (ask.blocks(), OK) });
    const ask = {
      ...askFor(),
      blocks: () => {
        throw new RouterError('invalid_json', 'nested too deeply');
      },
    };
    assert.throws(() => policy.choose(ask, fleet.pool(3)), RouterError);
    assert.deepEqual(troubles, []);
  });

  it('neither is it the fault of what looks something up', async () => {
    const { fleet, policy, troubles } = guard({ prepare: async (ask) => ask.blocks(), choose: () => OK });
    const blocks = (): never => {
      throw new RouterError('invalid_json', 'nested too deeply');
    };
    await policy.prepare?.({ ...askFor(), blocks }, fleet.pool(3), new AbortController().signal);
    assert.deepEqual(troubles, []);
  });

  it('a promise that is rejected is counted and does not end the process', async () => {
    const { fleet, policy, troubles } = guard({
      choose: (() => Promise.reject(new Error('late'))) as unknown as PluginPolicy['choose'],
      observe: (() => Promise.reject(new Error('later'))) as unknown as () => void,
    });
    policy.choose(askFor(), fleet.pool(2));
    policy.observe?.({ type: 'left', slot: 0 });
    await turn();
    assert.deepEqual(
      troubles.map(({ kind, message }) => `${kind} ${message}`),
      ['invalid choose returned a promise', 'threw choose rejected', 'threw observe rejected'],
    );
  });

  it('observe that throws is counted and goes no further', () => {
    const { policy, troubles } = guard({
      choose: () => OK,
      observe: () => {
        throw new Error('broken');
      },
    });
    policy.observe?.({ type: 'left', slot: 0 });
    assert.deepEqual(kinds(troubles), ['threw']);
  });

  it('create that throws leaves the fallback alone in charge', () => {
    const { fleet, policy, troubles } = guard(() => {
      throw new Error('no');
    });
    for (let i = 0; i < 3; i += 1) {
      const choice = policy.choose(askFor(), fleet.pool(3));
      assert.deepEqual(choice.kind === 'chosen' && choice.fallback?.cause, 'threw');
    }
    assert.deepEqual(
      troubles.map(({ message, disabled }) => [message, disabled]),
      [['create threw', true]],
    );
  });

  it('nobody is asked where nobody may be chosen', () => {
    let asked = 0;
    const { fleet, policy } = guard({ choose: () => ((asked += 1), OK) });
    assert.equal(policy.choose(askFor(), fleet.pool(1, { masked: [0] })).kind, 'none');
    assert.equal(asked, 0);
  });

  it('a dry run counts nothing', () => {
    const { fleet, policy, troubles } = guard(returning('nonsense'));
    const choice = policy.peek?.(askFor(), fleet.pool(3));
    assert.deepEqual(choice?.kind === 'chosen' && choice.fallback?.cause, 'invalid');
    const own = guard({ choose: () => OK, peek: () => ({ ...OK, reason: 'peeked' }) });
    assert.equal(own.policy.peek?.(askFor(), own.fleet.pool(3)).reason, 'peeked');
    assert.deepEqual([...troubles, ...own.troubles], []);
  });
});

describe('a plugin that holds the process up', () => {
  function slow(takes: () => number): Guarded {
    const guarded: Guarded = guard({
      choose: () => {
        guarded.fleet.clock.advance(takes());
        return OK;
      },
    });
    return guarded;
  }

  it('is not asked any more after the third overrun, and until then what it says counts', () => {
    const { fleet, policy, troubles } = slow(() => 10.5);
    const causes = Array.from({ length: 5 }, () => {
      const choice = policy.choose(askFor(), fleet.pool(3));
      return choice.kind === 'chosen' ? choice.fallback?.cause : 'none';
    });
    assert.deepEqual(causes, [undefined, undefined, undefined, 'overrun', 'overrun']);
    assert.deepEqual(
      troubles.map(({ kind, disabled }) => [kind, disabled]),
      [
        ['overrun', undefined],
        ['overrun', undefined],
        ['overrun', true],
      ],
    );
  });

  it('may do so now and then, and up to its limit always', () => {
    let takes = 10;
    const { fleet, policy, troubles } = slow(() => takes);
    for (let i = 0; i < 10; i += 1) policy.choose(askFor(), fleet.pool(3));
    assert.deepEqual(troubles, []);
    takes = 500;
    for (let i = 0; i < 10; i += 1) {
      policy.choose(askFor(), fleet.pool(3));
      fleet.clock.advance(31_000);
    }
    assert.equal(troubles.length, 10);
    assert.ok(troubles.every(({ disabled }) => disabled === undefined));
  });

  it('may do so once in many calls: then it is the machine that holds it up', () => {
    let call = 0;
    const { fleet, policy, troubles } = slow(() => (call++ % 150 === 0 ? 20 : 0));
    for (let i = 0; i < 1500; i += 1) policy.choose(askFor(), fleet.pool(3));
    assert.equal(troubles.length, 10);
    assert.ok(troubles.every(({ disabled }) => disabled === undefined));
  });

  it('is measured in observe and in the part of prepare that runs at once', async () => {
    const guarded: Guarded = guard({
      prepare: async () => {
        guarded.fleet.clock.advance(20);
      },
      choose: () => OK,
      observe: () => guarded.fleet.clock.advance(20),
    });
    const { fleet, policy, troubles } = guarded;
    await policy.prepare?.(askFor(), fleet.pool(2), new AbortController().signal);
    policy.observe?.({ type: 'left', slot: 0 });
    policy.observe?.({ type: 'left', slot: 0 });
    assert.deepEqual(kinds(troubles), ['overrun', 'overrun', 'overrun']);
    assert.equal(troubles.at(-1)?.disabled, true);
  });
});

describe('what a plugin looks up', () => {
  const signal = new AbortController().signal;

  function choose({ policy, fleet }: Guarded, prepared: unknown): string {
    const choice = policy.choose(askFor(), fleet.pool(3), prepared);
    if (choice.kind === 'none') return 'none';
    return choice.fallback?.cause ?? choice.reason;
  }

  it('is handed to its choice, also more than once', async () => {
    const seen: unknown[] = [];
    const guarded = guard({
      prepare: async () => 'known',
      choose: (_ask, _pool, knowledge) => {
        seen.push(knowledge);
        return OK;
      },
    });
    const prepared = await guarded.policy.prepare?.(askFor(), guarded.fleet.pool(3), signal);
    assert.deepEqual([choose(guarded, prepared), choose(guarded, prepared)], ['mine', 'mine']);
    assert.deepEqual(seen, ['known', 'known']);
    assert.equal(guarded.fleet.clock.pending, 0);
  });

  it('is cut at its time, and told so', async () => {
    let cut: AbortSignal | undefined;
    const guarded = guard({
      prepare: (_ask, _pool, context) => {
        cut = context.signal;
        return new Promise(() => undefined);
      },
      choose: () => OK,
    });
    const { policy, fleet, troubles } = guarded;
    const preparing = policy.prepare?.(askFor(), fleet.pool(3), signal);
    fleet.clock.advance(49);
    assert.equal(cut?.aborted, false);
    fleet.clock.advance(1);
    assert.equal(cut?.aborted, true);
    assert.equal(choose(guarded, await preparing), 'timeout');
    assert.deepEqual(kinds(troubles), ['timeout']);
  });

  it('that fails, at once or later, leaves the choice to the fallback', async () => {
    for (const prepare of [
      () => Promise.reject(new Error('gone')),
      () => {
        throw new Error('gone');
      },
    ]) {
      const guarded = guard({ prepare, choose: () => OK });
      const prepared = await guarded.policy.prepare?.(askFor(), guarded.fleet.pool(3), signal);
      assert.equal(choose(guarded, prepared), 'threw');
      assert.deepEqual(kinds(guarded.troubles), ['threw']);
    }
  });

  it('ends with the request, which is no failure of the plugin', async () => {
    const outer = new AbortController();
    let cut: AbortSignal | undefined;
    const { policy, fleet, troubles } = guard({
      prepare: async (_ask, _pool, context) => {
        cut = context.signal;
        await new Promise((_resolve, reject) => {
          context.signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        });
      },
      choose: () => OK,
    });
    const preparing = policy.prepare?.(askFor(), fleet.pool(3), outer.signal);
    outer.abort();
    await preparing;
    await turn();
    assert.equal(cut?.aborted, true);
    assert.deepEqual([troubles, fleet.clock.pending], [[], 0]);
  });

  it('does not pile up where a plugin goes on after its time', async () => {
    let begun = 0;
    const letGo: (() => void)[] = [];
    const { policy, fleet, troubles } = guard({
      prepare: () => {
        begun += 1;
        return new Promise((resolve) => letGo.push(() => resolve(undefined)));
      },
      choose: () => OK,
    });
    for (let i = 0; i < 1100; i += 1) {
      const preparing = policy.prepare?.(askFor(), fleet.pool(3), signal);
      fleet.clock.advance(50);
      await preparing;
    }
    assert.equal(begun, 1024);
    assert.equal(troubles.length, 1100);
    letGo.forEach((resolve) => resolve());
    await turn();
    void policy.prepare?.(askFor(), fleet.pool(3), signal);
    assert.equal(begun, 1025);
  });

  it('is not waited for where there is nothing to look up', () => {
    assert.equal(typeof guard({ choose: () => OK }).policy.prepare, 'undefined');
  });
});
