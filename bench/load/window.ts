import { EVENT_BYTES } from './canned-worker.ts';
import { percentiles } from './percentiles.ts';
import { cpuMs } from './process-usage.ts';
import type { Measured, TargetAddress } from './protocol.ts';

interface Marks {
  readonly at: number;
  readonly cpu: number;
}

/** Counts what ends between `open` and `close`, and reads the target's CPU time at both moments. */
export class Window {
  readonly #pid: number | undefined;
  readonly #latencies: number[] = [];
  #start: Marks | undefined;
  #requests = 0;
  #bytesBefore = 0;
  #errors = 0;
  #problem: string | undefined;

  constructor(target: TargetAddress) {
    this.#pid = target.pid;
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
      cpuMs: end.cpu - start.cpu,
      latency: percentiles(this.#latencies),
    };
  }

  #mark(): Marks {
    return { at: performance.now(), cpu: this.#pid === undefined ? 0 : cpuMs(this.#pid) };
  }
}
