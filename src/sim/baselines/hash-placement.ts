import { hash53 } from '../../base/hash.ts';
import { HashRing } from '../../routing/hash-ring.ts';
import { isEligible, NOBODY } from '../../routing/eligible.ts';
import type { Ask, Choice, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';

const VIRTUAL_NODES = 160;
const LOAD_FACTOR = 1.25;

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
 * first block of the trace.
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
    const index = this.ringOf(pool).find(prefixKey(ask, 1, 'prefix'), accepts);
    if (index >= 0) return { kind: 'chosen', index, reason: 'within_bound' };
    const any = this.ringOf(pool).find(prefixKey(ask, 1, 'prefix'), (other) => isEligible(pool, other));
    return any < 0 ? NOBODY : { kind: 'chosen', index: any, reason: 'over_bound' };
  }
}

/** Blocks of the prompt that DualMap's two hashes see; the paper adapts the length to how common a prefix is. */
const MAPPED_BLOCKS = 2;
const TTFT_SLO_SECONDS = 5;

/**
 * DualMap (ICLR 2026): two candidates by two independent hashes of the prompt's prefix; the one that holds more of it,
 * unless its expected first token comes later than the objective, then the one where it comes earlier. Simplified: the
 * length of the prefix is fixed, and requests are not moved once they are sent.
 */
export class DualMap extends RingBaseline {
  readonly name = 'dual_map';

  choose(ask: Ask, pool: Pool): Choice {
    if (pool.eligible === 0) return NOBODY;
    const ring = this.ringOf(pool);
    const first = ring.find(prefixKey(ask, MAPPED_BLOCKS, 'a'), (index) => isEligible(pool, index));
    const other = ring.find(
      prefixKey(ask, MAPPED_BLOCKS, 'b'),
      (index) => isEligible(pool, index) && (index !== first || pool.eligible === 1),
    );
    const matchedTokens = new Float64Array(pool.members.length).fill(NaN);
    const scores = new Float64Array(pool.members.length).fill(NaN);
    for (const index of [first, other]) {
      const slot = pool.members[index]?.slot ?? 0;
      const matched = (matchedTokens[index] = this.deps.cache.match(ask.blocks(), slot).tokens);
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
