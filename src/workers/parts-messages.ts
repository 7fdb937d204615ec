import type { MessageKind } from '../base/channel.ts';
import type { Awaited } from './in-flight.ts';
import type { SlotId } from './ledger.ts';
import type { ProgressNews } from './thread-progress.ts';

/** From a thread: what came of a request that was sent in that epoch of the breaker, and when. */
export const CIRCUIT_OUTCOME: MessageKind<{
  readonly at: SlotId;
  readonly outcome: 'success' | 'failure';
  readonly epoch: number;
  readonly now: number;
}> = { name: 'circuit_outcome' };

/** From a thread: it has made the worker's breaker half-open. */
export const CIRCUIT_WOKE: MessageKind<SlotId> = { name: 'circuit_woke' };

/** From a thread, at once: somebody waits no more for the first byte of an answer. */
export const GAVE_UP: MessageKind<{ readonly at: SlotId; readonly request: Awaited; readonly now: number }> =
  {
    name: 'gave_up',
  };

/** From a thread, every second: of those workers of which there is news. */
export const PROGRESS_NEWS: MessageKind<readonly (ProgressNews & { readonly at: SlotId })[]> = {
  name: 'progress_news',
};

/** From control: what still runs on the worker is to end. */
export const CUT_REQUESTS: MessageKind<SlotId> = { name: 'cut_requests' };
