import { getCompileCacheDir } from 'node:module';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Channel } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { PortChannel } from '../base/port-channel.ts';
import { isOutOfMemory, RestartPause } from '../base/thread-ends.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { BEAT, type HelperStart } from './helper-start.ts';

/** Why a helper thread has ended: the last one where a job took longer than whoever gave it allows. */
export type HelperEnd = 'fault' | 'out_of_memory' | 'hung' | 'over_time';

export interface HelperDeps {
  readonly name: 'index' | 'text' | 'vector';
  /** The module that it runs, which exports `serve` (`HelperModule`). */
  readonly module: URL;
  /** What `serve` is handed; asked for anew for each thread. Must be something that can be posted. */
  readonly data: () => unknown;
  /** Of its heap, MiB; what lies in array buffers does not count. */
  readonly heapMb: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'helperThreads' | 'helperThreadEndsTotal'>;
  /** A thread begins, the first one or one in the place of another: listen, and tell it what it must know. */
  readonly onBegun?: (channel: Channel) => void;
  /** It has ended; unless all is stopped, another one comes. Questions that it has not answered have been rejected. */
  readonly onEnded?: (end: HelperEnd) => void;
  /** In the place of 15 s: its event loop has not turned for so long. */
  readonly hungMs?: number;
  /** In the place of a minute: a thread that has not loaded its module by then has to go. */
  readonly bringUpMs?: number;
}

/** A thread beside those that serve requests, for work that would hold these up. */
export interface HelperThread {
  /** To the thread that runs; undefined between two of them. Nothing is kept for the next one: `onBegun` tells it. */
  readonly channel: Channel | undefined;
  /** Ends the thread as it is; another one takes its place. */
  replace(why: HelperEnd): void;
  /** Ends it for good. */
  stop(): Promise<void>;
}

const HUNG_MS = 15_000;
const BRING_UP_MS = 60_000;
const LOOK_MS = 500;
const ENTRY = new URL(`./run-helper${extname(import.meta.url)}`, import.meta.url);
const ENDS: readonly HelperEnd[] = ['fault', 'out_of_memory', 'hung', 'over_time'];

export function startHelper(deps: HelperDeps): HelperThread {
  return new Helper(deps);
}

/** One thread, from its start to its end. */
interface Running {
  readonly worker: Worker;
  readonly channel: PortChannel;
  readonly cells: Int32Array;
  readonly startedAt: number;
  /** Its beats so far, and when there was one more. */
  beats: number;
  beatAt: number;
  /** Why it is being ended, where that was decided here or said by an error. */
  ending: HelperEnd | undefined;
}

class Helper implements HelperThread {
  readonly #deps: HelperDeps;
  readonly #restart = new RestartPause();
  readonly #look: Timer;
  #running: Running | undefined;
  #pause: Timer | undefined;
  #stopped = false;

  constructor(deps: HelperDeps) {
    this.#deps = deps;
    for (const end of ENDS) deps.metrics.helperThreadEndsTotal.with(deps.name, end);
    this.#begin();
    this.#look = deps.clock.after(LOOK_MS, () => {
      this.#lookAtBeats();
      this.#look.refresh();
    });
  }

  get channel(): Channel | undefined {
    return this.#running?.ending === undefined ? this.#running?.channel : undefined;
  }

  replace(why: HelperEnd): void {
    const running = this.#running;
    if (!running || running.ending) return;
    running.ending = why;
    // Its questions need not wait until V8 has ended it.
    running.channel.close();
    void running.worker.terminate();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#look.cancel();
    this.#pause?.cancel();
    this.#running?.channel.close();
    await this.#running?.worker.terminate();
  }

  #begin(): void {
    const { name, clock, metrics, onBegun } = this.#deps;
    const startedAt = clock.now();
    let running: Running;
    try {
      running = this.#newThread(startedAt);
    } catch (error) {
      // The system gives no thread at the moment, or what it was to be told cannot be posted.
      this.#over('fault', { error, livedMs: 0 });
      return;
    }
    this.#running = running;
    metrics.helperThreads.with(name).set(1);
    let failure: unknown;
    running.worker.on('error', (error) => {
      failure = error;
      running.ending ??= isOutOfMemory(error) ? 'out_of_memory' : 'fault';
    });
    running.worker.on('exit', (code) => {
      if (running.ending === undefined) failure ??= new Error(`it ended itself, with exit code ${code}`);
      this.#running = undefined;
      running.channel.close();
      this.#over(running.ending ?? 'fault', { error: failure, livedMs: clock.now() - startedAt });
    });
    onBegun?.(running.channel);
  }

  #newThread(startedAt: number): Running {
    const { name, module, data, heapMb } = this.#deps;
    const beat = new SharedArrayBuffer(BEAT.cells * Int32Array.BYTES_PER_ELEMENT);
    const start: HelperStart = {
      ...{ module: module.href, data: data(), beat },
      compileCache: getCompileCacheDir(),
    };
    const worker = new Worker(ENTRY, {
      name: `${name} thread`,
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    });
    // A program whose router nobody has stopped ends all the same.
    worker.unref();
    const channel = new PortChannel(worker);
    const cells = new Int32Array(beat);
    return { worker, channel, cells, startedAt, beats: 0, beatAt: startedAt, ending: undefined };
  }

  #lookAtBeats(): void {
    const running = this.#running;
    if (!running) return;
    const { hungMs = HUNG_MS, bringUpMs = BRING_UP_MS, clock } = this.#deps;
    const now = clock.now();
    const beats = Atomics.load(running.cells, BEAT.count);
    // What is compared is the count, so that a thread is not to blame where this one had no time to look.
    if (beats !== running.beats) {
      running.beats = beats;
      running.beatAt = now;
    }
    const serves = Atomics.load(running.cells, BEAT.serves) === 1;
    const limitMs = serves ? hungMs : bringUpMs;
    if (now - (serves ? running.beatAt : running.startedAt) > limitMs) this.replace('hung');
  }

  #over(end: HelperEnd, { error, livedMs }: { readonly error: unknown; readonly livedMs: number }): void {
    const { name, clock, log, metrics, onEnded } = this.#deps;
    metrics.helperThreads.with(name).set(0);
    if (this.#stopped) return;
    metrics.helperThreadEndsTotal.with(name, end).inc();
    const pauseMs = this.#restart.after(livedMs);
    log.error({ thread: name, reason: end, err: error }, 'a helper thread ended, and is replaced');
    this.#pause = clock.after(pauseMs, () => {
      this.#begin();
    });
    onEnded?.(end);
  }
}
