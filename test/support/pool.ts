import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { NO_BLOCKS, type PromptBlocks } from '../../src/routing/blocks.ts';
import { EXCLUDED } from '../../src/routing/policy.ts';
import type { Ask, CacheView, Choice, HashKey, LoadView, Policy, Pool } from '../../src/routing/policy.ts';
import { blocksFromHashIds } from '../../src/routing/hash-ids.ts';

interface Load {
  running: number;
  prefillTokens: number;
  rate: number;
  ramp: number;
}

/** A small fleet for policies: loads, caches and masks are set by hand. Slots and indices coincide unless said. */
export class FakeFleet {
  readonly clock = new VirtualClock();
  readonly random = seededRandom(7);
  readonly loads: LoadView = {
    running: (slot) => this.at(slot).running,
    prefillTokens: (slot) => this.at(slot).prefillTokens,
    kvTokens: () => 0,
    prefillRate: (slot) => this.at(slot).rate,
  };
  readonly cache: CacheView = {
    match: (_ask, slot) => ({ tokens: this.cached[slot] ?? 0, source: 'predicted' }),
  };
  /** Cached tokens of whatever prompt is asked about, by slot. */
  cached: number[] = [];
  readonly #loads: Load[] = [];

  get deps() {
    return { loads: this.loads, cache: this.cache, clock: this.clock, random: this.random };
  }

  at(slot: number): Load {
    return (this.#loads[slot] ??= { running: 0, prefillTokens: 0, rate: 8000, ramp: 1 });
  }

  pool(
    slots: number | readonly number[],
    options: { key?: string; generation?: number; masked?: readonly number[]; isRetry?: boolean } = {},
  ): Pool {
    const list = typeof slots === 'number' ? Array.from({ length: slots }, (_, slot) => slot) : slots;
    const mask = new Uint8Array(list.length);
    for (const index of options.masked ?? []) mask[index] = EXCLUDED.unhealthy;
    return {
      key: options.key ?? '',
      generation: options.generation ?? 1,
      members: list.map((slot) => ({ slot, id: workerId(slot) })),
      mask,
      eligible: mask.filter((reason) => reason === 0).length,
      isRetry: options.isRetry ?? false,
      ramp: (index) => this.at(list[index]!).ramp,
    };
  }
}

export function workerId(slot: number): string {
  return `http://10.0.0.${slot}:8000`;
}

export function askFor(blocks: PromptBlocks = NO_BLOCKS, key: Partial<HashKey> = {}): Ask {
  const hashKey = { source: 'header:x-session-id', value: 'session', sticky: true, ...key };
  return {
    ...{ model: 'm', stream: true },
    blocks: () => blocks,
    tokenIds: () => undefined,
    chain: (key) => (key === 'text' ? blocks : undefined),
    hashKey: () => hashKey,
  };
}

/** A prompt of that many tokens in blocks of 16, unlike any with another id. */
export function prompt(tokens: number, id = 1): PromptBlocks {
  const ids = Array.from({ length: Math.ceil(tokens / 16) }, (_, block) => id * 100_000 + block);
  return blocksFromHashIds(ids, 16, tokens);
}

/** Chooses and reports the choice as carried out, as the request path does. Throws when nobody was chosen. */
export function dispatch(policy: Policy, ask: Ask, pool: Pool): Extract<Choice, { kind: 'chosen' }> {
  const choice = policy.choose(ask, pool);
  if (choice.kind === 'none') throw new Error(choice.reason);
  const matchedTokens = choice.matchedTokens?.[choice.index] ?? 0;
  policy.observe?.({ type: 'dispatched', ask, slot: pool.members[choice.index]!.slot, matchedTokens });
  return choice;
}
