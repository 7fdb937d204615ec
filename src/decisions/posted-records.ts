import type { Channel, Channels } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import type { DecisionLogSettings } from '../config/settings/settings.ts';
import { LinePoster, lineKinds, takeLines } from '../observe/posted-lines.ts';
import type { DecisionLog } from './decision-log.ts';

export const RECORD_LINES = lineKinds('records');

export interface PostedRecordsDeps {
  readonly channel: Channel;
  readonly clock: Clock;
  /** How many threads share what may wait. */
  readonly threads: number;
}

/**
 * The decision log as a request thread has it: records become lines here, and control writes them. What is on its way, or waits
 * there for the disk, is this thread's share of what may wait at all.
 */
export class PostedRecords {
  readonly #lines: LinePoster;
  readonly #threads: number;
  /** What is written is control's to count. */
  readonly written = 0;
  readonly reopened = 0;

  constructor({ maxWaitingBytes }: DecisionLogSettings, { channel, clock, threads }: PostedRecordsDeps) {
    this.#threads = threads;
    this.#lines = new LinePoster({
      ...{ channel, clock, kinds: RECORD_LINES },
      mostBytes: maxWaitingBytes / threads,
    });
  }

  /** Records given up by this thread. */
  get dropped(): number {
    return this.#lines.dropped;
  }

  /** Control opens it. */
  open(): Promise<void> {
    return Promise.resolve();
  }

  reconfigure({ maxWaitingBytes }: DecisionLogSettings): void {
    this.#lines.mostBytes = maxWaitingBytes / this.#threads;
  }

  push(record: object): void {
    this.#lines.write(`${JSON.stringify(record)}\n`);
  }

  /** Resolves when control has all of them. */
  close(): Promise<void> {
    return this.#lines.close();
  }
}

/** In control: the log gets the records of all request threads. */
export function takeRecords(channels: Channels, log: DecisionLog): void {
  takeLines(channels, RECORD_LINES, ({ bytes, lines, dropped }, onDone) => {
    log.pushLines({ bytes, lines, onDone }, dropped);
  });
}
