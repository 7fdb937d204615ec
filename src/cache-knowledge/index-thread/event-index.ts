import { extname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Channel, Channels } from '../../base/channel.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { HelperDeps, HelperThread } from '../../helper-threads/helper-thread.ts';
import type { SlotId } from '../../workers/ledger.ts';
import type { WorkerEventsReport } from '../events/worker-events.ts';
import type { ExactCaches } from '../exact-caches.ts';
import { allocateExact, endExact, MOST_SLOTS, SLOT, type ExactMemory } from '../exact/exact-memory.ts';
import { ExactReader } from '../exact/exact-reader.ts';
import {
  EVENTS_MEMORY,
  EVENTS_REPORT,
  EVENTS_WANTED,
  FOLLOW,
  type EventsReport,
  type Following,
  type IndexThreadStart,
} from './thread-messages.ts';

/** What a helper thread needs beside what is said here. */
export type IndexHelper = Pick<HelperDeps, 'name' | 'module' | 'data' | 'heapMb' | 'onBegun' | 'onEnded'>;

export interface EventIndexDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Where the router has request threads. */
  readonly channels?: Channels | undefined;
  readonly startHelper: (helper: IndexHelper) => HelperThread;
  /** Bytes of the index that is in force. */
  readonly maxBytes: () => number;
  /** Whose events are to be followed now. */
  readonly following: () => Following;
  /** Hears all that the thread says; undefined: it has ended, and the next one counts from 0. */
  readonly onReport?: (report: EventsReport | undefined) => void;
}

/** What the thread has said of a worker, and when, in ms of the clock. */
export interface HeardReport extends WorkerEventsReport {
  readonly heardAt: number;
}

const MODULE = new URL(`./index-thread${extname(import.meta.url)}`, import.meta.url);
/** Messages that lie there, and what waits for a parent; the index itself is no part of the heap. */
const HEAP_MB = 256;
/** Workers join and leave by the dozen: they are told of together. */
const TELL_AFTER_MS = 20;

/**
 * What workers hold by their engines' events, in the hand of control: it starts the thread that follows them, tells it of workers, shows
 * the memory to those that ask it, and hears how it goes. The thread is there while there is somebody to follow. When it ends nothing
 * that it wrote counts any more; the next one has memory of its own, and asks the engines for what they still have.
 */
export class EventIndex {
  readonly #deps: EventIndexDeps;
  /** By slot, as control has given them out. */
  readonly #generations = new Map<number, number>();
  readonly #workers = new Map<number, HeardReport>();
  #helper: HelperThread | undefined;
  /** To the thread that is there now. */
  #channel: Channel | undefined;
  #bytes = 0;
  #memory: ExactMemory | undefined;
  #reader: ExactReader | undefined;
  #report: EventsReport | undefined;
  #told: Following | undefined;
  #tell: Timer | undefined;
  #closed = false;

  constructor(deps: EventIndexDeps) {
    this.#deps = deps;
    deps.channels?.on(EVENTS_WANTED, (row) => {
      deps.channels?.to(row)?.post(EVENTS_MEMORY, this.#memory);
    });
  }

  /** What this thread may ask; undefined while nobody writes it. */
  get caches(): ExactCaches | undefined {
    return this.#reader;
  }

  /** The latest that the thread has said of all; undefined while there is none. */
  get report(): Omit<EventsReport, 'workers'> | undefined {
    return this.#report;
  }

  /** The latest of this worker. */
  reportOf({ slot, generation }: SlotId): HeardReport | undefined {
    const report = this.#workers.get(slot);
    return report?.generation === generation ? report : undefined;
  }

  /** From now on the slot is this worker's: what was known of the one before it does not count for this one. */
  joined({ slot, generation }: SlotId): void {
    this.#generations.set(slot, generation);
    this.#writeGeneration(slot, generation);
    this.changed();
  }

  left({ slot }: SlotId): void {
    this.#generations.delete(slot);
    this.#workers.delete(slot);
    this.#writeGeneration(slot, 0);
    this.changed();
  }

  /** Whose events are to be followed may have changed, or how large the index is to be. */
  changed(): void {
    this.#tell ??= this.#deps.clock.after(TELL_AFTER_MS, () => {
      this.#tell = undefined;
      this.#follow();
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#tell?.cancel();
    return this.#end();
  }

  #follow(): void {
    if (this.#closed) return;
    const following = this.#deps.following();
    if (following.bind === undefined && following.workers.every(({ sources }) => sources.length === 0)) {
      void this.#end();
      return;
    }
    // Another size is other memory: engines are asked once more for what they have.
    if (this.#helper && this.#bytes !== this.#deps.maxBytes()) void this.#end();
    if (isDeepStrictEqual(following, this.#told)) return;
    this.#told = following;
    if (this.#helper) this.#helper.channel?.post(FOLLOW, following);
    else this.#start();
  }

  #start(): void {
    this.#helper = this.#deps.startHelper({
      ...{ name: 'index', module: MODULE, heapMb: HEAP_MB },
      data: (): IndexThreadStart => ({ memory: this.#newMemory() }),
      onBegun: (channel) => {
        this.#begun(channel);
      },
      onEnded: () => {
        this.#show(undefined);
      },
    });
  }

  #begun(channel: Channel): void {
    this.#channel = channel;
    channel.on(EVENTS_REPORT, (report) => {
      if (channel === this.#channel) this.#reported(report);
    });
    if (this.#told) channel.post(FOLLOW, this.#told);
  }

  #reported(report: EventsReport): void {
    this.#report = report;
    const heardAt = this.#deps.clock.now();
    for (const worker of report.workers)
      if (this.#generations.get(worker.slot) === worker.generation)
        this.#workers.set(worker.slot, { ...worker, heardAt });
    this.#deps.onReport?.(report);
  }

  #newMemory(): ExactMemory {
    this.#bytes = this.#deps.maxBytes();
    const memory = allocateExact(this.#bytes, Math.floor(this.#deps.random() * 2 ** 32));
    this.#show(memory);
    for (const [slot, generation] of this.#generations) this.#writeGeneration(slot, generation);
    return memory;
  }

  #end(): Promise<void> {
    const ended = this.#helper?.stop();
    this.#helper = undefined;
    this.#told = undefined;
    this.#show(undefined);
    return ended ?? Promise.resolve();
  }

  /** What was shown before does not count from now on. */
  #show(memory: ExactMemory | undefined): void {
    if (this.#memory === memory) return;
    if (this.#memory) endExact(this.#memory);
    this.#memory = memory;
    this.#reader = memory && new ExactReader(memory);
    this.#report = undefined;
    this.#channel = undefined;
    this.#workers.clear();
    this.#deps.onReport?.(undefined);
    this.#deps.channels?.broadcast(EVENTS_MEMORY, memory);
  }

  #writeGeneration(slot: number, generation: number): void {
    if (this.#memory && slot < MOST_SLOTS)
      Atomics.store(new Int32Array(this.#memory.slots), SLOT.WORDS * slot + SLOT.GENERATION, generation);
  }
}
