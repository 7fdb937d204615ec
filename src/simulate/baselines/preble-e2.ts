import type { Ask, Choice, PolicyEvent, Pool } from '../../routing/policy.ts';
import { Baseline } from './baseline.ts';
import { lowest } from './lowest.ts';

const WINDOW_MS = 180_000;
/** Most loaded to least loaded, beyond which exploitation is redirected. */
const HOT_RATIO = 2;
/** The answer's part of a request's cost: seconds per request, as a constant since its length is not known. */
const DECODE_SECONDS = 1;

interface Booked {
  readonly at: number;
  readonly slot: number;
  readonly seconds: number;
}

/**
 * E2 of Preble (Srivatsa et al., ICLR 2025): exploit, that is go to the best match, when more of the prompt is cached
 * than not; else explore: the worker with the least of the work booked there in the last three minutes, what this
 * prompt will push out, and this prompt's own prefill. An exploited worker that is hot (twice the work of the lightest)
 * is given up for the lightest. Simplified: what is pushed out is priced by its tokens, not by each node's hit rate, and
 * the priority queues inside the engines are left out.
 */
export class PrebleE2 extends Baseline {
  readonly name = 'preble_e2';
  readonly #window: Booked[] = [];
  #from = 0;
  readonly #work: number[] = [];

  choose(ask: Ask, pool: Pool): Choice {
    this.#forgetOld();
    const { totalTokens } = ask.blocks();
    const matchedTokens = this.matched(ask, pool);
    const workOf = (slot: number): number => this.#work[slot] ?? 0;
    const best = lowest(
      pool,
      (slot, index) => -(matchedTokens[index] ?? 0) + workOf(slot) * 1e-9,
      'exploit',
      { matchedTokens },
    );
    if (best.kind === 'none') return best;
    const lightest = lowest(pool, (slot) => workOf(slot), 'redirected', { matchedTokens });
    if (2 * (matchedTokens[best.index] ?? 0) > totalTokens) {
      const slots = [best, lightest].map((choice) =>
        choice.kind === 'chosen' ? workOf(pool.members[choice.index]?.slot ?? 0) : 0,
      );
      const [chosen = 0, least = 0] = slots;
      return chosen > HOT_RATIO * least && chosen - least > 1 ? lightest : best;
    }
    return lowest(
      pool,
      (slot, index) => {
        const rate = this.deps.loads.prefillRate(slot);
        const uncached = totalTokens - (matchedTokens[index] ?? 0);
        const held = this.deps.believedBlocks(slot) * ask.blocks().tokensPerBlock;
        const pushedOut = Math.max(0, held + uncached - this.deps.cacheTokens(slot));
        return workOf(slot) + (uncached + pushedOut) / rate;
      },
      'explore',
      { matchedTokens },
    );
  }

  override observe(event: PolicyEvent): void {
    if (event.type !== 'dispatched') return;
    const { slot, ask, matchedTokens } = event;
    const uncached = Math.max(1, ask.blocks().totalTokens - matchedTokens);
    const seconds = uncached / this.deps.loads.prefillRate(slot) + DECODE_SECONDS;
    this.#window.push({ at: this.deps.clock.now(), slot, seconds });
    this.#work[slot] = (this.#work[slot] ?? 0) + seconds;
  }

  #forgetOld(): void {
    const before = this.deps.clock.now() - WINDOW_MS;
    for (let first = this.#window[this.#from]; first && first.at < before; first = this.#window[this.#from]) {
      this.#work[first.slot] = Math.max(0, (this.#work[first.slot] ?? 0) - first.seconds);
      this.#from += 1;
    }
    if (this.#from > 1024) {
      this.#window.splice(0, this.#from);
      this.#from = 0;
    }
  }
}
