import { extname } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { silentLog } from '../observe/log.ts';
import { createMetrics } from '../observe/metrics.ts';
import { TextJobs } from '../tokenize/local/text-jobs.ts';

/** Of what the process may have, MiB: a vocabulary of a quarter of a million takes some 300. */
const TEXT_HEAP_MB = 2_048;
const TEXT_THREAD = new URL(`../tokenize/local/text-thread${extname(import.meta.url)}`, import.meta.url);

/** A text thread for one examination: begun when a tokenizer is to be compared. */
export class OwnText {
  readonly #clock: Clock;
  #jobs: TextJobs | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly open = (): TextJobs =>
    (this.#jobs ??= new TextJobs({
      ...{ clock: this.#clock, log: silentLog, metrics: createMetrics() },
      ...{ module: TEXT_THREAD, heapMb: TEXT_HEAP_MB },
    }));

  async close(): Promise<void> {
    await this.#jobs?.stop();
  }
}
