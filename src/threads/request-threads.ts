import { extname } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../base/clock.ts';
import { PortChannels } from '../base/port-channel.ts';
import type { Channel } from '../base/channel.ts';
import { SharedFlag } from '../base/shared-flag.ts';
import { isOutOfMemory, RestartPause } from '../base/thread-ends.ts';
import { SharedMemory } from '../base/thread-memory.ts';
import type { OwnPart } from '../base/thread-part.ts';
import { THREAD_MISSING } from '../app/shared-state.ts';
import type { ThreadEnd } from '../observe/thread-metrics.ts';
import { Heartbeats } from './heartbeats.ts';
import type { ThreadStart } from './thread-messages.ts';

export interface RequestThreadsDeps {
  readonly clock: Clock;
  /** What a thread needs to know when it begins, beside its place. */
  readonly start: () => Omit<ThreadStart, 'row' | 'rows' | 'regions'>;
  /** Brings a thread that runs to where it serves. Rejects where it does not get there. */
  readonly bringUp: (channel: Channel, row: number) => Promise<void>;
  readonly onEnded: (row: number, end: ThreadEnd, error: unknown) => void;
  readonly onReplaced: (row: number) => void;
  /** In the place of what serves requests, for tests. */
  readonly entry?: URL;
  /** Of each thread, MiB; else what the process may have, dealt out evenly. */
  readonly heapMb?: number;
  /** In the place of 5 and 15 s: nothing heard of a thread for so long means that it is missing, and that it has to go. */
  readonly silentMs?: number;
  readonly hungMs?: number;
  /** In the place of a minute: a thread that does not serve by then has to go. */
  readonly bringUpMs?: number;
}

const SILENT_MS = 5_000;
const HUNG_MS = 15_000;
/** Twice as long as one plugin may take to load. */
const BRING_UP_MS = 60_000;
const LOOK_MS = 500;
/** Least heap of a thread, MiB: below it a router does not get far. */
const LEAST_HEAP_MB = 128;
/** Of V8's young objects, MiB: thousands of streams fill as much as there is with what dies soon. */
const YOUNG_MB = 24;

interface Running {
  readonly worker: Worker;
  readonly startedAt: number;
  serves: boolean;
  /** Why it is being ended, where that was decided here. */
  ending: ThreadEnd | undefined;
}

/**
 * The threads that serve requests, each in a row of the shared memory. One that ends, by a fault of its own, for want of memory,
 * or because its event loop does not turn any more, is replaced; what it held is taken back by those who hear of its end.
 */
export class RequestThreads {
  readonly memory: SharedMemory;
  readonly channels = new PortChannels();
  readonly #count: number;
  readonly #clock: Clock;
  readonly #heartbeats: Heartbeats;
  readonly #missing: SharedFlag;
  readonly #running = new Map<number, Running>();
  readonly #pauses = new Map<number, Timer>();
  readonly #restarts = new Map<number, RestartPause>();
  /** Rows whose first thread has got to serve: the start does not wait for them any more. */
  readonly #begun = new Set<number>();
  #deps: RequestThreadsDeps | undefined;
  #look: Timer | undefined;
  /** Threads that end are replaced while all is `open`. */
  #state: 'starting' | 'open' | 'closing' | 'ended' = 'starting';

  constructor(count: number, clock: Clock) {
    this.#count = count;
    this.#clock = clock;
    this.memory = new SharedMemory(count);
    this.#heartbeats = new Heartbeats(this.memory, clock);
    this.#missing = new SharedFlag(this.memory, THREAD_MISSING);
  }

  /** What control is, with these threads. */
  get part(): OwnPart {
    return { kind: 'control', memory: this.memory, channels: this.channels };
  }

  get configured(): number {
    return this.#count;
  }

