import type { PromptBlocks } from '../blocks.ts';
import type { Ask, CacheView, Member, PolicyDeps, Pool } from '../policy.ts';

/**
 * What a foreign policy gets to see of the router's own objects: what the types say, and nothing that hangs on them
 * otherwise (keys of workers, the parsed body, ways to change the ledger). The same object each time for the same request
 * and membership, so that both can be remembered by.
 */
export class PluginViews {
  readonly #asks = new WeakMap<Ask, Ask>();
  readonly #members = new WeakMap<readonly Member[], readonly Member[]>();

  ask(real: Ask): Ask {
    let view = this.#asks.get(real);
    if (!view) {
      const { model, stream } = real;
      view = {
        ...{ model, stream },
        blocks: () => real.blocks(),
        tokenIds: () => real.tokenIds(),
        chain: (key) => real.chain(key),
        hashKey: () => real.hashKey(),
      };
      this.#asks.set(real, view);
    }
    return view;
  }

  pool(real: Pool): Pool {
    let members = this.#members.get(real.members);
    if (!members) {
      members = Object.freeze(real.members.map(({ slot, id }) => Object.freeze({ slot, id })));
      this.#members.set(real.members, members);
    }
    const { key, generation, mask, eligible, isRetry } = real;
    const ramp = (index: number): number => real.ramp(index);
    return { key, generation, members, mask: mask.slice(), eligible, isRetry, ramp };
  }
}

const NOTHING_CACHED = { tokens: 0, source: 'none' } as const;

/** Plugins of before there was more to know than the prompt's text hand over its blocks. */
function asAsk(given: Ask | PromptBlocks): Ask {
  if (!('hashes' in given)) return given;
  return {
    ...{ model: '', stream: false },
    blocks: () => given,
    tokenIds: () => undefined,
    chain: (key) => (key === 'text' ? given : undefined),
    hashKey: () => ({ source: 'none', value: '', sticky: false }),
  };
}

/** The predicted index costs memory, and work for every request: it is opened only for a policy that asks for it. */
export function depsForPlugin(real: PolicyDeps): {
  readonly deps: PolicyDeps;
  readonly openCache: () => void;
} {
  const { loads, clock, random } = real;
  let cache: CacheView | undefined;
  return {
    deps: {
      clock,
      random,
      loads: {
        running: (slot) => loads.running(slot),
        prefillTokens: (slot) => loads.prefillTokens(slot),
        kvTokens: (slot) => loads.kvTokens(slot),
        prefillRate: (slot) => loads.prefillRate(slot),
      },
      cache: { match: (ask, slot) => cache?.match(asAsk(ask), slot) ?? NOTHING_CACHED },
    },
    openCache: () => {
      cache = real.cache;
    },
  };
}
