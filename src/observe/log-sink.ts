import { openSync } from 'node:fs';
import { join } from 'node:path';
import { destination, type DestinationStream } from 'pino';
import type { Clock } from '../base/clock.ts';
import { ensureDir } from '../base/ensure-dir.ts';

/** Where finished lines go. Never throws and never blocks: a full disk or a stalled reader must not stop requests. */
export interface LogSink {
  /** `line` ends with a newline. */
  write(line: string): void;
  /** Resolves when everything accepted is written, or never can be. Later writes are ignored. */
  close(): Promise<void>;
  /** Lines given up because too much was waiting or the file could not be written. */
  readonly dropped: number;
}

/** Characters that may wait for a slow disk or pipe before lines are dropped. */
const MAX_WAITING = 16 * 1024 * 1024;
/** Lines are written in batches of about this size: each write wakes a thread... */
const BATCH = 16 * 1024;
/** ...or after this long. */
const FLUSH_MS = 100;

/** Writes to an open file descriptor in the background. Descriptors 1 and 2 are left open at the end. */
export function fdSink(fd: number, options: { readonly batch: boolean }): LogSink {
  const stream = destination({
    dest: fd,
    sync: false,
    // Given strings, it would measure all that waits again with every line.
    contentMode: 'buffer',
    minLength: options.batch ? BATCH : 0,
    maxWrite: 4 * BATCH,
    periodicFlush: options.batch ? FLUSH_MS : 0,
    maxLength: MAX_WAITING,
  });
  // Its type does not follow the content mode.
  const lines = stream as unknown as { write(line: Buffer): boolean };
  let dropped = 0;
  let state: 'open' | 'broken' | 'closed' = 'open';
  stream.on('drop', () => {
    dropped++;
  });
  stream.on('error', (error: NodeJS.ErrnoException) => {
    dropped++;
    // The reader of the pipe is gone: pino's stream is deaf from here on and would never say that it closed.
    if (error.code === 'EPIPE') state = 'broken';
  });
  return {
    get dropped() {
      return dropped;
    },
    write(line) {
      if (state === 'open') lines.write(Buffer.from(line));
      else if (state === 'broken') dropped++;
    },
    close() {
      if (state !== 'open') return Promise.resolve();
      state = 'closed';
      return new Promise((resolve) => {
        const done = (): void => {
          resolve();
        };
        stream.once('close', done);
        stream.once('error', done);
        stream.end();
      });
    },
  };
}

const DAY_MS = 86_400_000;
const RETRY_MS = 60_000;

/**
 * One file per day, `vllm-router.YYYY-MM-DD` in UTC as the reference router names them, appended to across restarts.
 * @throws the file system's error when the folder or today's file cannot be made.
 */
export function dailyFileSink(dir: string, clock: Clock): LogSink {
  ensureDir(dir);
  let current = openDay(dir, clock.wall());
  let nextAt = nextMidnight(clock.wall());
  let droppedBefore = 0;
  const closing = new Set<Promise<void>>();

  const roll = (now: number): void => {
    try {
      const old = current;
      current = openDay(dir, now);
      nextAt = nextMidnight(now);
      droppedBefore += old.dropped;
      const end = old.close().then(() => {
        closing.delete(end);
      });
      closing.add(end);
    } catch {
      // The folder is gone or full: go on in yesterday's file, which is still open, and try again soon.
      nextAt = now + RETRY_MS;
    }
  };
  return {
    get dropped() {
      return droppedBefore + current.dropped;
    },
    write(line) {
      const now = clock.wall();
      if (now >= nextAt) roll(now);
      current.write(line);
    },
    async close() {
      await Promise.all([...closing, current.close()]);
    },
  };
}

function openDay(dir: string, wall: number): LogSink {
  const day = new Date(wall).toISOString().slice(0, 10);
  return fdSink(openSync(join(dir, `vllm-router.${day}`), 'a', 0o640), { batch: true });
}

function nextMidnight(wall: number): number {
  return (Math.floor(wall / DAY_MS) + 1) * DAY_MS;
}

/** Hands every line to all of the sinks. */
export function fanOut(sinks: readonly LogSink[]): DestinationStream {
  return {
    write(line) {
      for (const sink of sinks) sink.write(line);
    },
  };
}
