import type { PromptBlocks } from './blocks.ts';
import type { CacheView, LoadColumns, LoadView, Member, Pool } from './policy.ts';

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

/** One number for each member of a pool, in memory that is used again while pools are of the same size. */
export class MemberRow {
  #row = new Float64Array(0);

  of({ members }: Pool): Float64Array {
    if (this.#row.length !== members.length) this.#row = new Float64Array(members.length);
    return this.#row;
  }
}

/** Cached tokens of the prompt for each member that may be chosen, NaN for the others, written into `tokens`. */
export function matchEach(cache: CacheView, blocks: PromptBlocks, pool: Pool, tokens: Float64Array): void {
  const slots = slotsOf(pool);
  if (cache.matchAll) {
    const { rows, tokens: byRow } = cache.matchAll(blocks);
    const known = rows.length;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      tokens[index] = slot < known ? byRow[rows[slot]!]! : 0;
    }
  } else {
    for (let index = 0; index < slots.length; index++)
      tokens[index] = cache.match(blocks, slots[index]!).tokens;
  }
  if (pool.eligible === slots.length) return;
  for (let index = 0; index < slots.length; index++) if (pool.mask[index] !== 0) tokens[index] = NaN;
}

/** The loads of all members, by slot. */
export class FleetLoads {
  readonly #loads: LoadView;
  #columns: LoadColumns = columnsOf(0);

  constructor(loads: LoadView) {
    this.#loads = loads;
  }

  /** Good until the next call. */
  read(pool: Pool): LoadColumns {
    if (this.#loads.columns) return this.#loads.columns();
    const slots = slotsOf(pool);
    const most = slots.reduce((highest, slot) => Math.max(highest, slot), -1) + 1;
    if (this.#columns.running.length < most) this.#columns = columnsOf(most);
    const columns = this.#columns;
    for (const slot of slots) {
      columns.running[slot] = this.#loads.running(slot);
      columns.prefillTokens[slot] = this.#loads.prefillTokens(slot);
      columns.prefillRate[slot] = this.#loads.prefillRate(slot);
    }
    return columns;
  }
}

function columnsOf(length: number): LoadColumns {
  return {
    running: new Float64Array(length),
    prefillTokens: new Float64Array(length),
    prefillRate: new Float64Array(length),
  };
}
