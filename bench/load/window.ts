import { EVENT_BYTES } from './canned-answers.ts';
import { percentiles } from './percentiles.ts';
import { cpuMsBetween, cpuTimes, type CpuTimes } from './process-usage.ts';
import type { Measured, TargetAddress } from './protocol.ts';

interface Marks {
  readonly at: number;
  readonly cpu: CpuTimes;
  readonly questions: number;
}

const NOTHING: CpuTimes = new Map();

/** Counts what ends between `open` and `close`, and reads the target's CPU time at both moments. */
export class Window {
  readonly #pid: number | undefined;
  readonly #workers: readonly { readonly questions: number }[];
  readonly #latencies: number[] = [];
  #start: Marks | undefined;
  #requests = 0;
  #bytesBefore = 0;
  #errors = 0;
  #problem: string | undefined;

  constructor(target: TargetAddress, workers: readonly { readonly questions: number }[]) {
    this.#pid = target.pid;
    this.#workers = workers;
  }

  /** `bytes`: body bytes received so far, for counting events. */
  open(bytes = 0): void {
    this.#bytesBefore = bytes;
    this.#start = this.#mark();
  }

  answered(latencyMs: number): void {
    if (!this.#start) return;
    this.#requests += 1;
    this.#latencies.push(latencyMs);
  }

  /** Errors count from the first request on, warm-up included. */
  failed(problem: string | undefined): void {
    this.#errors += 1;
    this.#problem ??= problem;
  }

  close(bytes = 0): Measured {
    const start = this.#start ?? this.#mark();
    const end = this.#mark();
    const windowMs = end.at - start.at;
    return {
      windowMs,
      requests: this.#requests,
      events: Math.round((bytes - this.#bytesBefore) / EVENT_BYTES),
      errors: this.#errors,
      problem: this.#problem,
      cpuMs: cpuMsBetween(start.cpu, end.cpu),
      questions: end.questions - start.questions,
      latency: percentiles(this.#latencies),
    };
  }

  #mark(): Marks {
    return {
      at: performance.now(),
      cpu: this.#pid === undefined ? NOTHING : cpuTimes(this.#pid),
      questions: this.#workers.reduce((sum, { questions }) => sum + questions, 0),
    };
  }
}
