import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import { ensureDir } from '../base/ensure-dir.ts';
import type { DecisionLogSettings } from '../config/settings/settings.ts';
import {
  compress,
  isAt,
  moveAside,
  openCurrent,
  removeOldest,
  segmentsOf,
  type CurrentFile,
} from './log-files.ts';
import { WaitingLines, type LineBatch } from './waiting-lines.ts';

export interface DecisionLogDeps {
  readonly clock: Clock;
  /** The file system's error, and how many records were given up by then; told once per spell of trouble. */
  readonly onTrouble: (error: unknown, dropped: number) => void;
}

/** What is written at once at most: the event loop and the disk get their turns between. */
const WRITE_BYTES = 256 * 1024;
const RETRY_MS = 1_000;
const LINE_FEED = Buffer.from('\n');

/**
 * Appends one line per record to a file, in the background. Nobody waits for the disk: what it cannot take stays in
 * memory up to a bound, and beyond that records are given up and counted. Lines are whole or, after a crash in the middle
 * of one, cut: then the next begins on a line of its own, and readers skip the cut one.
 */
export class DecisionLog {
  readonly #deps: DecisionLogDeps;
  #settings: DecisionLogSettings;
  #file: CurrentFile | undefined;
  readonly #waiting = new WaitingLines();
  #writing: Promise<void> | undefined;
  #timer: Timer | undefined;
  #compressing: Promise<void> = Promise.resolve();
  #inTrouble = false;
  #closed = false;
  #written = 0;
  #dropped = 0;
  #reopened = 0;

  constructor(settings: DecisionLogSettings, deps: DecisionLogDeps) {
    this.#settings = settings;
    this.#deps = deps;
  }

  /** Records on disk, as far as the operating system says. */
  get written(): number {
    return this.#written;
  }

  /** Records given up. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Files opened anew because the one before had been removed or moved away. */
  get reopened(): number {
    return this.#reopened;
  }

  get waitingBytes(): number {
    return this.#waiting.bytes;
  }

  /** Opens the file, so that a path that cannot be written is found at the start. Rejects with the system's error. */
  async open(): Promise<void> {
    await this.#current();
    // What was left uncompressed when the process ended.
    const left = (await segmentsOf(this.#settings.path)).filter((segment) => !segment.endsWith('.gz'));
    for (const segment of left) this.#compressLater(segment);
    this.#arm();
  }

  /** Other intervals, bounds and rotation from now on; another path takes a restart. */
  reconfigure(settings: DecisionLogSettings): void {
    this.#settings = { ...settings, path: this.#settings.path };
    this.#arm();
  }

  /** `record` is what JSON makes of it; undefined members are left out. */
  push(record: object): void {
    if (this.#closed) return;
    const line = `${JSON.stringify(record)}\n`;
    if (this.#waiting.bytes + line.length > this.#settings.maxWaitingBytes) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.add(line);
    if (this.#waiting.bytes >= WRITE_BYTES && !this.#inTrouble) this.#write();
  }

  /** Lines of records that another thread has made, and how many it had to give up before. */
  pushLines(batch: LineBatch, givenUp: number): void {
    this.#dropped += givenUp;
    const isFull = this.#waiting.bytes + batch.bytes.length > this.#settings.maxWaitingBytes;
    if (this.#closed || isFull || batch.lines === 0) {
      this.#dropped += batch.lines;
      batch.onDone();
      return;
    }
    this.#waiting.add(batch);
    if (this.#waiting.bytes >= WRITE_BYTES && !this.#inTrouble) this.#write();
  }

  /** Resolves when everything accepted has been handed to the operating system, or cannot be. */
  async flush(): Promise<void> {
    this.#write();
    await this.#writing;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.flush();
    this.#closed = true;
    this.#timer?.cancel();
    this.#dropped += this.#waiting.lines;
    await this.#compressing;
    await this.#file?.handle.close();
  }

  #arm(): void {
    this.#timer?.cancel();
    const afterMs = this.#inTrouble
      ? Math.min(RETRY_MS, this.#settings.intervalMs)
      : this.#settings.intervalMs;
    this.#timer = this.#deps.clock.after(afterMs, () => {
      this.#write();
      if (!this.#closed) this.#arm();
    });
  }

  #write(): void {
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined;
    });
  }

  async #drain(): Promise<void> {
    try {
      await this.#reopenIfGone();
      await this.#rotateIfDue();
      while (!this.#waiting.isEmpty) await this.#append();
      this.#inTrouble = false;
    } catch (error) {
      if (!this.#inTrouble) this.#deps.onTrouble(error, this.#dropped);
      this.#inTrouble = true;
    }
  }

  /** Writes the oldest lines. What could not be written whole is written again, on a line of its own. */
  async #append(): Promise<void> {
    const file = await this.#current();
    const { bytes: text, lines } = this.#waiting.oldest(WRITE_BYTES);
    const bytes = file.torn ? Buffer.concat([LINE_FEED, text]) : text;
    let done = 0;
    try {
      while (done < bytes.length) done += (await file.handle.write(bytes, done)).bytesWritten;
    } finally {
      file.bytes += done;
      if (done > 0) file.torn = bytes[done - 1] !== 0x0a;
      const whole = done === bytes.length ? lines : wholeLines(bytes, done);
      this.#waiting.remove(whole);
      this.#written += whole;
    }
    await this.#rotateIfDue();
  }

  async #current(): Promise<CurrentFile> {
    if (this.#file) return this.#file;
    ensureDir(dirname(this.#settings.path));
    this.#file = await openCurrent(this.#settings.path, this.#deps.clock.now());
    return this.#file;
  }

  /** A file that was removed or moved away would take records that nobody reads: another one takes its place. */
  async #reopenIfGone(): Promise<void> {
    const file = this.#file;
    if (!file || this.#waiting.isEmpty || (await isAt(file, this.#settings.path))) return;
    this.#reopened += 1;
    this.#file = undefined;
    await file.handle.close();
    await this.#current();
  }

  async #rotateIfDue(): Promise<void> {
    const file = this.#file;
    if (!file || file.bytes === 0) return;
    const { maxFileBytes, maxFileAgeMs, path } = this.#settings;
    const isOld = this.#deps.clock.now() - file.openedAt >= maxFileAgeMs;
    if (file.bytes < maxFileBytes && !isOld) return;
    this.#file = undefined;
    await file.handle.close();
    this.#compressLater(await moveAside(path, this.#deps.clock.wall()));
    await this.#current();
  }

  #compressLater(segment: string): void {
    this.#compressing = this.#compressing.then(async () => {
      try {
        await compress(segment);
        await removeOldest(this.#settings.path, this.#settings.keepFiles);
      } catch (error) {
        this.#deps.onTrouble(error, this.#dropped);
      }
    });
  }
}

/** Lines that are complete within the first `done` bytes; the line feed that ends a torn line is none of them. */
function wholeLines(bytes: Buffer, done: number): number {
  let count = 0;
  for (let at = bytes[0] === 0x0a ? 1 : 0; at < done; at += 1) if (bytes[at] === 0x0a) count += 1;
  return count;
}
