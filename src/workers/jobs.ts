import type { Clock, Timer } from '../base/clock.ts';

export type JobKind = 'add' | 'remove';

export type JobState =
  /** Waits for its turn, or for another try: then `reason` says what the last one came to. */
  | { readonly name: 'queued'; readonly reason: string | undefined }
  | { readonly name: 'running'; readonly reason: string | undefined }
  /** `notices`: what was done otherwise than one may think. */
  | { readonly name: 'done'; readonly endedAt: number; readonly notices: readonly string[] }
  | { readonly name: 'failed'; readonly endedAt: number; readonly reason: string };

/** Something that is being done to workers while whoever asked for it has his answer already. */
export interface Job<About> {
  readonly id: string;
  readonly kind: JobKind;
  /** What it is done to: a worker's URL. */
  readonly target: string;
  readonly about: About;
  /** Wall clock, ms. */
  readonly createdAt: number;
  /** Steps begun. */
  readonly tries: number;
  readonly state: JobState;
}

export type StepResult =
  | { readonly kind: 'done'; readonly notices?: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: string }
  /** Not yet: once more after that long. The job gives its place up meanwhile. */
  | { readonly kind: 'again'; readonly afterMs: number; readonly reason: string };

export interface Task<About> {
  readonly kind: JobKind;
  readonly target: string;
  readonly about: About;
  /** One try. `signal` is aborted when the job is given up; what the step answers then counts no more. */
  readonly step: (signal: AbortSignal) => Promise<StepResult>;
}

export type Submitted<About> =
  | { readonly kind: 'accepted'; readonly job: Job<About> }
  /** The target has a job already that has not ended. */
  | { readonly kind: 'busy'; readonly job: Job<About> }
  | { readonly kind: 'full' };

export interface JobLimits {
  /** Jobs whose step is under way at once, by kind. */
  readonly running: Readonly<Record<JobKind, number>>;
  /** Jobs that have not ended, those under way included. */
  readonly open: number;
  /** Ended jobs that can still be looked up; the oldest are forgotten. */
  readonly ended: number;
}

interface Entry<About> extends Job<About> {
  readonly task: Task<About>;
  readonly abort: AbortController;
  tries: number;
  state: JobState;
  timer: Timer | undefined;
  readonly waiting: ((job: Job<About>) => void)[];
}

export function isOpen(job: Job<unknown>): boolean {
  return job.state.name === 'queued' || job.state.name === 'running';
}

/**
 * A bounded queue of jobs. Every kind has its own line, so that removals that wait for long streams do not hold up
 * registrations. A target has at most one job at a time, and its latest can be looked up for a while after its end.
 */
export class JobQueue<About> {
  readonly #clock: Clock;
  readonly #limits: JobLimits;
  readonly #onEnd: (job: Job<About>) => void;
  /** The latest of each target, in the order of submission. */
  readonly #byTarget = new Map<string, Entry<About>>();
  /** In the order of their end. */
  readonly #ended = new Set<Entry<About>>();
  readonly #lines: Readonly<Record<JobKind, Set<Entry<About>>>> = { add: new Set(), remove: new Set() };
  readonly #running: Record<JobKind, number> = { add: 0, remove: 0 };
  #open = 0;
  #count = 0;
  #closed = false;

  constructor(deps: {
    readonly clock: Clock;
    readonly limits: JobLimits;
    /** Told of every job that has ended, before those who wait for it. */
    readonly onEnd: (job: Job<About>) => void;
  }) {
    this.#clock = deps.clock;
    this.#limits = deps.limits;
    this.#onEnd = deps.onEnd;
  }