  /** Those that serve. */
  get running(): number {
    return [...this.#running.values()].filter(({ serves }) => serves).length;
  }

  get heartbeats(): Heartbeats {
    return this.#heartbeats;
  }

  /** Whether the thread of this row serves requests: it has got there, and has not ended. */
  serves(row: number): boolean {
    return this.#running.get(row)?.serves === true;
  }

  /** Resolves when all serve. Rejects, with all ended, where one of them does not get there. */
  async start(deps: RequestThreadsDeps): Promise<void> {
    this.#deps = deps;
    this.#look = this.#clock.after(LOOK_MS, () => {
      this.#lookAtAll(deps);
      this.#look?.refresh();
    });
    try {
      await Promise.all([...this.#rows()].map((row) => this.#begin(row, deps)));
    } catch (error) {
      await this.end();
      throw error;
    }
    this.#state = 'open';
  }

  /** Ends a thread as it is, whatever it is doing; another one takes its place. */
  async replace(row: number, why: ThreadEnd): Promise<void> {
    const running = this.#running.get(row);
    if (!running || running.ending) return;
    running.ending = why;
    await running.worker.terminate();
  }

  /** From now on none is begun: those that do not serve yet are ended, and none that ends is replaced. */
  beginNoMore(): void {
    this.#state = 'closing';
    for (const pause of this.#pauses.values()) pause.cancel();
    this.#pauses.clear();
    for (const { serves, worker } of this.#running.values()) if (!serves) void worker.terminate();
  }

  /** Ends all of them, without another word. */
  async end(): Promise<void> {
    this.#look?.cancel();
    this.beginNoMore();
    this.#state = 'ended';
    await Promise.all([...this.#running.values()].map(({ worker }) => worker.terminate()));
  }

  #lookAtAll({ silentMs = SILENT_MS, hungMs = HUNG_MS, bringUpMs = BRING_UP_MS }: RequestThreadsDeps): void {
    const startedBefore = this.#clock.now() - bringUpMs;
    for (const [row, { serves, startedAt }] of this.#running)
      if (!serves && startedAt < startedBefore) void this.replace(row, 'hung');
    const silent = [...this.#running.keys()].filter((row) => this.#heartbeats.silentMs(row) > silentMs);
    this.#missing.set(silent.length > 0);
    for (const row of silent) if (this.#heartbeats.silentMs(row) > hungMs) void this.replace(row, 'hung');
  }

  *#rows(): Iterable<number> {
    for (let row = 1; row <= this.#count; row++) yield row;
  }

  async #begin(row: number, deps: RequestThreadsDeps): Promise<void> {
    const worker = this.#newWorker(row, deps);
    const running: Running = { worker, startedAt: this.#clock.now(), serves: false, ending: undefined };
    this.#running.set(row, running);
    let failure: unknown;
    worker.on('error', (error) => {
      failure = error;
      running.ending ??= isOutOfMemory(error) ? 'out_of_memory' : 'fault';
    });
    worker.on('exit', (code) => {
      if (running.ending === undefined) failure ??= new Error(`it ended itself, with exit code ${code}`);
      this.#ended(row, running, failure);
    });
    this.channels.add(row, worker, true);
    const channel = this.channels.to(row);
    if (!channel) return;
    try {
      await deps.bringUp(channel, row);
      running.serves = true;
      this.channels.serves(row);
      this.#begun.add(row);
    } catch (error) {
      failure ??= error;
      running.ending ??= 'fault';
      await worker.terminate();
      throw failure;
    }
  }

  #newWorker(row: number, deps: RequestThreadsDeps): Worker {
    const { memory } = this;
    try {
      const start: ThreadStart = { ...deps.start(), row, rows: memory.rows, regions: memory.regions };
      return new Worker(deps.entry ?? ENTRY, {
        name: `request thread ${row}`,
        workerData: start,
        resourceLimits: {
          maxOldGenerationSizeMb: deps.heapMb ?? heapMb(this.#count),
          maxYoungGenerationSizeMb: YOUNG_MB,
        },
      });
    } catch (error) {
      // The system gives no thread at the moment.
      this.#replaceLater(row, { end: 'fault', error, livedMs: 0 });
      throw error;
    }
  }

  #ended(row: number, { ending, startedAt }: Running, error: unknown): void {
    this.#running.delete(row);
    this.#heartbeats.forget(row);
    this.channels.end(row);
    this.#replaceLater(row, { end: ending ?? 'fault', error, livedMs: this.#clock.now() - startedAt });
  }

  #replaceLater(
    row: number,
    { end, error, livedMs }: { readonly end: ThreadEnd; readonly error: unknown; readonly livedMs: number },
  ): void {
    const deps = this.#deps;
    // Where it was ended with all others, or is the reason why the start fails, that is said elsewhere.
    const endsStart = this.#state === 'starting' && !this.#begun.has(row);
    if (endsStart || this.#state === 'ended' || !deps) return;
    deps.onEnded(row, end, error);
    if (this.#state === 'closing') return;
    const restart = this.#restarts.get(row) ?? new RestartPause();
    this.#restarts.set(row, restart);
    this.#pauses.set(
      row,
      this.#clock.after(restart.after(livedMs), () => {
        this.#pauses.delete(row);
        // Where it does not get there, its end is heard of, and it is tried again.
        void this.#begin(row, deps).then(
          () => deps.onReplaced(row),
          () => undefined,
        );
      }),
    );
  }
}

const ENTRY = new URL(`./request-thread${extname(import.meta.url)}`, import.meta.url);

/** What the process may have is dealt out evenly. */
function heapMb(threads: number): number {
  const all = getHeapStatistics().heap_size_limit / 2 ** 20;
  return Math.max(LEAST_HEAP_MB, Math.floor(all / threads));
}
