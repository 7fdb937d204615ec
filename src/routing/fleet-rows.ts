import type { LoadColumns, LoadView, Member, Pool } from './policy.ts';

/**
 * Numbers of all members of a pool, for policies that look at hundreds of workers for each request. The loops over them are
 * written so that the compiler leaves in them what differs from member to member: nothing is called, and nothing that is read is
 * read on a condition. That makes them three to five times as fast.
 */

const slotsByMembers = new WeakMap<readonly Member[], Slots>();

interface Slots {
  readonly slots: Int32Array;
  /** Above all of them. */
  readonly end: number;
}

/** The slots of a pool's members in one array: to look at hundreds of workers for one number each would cost more than to choose. */
export function slotsOf({ members }: Pool): Slots {
  let known = slotsByMembers.get(members);
  if (known === undefined) {
    const slots = Int32Array.from(members, ({ slot }) => slot);
    known = { slots, end: slots.reduce((end, slot) => Math.max(end, slot + 1), 0) };
    slotsByMembers.set(members, known);
  }
  return known;
}

/** One number for each member of a pool, in memory that is used again while pools are of the same size. */
export class MemberRow {
  #row = new Float64Array(0);

  of({ members }: Pool): Float64Array {
    if (this.#row.length !== members.length) this.#row = new Float64Array(members.length);
    return this.#row;
  }
}

/** The loads of all members, by slot; running requests and waiting tokens multiplied where workers are ramped up. */
export class FleetLoads {
  readonly #loads: LoadView;
  #columns: LoadColumns = columnsOf(0);

  constructor(loads: LoadView) {
    this.#loads = loads;
  }

  /** Good until anything else happens. */
  read(pool: Pool): LoadColumns {
    if (pool.ramps === false && this.#loads.columns) return this.#loads.columns();
    const { slots, end } = slotsOf(pool);
    if (this.#columns.running.length < end) this.#columns = columnsOf(end);
    const columns = this.#columns;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index]!;
      const ramp = pool.ramp(index);
      columns.running[slot] = this.#loads.running(slot) * ramp;
      columns.prefillTokens[slot] = this.#loads.prefillTokens(slot) * ramp;
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
