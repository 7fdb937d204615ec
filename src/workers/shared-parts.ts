import type { ThreadMemory } from '../base/thread-memory.ts';
import { BreakerCells } from './breaker-cells.ts';
import { RowTallies } from './shared-slots.ts';

/** What all threads count and take of workers in memory they share. */
export interface SharedCounts {
  readonly breakers: BreakerCells;
  /** Of progress. */
  readonly signs: RowTallies;
  readonly inFlight: RowTallies;
  /** Requests. */
  readonly sent: RowTallies;
}

export function sharedCounts(memory: ThreadMemory): SharedCounts {
  return {
    breakers: new BreakerCells(memory),
    signs: new RowTallies(memory, 'signs'),
    inFlight: new RowTallies(memory, 'in-flight'),
    sent: new RowTallies(memory, 'sent'),
  };
}
