import type { PromptBlocks } from './blocks.ts';
import type { CacheView, LoadRows, LoadView, Member, Pool } from './policy.ts';

const slotsByMembers = new WeakMap<readonly Member[], Int32Array>();

/** The slots of a pool's members in one array: to look at hundreds of workers for one number each would cost more than to choose. */
export function slotsOf({ members }: Pool): Int32Array {
  let slots = slotsByMembers.get(members);
  if (slots === undefined) {
    slots = Int32Array.from(members, ({ slot }) => slot);
    slotsByMembers.set(members, slots);
  }
  return slots;
}

/** Cached tokens of the prompt for each member that may be chosen, NaN for the others, written into `tokens`. */
export function matchEach(cache: CacheView, blocks: PromptBlocks, pool: Pool, tokens: Float64Array): void {
  const slots = slotsOf(pool);
  if (cache.matchEach) cache.matchEach(blocks, slots, tokens);
  else
    for (let index = 0; index < slots.length; index++)
      tokens[index] = cache.match(blocks, slots[index]!).tokens;
  if (pool.eligible === slots.length) return;
  for (let index = 0; index < slots.length; index++) if (pool.mask[index] !== 0) tokens[index] = NaN;
}

/** The loads of all members, in rows that are filled anew for each choice. */
export class FleetLoads {
  readonly #loads: LoadView;
  #rows: LoadRows = rowsOf(0);

  constructor(loads: LoadView) {
    this.#loads = loads;
  }

  /** Good until the next call. */
  read(pool: Pool): LoadRows {
    const slots = slotsOf(pool);
    if (this.#rows.running.length !== slots.length) this.#rows = rowsOf(slots.length);
    const rows = this.#rows;
    if (this.#loads.readEach) {
      this.#loads.readEach(slots, rows);
      return rows;
    }
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      rows.running[index] = this.#loads.running(slot);
      rows.prefillTokens[index] = this.#loads.prefillTokens(slot);
      rows.prefillRate[index] = this.#loads.prefillRate(slot);
    }
    return rows;
  }
}

function rowsOf(length: number): LoadRows {
  return {
    running: new Float64Array(length),
    prefillTokens: new Float64Array(length),
    prefillRate: new Float64Array(length),
  };
}
