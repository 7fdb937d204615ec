import type { MessageKind } from '../../base/channel.ts';
import type { EventWorker } from '../events/event-worker.ts';
import type { SubscriptionsReport } from '../events/event-subscriptions.ts';
import type { ExactCounts } from '../exact/exact-index.ts';
import type { ExactMemory } from '../exact/exact-memory.ts';

/** What the index thread is started with. */
export interface IndexThreadStart {
  readonly memory: ExactMemory;
}

/** Whose events are to be followed. */
export interface Following {
  readonly workers: readonly EventWorker[];
  /** Where publishers may connect; undefined: nowhere. */
  readonly bind: string | undefined;
}

/** What there is to be seen of the index. */
export interface IndexReport extends ExactCounts {
  /** Blocks that workers hold, each as often as workers do. */
  readonly entries: number;
  readonly bytes: number;
}

/** What there is to be seen of events. `workers` are some of all: those that have changed state, and a few others each time. */
export interface EventsReport extends SubscriptionsReport {
  readonly index: IndexReport;
}

/** To the index thread: all workers that there are now. */
export const FOLLOW: MessageKind<Following> = { name: 'events:follow' };

/** To control, some times a second. */
export const EVENTS_REPORT: MessageKind<EventsReport> = { name: 'events:report' };

/** To request threads: the memory of the exact index is this from now on; undefined while nobody writes one. */
export const EVENTS_MEMORY: MessageKind<ExactMemory | undefined> = { name: 'events:memory' };

/** To control: this thread begins, and wants to be shown the memory. */
export const EVENTS_WANTED: MessageKind<null> = { name: 'events:wanted' };