  submit(task: Task<About>): Submitted<About> {
    const known = this.#byTarget.get(task.target);
    if (known && isOpen(known)) return { kind: 'busy', job: known };
    if (this.#closed || this.#open >= this.#limits.open) return { kind: 'full' };
    if (known) this.#ended.delete(known);
    this.#count += 1;
    this.#open += 1;
    const entry: Entry<About> = {
      id: `job-${this.#count}`,
      kind: task.kind,
      target: task.target,
      about: task.about,
      createdAt: this.#clock.wall(),
      tries: 0,
      state: { name: 'queued', reason: undefined },
      task,
      abort: new AbortController(),
      timer: undefined,
      waiting: [],
    };
    // Deleted first, so that the map stays in the order of submission.
    this.#byTarget.delete(task.target);
    this.#byTarget.set(task.target, entry);
    this.#lines[task.kind].add(entry);
    this.#advance(task.kind);
    return { kind: 'accepted', job: entry };
  }

  /** The target's latest job. */
  of(target: string): Job<About> | undefined {
    return this.#byTarget.get(target);
  }

  /** The latest job of every target, in the order of submission. */
  list(): readonly Job<About>[] {
    return [...this.#byTarget.values()];
  }

  /** Jobs that have not ended. */
  get open(): number {
    return this.#open;
  }

  /** Resolves when the job has ended, to the job. */
  ended(job: Job<About>): Promise<Job<About>> {
    const entry = this.#byTarget.get(job.target);
    if (entry !== job || !isOpen(entry)) return Promise.resolve(job);
    return new Promise((resolve) => {
      entry.waiting.push(resolve);
    });
  }

  /** Gives an open job up: it has failed for that reason. */
  cancel(job: Job<About>, reason: string): void {
    const entry = this.#byTarget.get(job.target);
    if (entry === job && isOpen(entry)) this.#end(entry, { kind: 'failed', reason });
  }

  /** Gives every open job up and takes no more. */
  close(reason: string): void {
    this.#closed = true;
    for (const entry of [...this.#byTarget.values()]) this.cancel(entry, reason);
  }

  #advance(kind: JobKind): void {
    for (const entry of this.#lines[kind]) {
      if (this.#running[kind] >= this.#limits.running[kind]) return;
      this.#lines[kind].delete(entry);
      this.#start(entry);
    }
  }

  #start(entry: Entry<About>): void {
    const { kind, task, abort } = entry;
    entry.state = { name: 'running', reason: reasonOf(entry.state) };
    entry.tries += 1;
    this.#running[kind] += 1;
    void outcome(task, abort.signal).then((result) => {
      this.#running[kind] -= 1;
      if (isOpen(entry)) this.#settle(entry, result);
      this.#advance(kind);
    });
  }

  #settle(entry: Entry<About>, result: StepResult): void {
    if (result.kind !== 'again') {
      this.#end(entry, result);
      return;
    }
    entry.state = { name: 'queued', reason: result.reason };
    entry.timer = this.#clock.after(result.afterMs, () => {
      this.#lines[entry.kind].add(entry);
      this.#advance(entry.kind);
    });
  }

  #end(entry: Entry<About>, result: Exclude<StepResult, { kind: 'again' }>): void {
    const endedAt = this.#clock.wall();
    entry.state =
      result.kind === 'done'
        ? { name: 'done', endedAt, notices: result.notices ?? [] }
        : { name: 'failed', endedAt, reason: result.reason };
    entry.timer?.cancel();
    this.#lines[entry.kind].delete(entry);
    this.#open -= 1;
    entry.abort.abort();
    this.#keep(entry);
    this.#onEnd(entry);
    for (const resolve of entry.waiting.splice(0)) resolve(entry);
  }

  #keep(entry: Entry<About>): void {
    this.#ended.add(entry);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= this.#limits.ended) return;
      this.#ended.delete(oldest);
      this.#byTarget.delete(oldest.target);
    }
  }
}

function reasonOf(state: JobState): string | undefined {
  return 'reason' in state ? state.reason : undefined;
}

/** A step that throws has failed: a fault in one must not stop the line. */
async function outcome<About>(task: Task<About>, signal: AbortSignal): Promise<StepResult> {
  try {
    return await task.step(signal);
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) };
  }
}
