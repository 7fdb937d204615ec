import type { Channel } from '../../base/channel.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { startHelper, type HelperDeps, type HelperThread } from '../../helper-threads/helper-thread.ts';
import { SizeBrake } from '../size-brake.ts';
import { LOAD, TOKENISE, type LoadedTokenizer, type TextJob, type TextResult } from './text-messages.ts';

/** Nobody's template or tokenizer takes so long for a prompt; one that does is hostile, or lost. */
const JOB_MS = 1_000;
/** Of large vocabularies, on a busy machine. */
const LOAD_MS = 30_000;
/** Prompts that wait; whoever comes then goes elsewhere. */
const MOST_WAITING = 64;

export type TextJobsDeps = Pick<HelperDeps, 'clock' | 'log' | 'metrics' | 'heapMb'> & {
  readonly module: URL;
  /** In the place of a second. */
  readonly jobMs?: number;
};

/** Threads that end over one path: it is not read again then. */
const MOST_ENDS = 3;
const JUST_ENDED = { kind: 'unreadable', reason: 'the text thread has just ended' } as const;

/** Of tokenizers, the latest ones. */
const MOST_BRAKES = 64;

/** `busy`: too many wait already. `slow`: the thread has just ended over a prompt of this size; this one is not tried. */
export type JobResult = TextResult | { readonly kind: 'busy' } | { readonly kind: 'slow' };

interface Waiting {
  readonly job: TextJob;
  readonly resolve: (result: JobResult) => void;
}

/** The text thread, from outside: one prompt after the other, each within its time; it is replaced where one takes longer. */
export class TextJobs {
  readonly #clock: Clock;
  readonly #jobMs: number;
  readonly #helper: HelperThread;
  /** What each new thread is to load, and what came of it. */
  readonly #loads = new Map<string, Promise<LoadedTokenizer>>();
  readonly #waiting: Waiting[] = [];
  /** How often a thread has ended while it loaded what lies there. */
  readonly #endedOver = new Map<string, number>();
  /** One after the other, so that a thread that ends has ended over the one that it read. */
  #loadsBefore: Promise<unknown> = Promise.resolve();
  /** Who waits for the next thread. */
  readonly #forNext: (() => void)[] = [];
  /** By identity. A thread that ends over a prompt has to load all it had once more, so its like are not tried for a while. */
  readonly #brakes = new Map<string, SizeBrake>();
  #isBusy = false;
  #stopped = false;

  constructor({ clock, jobMs = JOB_MS, ...deps }: TextJobsDeps) {
    this.#clock = clock;
    this.#jobMs = jobMs;
    this.#helper = startHelper({
      ...{ ...deps, clock, name: 'text', data: () => undefined },
      onBegun: (channel) => {
        this.#loadsBefore = Promise.resolve();
        for (const path of this.#loads.keys()) this.#loads.set(path, this.#inTurn(channel, path));
        for (const goOn of this.#forNext.splice(0)) goOn();
      },
    });
  }

  /** Reads what lies there, now; also where it was read before. Never rejects. */
  load(path: string): Promise<LoadedTokenizer> {
    const { channel } = this.#helper;
    this.#endedOver.delete(path);
    const loading = channel ? this.#inTurn(channel, path) : this.#byNext(path);
    this.#loads.set(path, loading);
    return loading;
  }

  /** Nobody asks for it any more. The thread keeps it until it is replaced. */
  forget(path: string): void {
    this.#loads.delete(path);
  }

  /** Never rejects. */
  run(job: TextJob): Promise<JobResult> {
    if (!this.#admits(job)) return Promise.resolve({ kind: 'slow' });
    if (this.#waiting.length >= MOST_WAITING) return Promise.resolve({ kind: 'busy' });
    return new Promise((resolve) => {
      this.#waiting.push({ job, resolve });
      if (!this.#isBusy) void this.#work();
    });
  }

  async stop(): Promise<void> {
    for (const { resolve } of this.#waiting.splice(0)) resolve({ kind: 'busy' });
    this.#stopped = true;
    await this.#helper.stop();
    this.#loads.clear();
    for (const goOn of this.#forNext.splice(0)) goOn();
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      const { job, resolve } = next;
      resolve(this.#admits(job) ? await this.#tokenise(job) : { kind: 'slow' });
    }
    this.#isBusy = false;
  }

  #inTurn(channel: Channel, path: string): Promise<LoadedTokenizer> {
    const loading = this.#loadsBefore.then(() =>
      channel === this.#helper.channel ? this.#ask(channel, path) : this.#byNext(path),
    );
    this.#loadsBefore = loading;
    return loading;
  }

  /** What comes of it in a later thread: the one that runs now, or else the next one. */
  async #byNext(path: string): Promise<LoadedTokenizer> {
    if (!this.#helper.channel && !this.#stopped)
      await new Promise<void>((resolve) => {
        this.#forNext.push(resolve);
      });
    return this.#loads.get(path) ?? JUST_ENDED;
  }

  async #ask(channel: Channel, path: string): Promise<LoadedTokenizer> {
    const late = this.#replaceAfter(LOAD_MS);
    const loaded = await channel.ask(LOAD, path).catch(() => undefined);
    late.cancel();
    if (loaded) return loaded;
    const ends = (this.#endedOver.get(path) ?? 0) + 1;
    this.#endedOver.set(path, ends);
    // Or no thread would ever get to anything else.
    if (ends === MOST_ENDS) this.#loads.delete(path);
    return { kind: 'unreadable', reason: 'the text thread ended while it read it' };
  }

  async #tokenise(job: TextJob): Promise<TextResult> {
    const failed = { kind: 'failed', reason: JUST_ENDED.reason } as const;
    if (!this.#helper.channel) return failed;
    // What it has to load comes first, and has its own time.
    await Promise.all(this.#loads.values());
    const { channel } = this.#helper;
    if (!channel) return failed;
    const late = this.#replaceAfter(this.#jobMs);
    const result = await channel.ask(TOKENISE, job).catch(() => undefined);
    late.cancel();
    if (result) return result;
    this.#brakeOf(job.identity).slow(job.members.length);
    return { kind: 'failed', reason: 'the text thread ended over it' };
  }

  #admits({ identity, members }: TextJob): boolean {
    return this.#brakes.get(identity)?.admits(members.length) ?? true;
  }

  #brakeOf(identity: string): SizeBrake {
    const brake = this.#brakes.get(identity) ?? new SizeBrake(this.#clock);
    this.#brakes.delete(identity);
    this.#brakes.set(identity, brake);
    const [oldest] = this.#brakes.keys();
    if (this.#brakes.size > MOST_BRAKES && oldest !== undefined) this.#brakes.delete(oldest);
    return brake;
  }

  #replaceAfter(ms: number): Timer {
    return this.#clock.after(ms, () => {
      this.#helper.replace('over_time');
    });
  }
}
