import { hash53 } from '../../base/hash.ts';
import { HashRing } from '../../routing/hash-ring.ts';
import { isEligible, NOBODY } from '../../routing/eligible.ts';
import type { PromptBlocks } from '../../routing/blocks.ts';
import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';

const VIRTUAL_NODES = 160;
const LOAD_FACTOR = 1.25;

/** Tokens of the prompt's beginning that KubeAI's and SMG's routers hash. */
const PREFIX_TOKENS = 256;

/** A hash of the first `blocks` blocks of the prompt; of a shorter prompt, of all of it and its length. */
function prefixKey(ask: Ask, blocks: number, salt: string): number {
  const { hashes, count, totalTokens } = ask.blocks();
  const last = Math.min(blocks, count) - 1;
  if (last < 0) return hash53(`${salt}:${String(totalTokens)}`);
  return hash53(`${salt}:${String(hashes[2 * last])}:${String(hashes[2 * last + 1])}`);
}

abstract class RingBaseline extends Baseline {
  #ring: HashRing | undefined;
  #generation = -1;

  protected ringOf(pool: Pool): HashRing {
    if (this.#ring === undefined || this.#generation !== pool.generation) {
      this.#ring = new HashRing(pool.members, VIRTUAL_NODES, this.#ring);
      this.#generation = pool.generation;
    }
    return this.#ring;
  }
}

/**
 * Consistent hashing with bounded loads on the prompt's beginning (KubeAI, SMG's `prefix_hash`): the first worker on the
 * ring whose load stays within 1.25 times the mean. Their key is the first 100 characters or 256 tokens; here it is the
 * blocks of the first 256 tokens, at least one.
 */
export class BoundedLoadPrefixHash extends RingBaseline {
  readonly name = 'bounded_load_prefix_hash';

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const { loads } = this.deps;
    let total = 1;
    for (const [index, { slot }] of pool.members.entries())
      if (isEligible(pool, index)) total += loads.running(slot);
    const bound = Math.ceil((LOAD_FACTOR * total) / pool.eligible);
    const accepts = (index: number): boolean =>
      isEligible(pool, index) && loads.running(pool.members[index]?.slot ?? 0) + 1 <= bound;
    const key = prefixKey(ask, Math.ceil(PREFIX_TOKENS / ask.blocks().tokensPerBlock), 'prefix');
    const index = this.ringOf(pool).find(key, accepts);
    if (index >= 0) return { kind: 'chosen', index, reason: 'within_bound' };
    const any = this.ringOf(pool).find(key, (other) => isEligible(pool, other));
    return any < 0 ? NOBODY : { kind: 'chosen', index: any, reason: 'over_bound' };
  }
}

const TTFT_SLO_SECONDS = 5;
/** A prefix that this many workers' fair share of the requests begins with says too little to place them by. */
const COMMON_SHARES = 2;
/** Counts are halved after that many requests. */
const MEMORY_REQUESTS = 2000;

/** How often prompts began with the same blocks, lately. */
class PrefixCounts {
  readonly #counts = new Map<number, number>();
  #total = 0;

  /** The fewest blocks of the prompt that tell it from the common ones; counts it. */
  distinguish({ hashes, count }: PromptBlocks, workers: number): number {
    if (++this.#total > MEMORY_REQUESTS) this.#halve();
    for (let depth = 1; depth < count; depth += 1) {
      const key = (hashes[2 * depth - 2] ?? 0) * 2 ** 21 + ((hashes[2 * depth - 1] ?? 0) >>> 11);
      const seen = (this.#counts.get(key) ?? 0) + 1;
      this.#counts.set(key, seen);
      if (seen * workers <= COMMON_SHARES * this.#total) return depth;
    }
    return Math.max(1, count);
  }

  #halve(): void {
    this.#total /= 2;
    for (const [key, seen] of this.#counts) {
      if (seen < 2) this.#counts.delete(key);
      else this.#counts.set(key, seen / 2);
    }
  }
}

/**
 * DualMap (ICLR 2026): two candidates by two independent hashes of the prompt's prefix; the one that holds more of it,
 * unless its expected first token comes later than the objective, then the one where it comes earlier. As in the paper
 * the prefix is longer where many requests share it; how much longer is our own rule. Left out: requests are not moved
 * once they are sent.
 */
export class DualMap extends RingBaseline {
  readonly name = 'dual_map';
  readonly #prefixes = new PrefixCounts();

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const ring = this.ringOf(pool);
    const blocks = this.#prefixes.distinguish(ask.blocks(), pool.eligible);
    const first = ring.find(prefixKey(ask, blocks, 'a'), (index) => isEligible(pool, index));
    const other = ring.find(
      prefixKey(ask, blocks, 'b'),
      (index) => isEligible(pool, index) && (index !== first || pool.eligible === 1),
    );
    const matchedTokens = new Float64Array(pool.members.length).fill(NaN);
    const scores = new Float64Array(pool.members.length).fill(NaN);
    for (const index of [first, other]) {
      const slot = pool.members[index]?.slot ?? 0;
      const matched = (matchedTokens[index] = this.deps.cache.match(ask, slot).tokens);
      const ahead = this.deps.loads.prefillTokens(slot) + ask.blocks().totalTokens - matched;
      scores[index] = ahead / this.deps.loads.prefillRate(slot);
    }
    const quicker = (scores[other] ?? 0) < (scores[first] ?? 0) ? other : first;
    const lead = (matchedTokens[first] ?? 0) - (matchedTokens[other] ?? 0);
    const warmer = lead === 0 ? quicker : lead > 0 ? first : other;
    const index = (scores[warmer] ?? 0) <= TTFT_SLO_SECONDS ? warmer : quicker;
    return { kind: 'chosen', index, reason: index === warmer ? 'warmer' : 'quicker', scores, matchedTokens };
  }
}
