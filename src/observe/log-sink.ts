import { fstatSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { destination } from 'pino';
import type { Clock } from '../base/clock.ts';
import { ensureDir } from '../base/ensure-dir.ts';

/** Where finished lines go. Never throws and never blocks: a full disk or a stalled reader must not stop requests. */
export interface LogSink {
  /** `line` ends with a newline. What is `urgent` is not kept back to be written with others, where that takes another thread. */
  write(line: string, urgent?: boolean): void;
  /** Lines of another thread, as they are; where it is missing, they are written one by one. */
  writeLines?(bytes: Buffer, lines: number): void;
  /** Resolves when everything accepted is written, or never can be. Later writes are ignored. */
  close(): Promise<void>;
  /** Lines given up because too much was waiting or the file could not be written. */
  readonly dropped: number;
}

/** Bytes that may wait for a slow disk or pipe before lines are dropped. */
const MAX_WAITING = 16 * 1024 * 1024;
/** Lines are written in batches of this size, since each write wakes a thread... */
const BATCH = 64 * 1024;
/** ...or after this long. */
const FLUSH_MS = 100;
/** UTF-8 takes at most so many bytes for a character of a string. */
const MOST_BYTES_PER_CHAR = 3;

/** Writes to an open file descriptor in the background. Descriptors 1 and 2 are left open at the end. */
export function fdSink(fd: number, options: { readonly batch: boolean }): LogSink {
  return new FdSink(fd, options.batch);
}

class FdSink implements LogSink {
  dropped = 0;
  readonly #stream: ReturnType<typeof destination>;
  #state: 'open' | 'broken' | 'closed' = 'open';
  /** Lines are turned into bytes as they come: kept as strings, what they were put together from would stay too. */
  #batch: Buffer | undefined;
  readonly #batchBytes: number;
  #gathered = 0;
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Bytes that have been handed to the stream, and are not known to be written. */
  #underWay = 0;

  constructor(fd: number, batch: boolean) {
    this.#batchBytes = batch ? BATCH : 0;
    this.#stream = destination({
      ...{ dest: fd, sync: false, maxLength: MAX_WAITING, maxWrite: 4 * BATCH },
      // Given strings, it would measure all that waits again with every line.
      contentMode: 'buffer',
    });
    this.#stream.on('drop', (bytes: Buffer) => {
      this.dropped += this.#lines;
      this.#underWay -= bytes.length;
    });
    this.#stream.on('write', (written: number) => {
      this.#underWay -= written;
    });
    this.#stream.on('error', (error: NodeJS.ErrnoException) => {
      this.dropped += 1;
      // The reader of the pipe is gone: pino's stream is deaf from here on and would never say that it closed.
      if (error.code === 'EPIPE') this.#state = 'broken';
    });
    gathering.add(this);
    atExit();
  }

  write(line: string): void {
    if (this.#state === 'broken') this.dropped += 1;
    if (this.#state !== 'open') return;
    const most = MOST_BYTES_PER_CHAR * line.length;
    if (this.#gathered + most > this.#batchBytes) this.flush();
    if (most > this.#batchBytes) {
      this.#hand(Buffer.from(line), 1);
      return;
    }
    this.#batch ??= Buffer.allocUnsafeSlow(this.#batchBytes);
    this.#gathered += this.#batch.write(line, this.#gathered);
    this.#lines += 1;
    this.#timer ??= setTimeout(this.#onTimer, FLUSH_MS).unref();
  }

  writeLines(bytes: Buffer, lines: number): void {
    if (this.#state === 'broken') this.dropped += lines;
    if (this.#state !== 'open') return;
    this.flush();
    this.#hand(bytes, lines);
  }

  close(): Promise<void> {
    if (this.#state !== 'open') return Promise.resolve();
    this.flush();
    this.#state = 'closed';
    gathering.delete(this);
    return new Promise((resolve) => {
      const done = (): void => {
        resolve();
      };
      this.#stream.once('close', done);
      this.#stream.once('error', done);
      this.#stream.end();
    });
  }

  /** Hands on what has been gathered. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#batch || this.#gathered === 0) return;
    const bytes = Buffer.from(this.#batch.subarray(0, this.#gathered));
    this.#gathered = 0;
    this.#hand(bytes, this.#lines);
  }

  get isWriting(): boolean {
    return this.#underWay > 0;
  }

  readonly #onTimer = (): void => {
    this.flush();
  };

  #hand(bytes: Buffer, lines: number): void {
    this.#lines = lines;
    this.#underWay += bytes.length;
    // Its type does not follow the content mode.
    (this.#stream as unknown as { write(bytes: Buffer): boolean }).write(bytes);
    this.#lines = 0;
  }
}

/** Hands lines that were made elsewhere to a sink, whole or one by one. */
export function writeLines(sink: LogSink, bytes: Buffer, lines: number): void {
  if (sink.writeLines) {
    sink.writeLines(bytes, lines);
    return;
  }
  for (const line of bytes.toString().split('\n').slice(0, -1)) sink.write(`${line}\n`);
}

const gathering = new Set<FdSink>();
const NOBODY_WAKES = new Int32Array(new SharedArrayBuffer(4));
/** At exit, for a write that has begun. */
const LAST_WRITE_MS = 100;
let watchesExit = false;

/** Pino's streams write at exit what is in them; what is still here must be there before. */
function atExit(): void {
  if (watchesExit) return;
  watchesExit = true;
  const flush = (): void => {
    for (const sink of gathering) sink.flush();
  };
  process.prependListener('beforeExit', flush).prependListener('exit', () => {
    flush();
    // What another thread of Node is about to write is lost with the process, and nobody can ask how far it is.
    if ([...gathering].some(({ isWriting }) => isWriting)) Atomics.wait(NOBODY_WAKES, 0, 0, LAST_WRITE_MS);
  });
}

const DAY_MS = 86_400_000;
/** Lines may go into a file that is not there any more for this long. */
const LOOK_MS = 1_000;

/** A sink of files that are followed by others. */
export interface FileSink extends LogSink {
  /** Files opened anew because the one before had been removed or moved away. */
  readonly reopened: number;
}

/** Today's file. */
interface DayFile {
  readonly path: string;
  readonly fd: number;
  readonly sink: LogSink;
  /** When the next one is due. */
  readonly endsAt: number;
}

/**
 * One file per day, `vllm-router.YYYY-MM-DD` in UTC as the reference router names them, appended to across restarts. A file
 * that is removed or moved away while it is written to is followed by another one, its folder included.
 * @throws the file system's error when the folder or today's file cannot be made.
 */
export function dailyFileSink(dir: string, clock: Clock): FileSink {
  let current = openDay(dir, clock.wall());
  let lookAt = Math.min(clock.wall() + LOOK_MS, current.endsAt);
  let linesSinceLook = 0;
  let dropped = 0;
  let reopened = 0;
  const closing = new Set<Promise<void>>();

  const look = (now: number): void => {
    lookAt = now + LOOK_MS;
    const place = placeOf(current);
    // Into a file without a name: nobody will read them.
    if (place === 'removed') dropped += linesSinceLook;
    linesSinceLook = 0;
    if (place === 'there' && now < current.endsAt) {
      lookAt = Math.min(lookAt, current.endsAt);
      return;
    }
    const old = current.sink;
    try {
      current = openDay(dir, now);
    } catch {
      // It cannot be made: go on in the old file, which is still open, and try again soon.
      return;
    }
    if (place !== 'there') reopened += 1;
    dropped += old.dropped;
    const end = old.close().then(() => {
      closing.delete(end);
    });
    closing.add(end);
  };
  return {
    get dropped() {
      return dropped + current.sink.dropped;
    },
    get reopened() {
      return reopened;
    },
    write(line) {
      const now = clock.wall();
      if (now >= lookAt) look(now);
      linesSinceLook += 1;
      current.sink.write(line);
    },
    writeLines(bytes, lines) {
      const now = clock.wall();
      if (now >= lookAt) look(now);
      linesSinceLook += lines;
      writeLines(current.sink, bytes, lines);
    },
    async close() {
      await Promise.all([...closing, current.sink.close()]);
    },
  };
}

function openDay(dir: string, wall: number): DayFile {
  ensureDir(dir);
  const day = new Date(wall).toISOString().slice(0, 10);
  const path = join(dir, `vllm-router.${day}`);
  const fd = openSync(path, 'a', 0o640);
  return { path, fd, sink: fdSink(fd, { batch: true }), endsAt: nextMidnight(wall) };
}

function placeOf({ path, fd }: DayFile): 'there' | 'moved' | 'removed' {
  try {
    const open = fstatSync(fd);
    const named = statSync(path, { throwIfNoEntry: false });
    if (named?.ino === open.ino && named.dev === open.dev) return 'there';
    return open.nlink > 0 ? 'moved' : 'removed';
  } catch {
    // Whoever cannot look, cannot say that it is gone.
    return 'there';
  }
}

function nextMidnight(wall: number): number {
  return (Math.floor(wall / DAY_MS) + 1) * DAY_MS;
}
