import type { EventsState } from '../exact/exact-memory.ts';
import { since } from './tallies.ts';
import type { Accuracy } from './judge.ts';

/** What is seen of a worker's events where they are to be followed. */
export interface EventsSeen {
  /** The worker itself says that it publishes none. */
  readonly isUnpublished: boolean;
  readonly state: EventsState;
  /** Why there is no connection, where one is known. */
  readonly reason: string | undefined;
  /** Since they are followed. */
  readonly batches: number;
}

/** A subscription takes effect within seconds; engines that begin anew take longer, and nothing is wrong meanwhile. */
const PATIENCE_MS = 30_000;
/** New blocks without a word of them. Those that two requests compute at once are told of once. */
const SILENT_BLOCKS = 64;
/** Of each prompt the last block and what is behind it are computed again, which is nothing new. */
const REPEATED_BLOCKS = 2;

/** Whether one worker's events come, as they must when it computes what is new. */
export class EventsHeard {
  #notLiveSince: number | undefined;
  #batches = -1;
  /** What its answers had told when it was first found quiet: an answer that ends then may have been computed while it was heard. */
  #toldThen: Accuracy | undefined;

  /**
   * What is wrong; undefined: nothing.
   * @param told All that its answers have told, of prompts and of what was cached of them.
   */
  missing(
    seen: EventsSeen | undefined,
    { now, told, blockSize }: { readonly now: number; readonly told: Accuracy; readonly blockSize: number },
  ): string | undefined {
    const isQuiet = seen?.state === 'live' && seen.batches === this.#batches;
    this.#batches = seen?.batches ?? -1;
    this.#toldThen = isQuiet ? (this.#toldThen ?? told) : undefined;
    if (seen?.state === 'live' || seen === undefined) this.#notLiveSince = undefined;
    else this.#notLiveSince ??= now;
    if (seen === undefined) return undefined;
    if (seen.isUnpublished) return 'it publishes no events of its cache';
    if (this.#notLiveSince !== undefined) return this.#notLive(seen, now - this.#notLiveSince);
    if (this.#toldThen === undefined) return undefined;
    const { answers, prompt, actual } = since(told, this.#toldThen);
    const newBlocks = (prompt - actual) / blockSize - REPEATED_BLOCKS * answers;
    if (newBlocks < SILENT_BLOCKS) return undefined;
    return `it has computed about ${Math.floor(newBlocks)} new blocks, and no event has come`;
  }

  #notLive({ state, reason }: EventsSeen, forMs: number): string | undefined {
    if (forMs < PATIENCE_MS) return undefined;
    const why = reason === undefined ? '' : `: ${reason}`;
    return `its events are ${state === 'lost' ? 'lost' : 'not received'} for ${Math.round(forMs / 1000)} s${why}`;
  }
}
