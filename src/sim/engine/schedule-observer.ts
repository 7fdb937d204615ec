import type { Sequence } from './sequence.ts';

/** Told what the scheduler does to the caches beside what `BlockCache.watch` tells: what vLLM's events are made of. */
export interface ScheduleObserver {
  /** Blocks `from` to `to` of the sequence are full: they will be found from now on. */
  filled(sequence: Sequence, from: number, to: number): void;
  /** A step is over. vLLM sends what has changed until then as one batch. */
  stepped(): void;
}
