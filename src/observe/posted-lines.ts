import type { Channel, Channels, MessageKind, QuestionKind } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';

/** Whole lines that a request thread has made for control to write. */
export interface PostedLines {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lines: number;
  /** Lines that were given up since the last that came, since too much was under way. */
  readonly dropped: number;
}

/** What is said about the lines of one log. */
export interface LineKinds {
  readonly lines: MessageKind<PostedLines>;
  /** Back: so many bytes of them are no longer under way. */
  readonly done: MessageKind<number>;
  /** Answered when all that was posted before has been taken. */
  readonly taken: QuestionKind<undefined, undefined>;
}

export function lineKinds(log: string): LineKinds {
  return {
    lines: { name: `${log}:lines` },
    done: { name: `${log}:done` },
    taken: { name: `${log}:taken` },
  };
}

/** Lines are posted in batches of this size... */
const BATCH = 64 * 1024;
/** ...or after this long. */
const FLUSH_MS = 100;
/** UTF-8 takes at most so many bytes for a character of a string. */
const MOST_BYTES_PER_CHAR = 3;

export interface LinePosterDeps {
  readonly channel: Channel;
  readonly kinds: LineKinds;
  readonly clock: Clock;
  /** Bytes that may be under way; more is given up and counted. */
  readonly mostBytes: number;
}

/** The end of a request thread: posts its lines in batches, in their order. */
export class LinePoster {
  readonly #deps: LinePosterDeps;
  #mostBytes: number;
  #batch: Buffer<ArrayBuffer> | undefined;
  #gathered = 0;
  #lines = 0;
  #underWay = 0;
  #unreported = 0;
  #dropped = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(deps: LinePosterDeps) {
    this.#deps = deps;
    this.#mostBytes = deps.mostBytes;
    deps.channel.on(deps.kinds.done, (bytes) => {
      this.#underWay -= bytes;
      if (this.#unreported > 0) this.#arm();
    });
  }

  /** Lines given up so far. */
  get dropped(): number {
    return this.#dropped;
  }

  set mostBytes(bytes: number) {
    this.#mostBytes = bytes;
  }

  /** `line` ends with a newline. */
  write(line: string, urgent = false): void {
    if (this.#closed) return;
    // Enough of a measure for a bound: what is no ASCII takes more.
    if (this.#underWay + this.#gathered + line.length > this.#mostBytes) {
      this.#dropped += 1;
      this.#unreported += 1;
      return;
    }
    const most = MOST_BYTES_PER_CHAR * line.length;
    if (this.#gathered + most > BATCH) this.flush();
    if (most > BATCH) {
      this.#post(Buffer.from(line), 1);
      return;
    }
    this.#batch ??= Buffer.from(new ArrayBuffer(BATCH));
    this.#gathered += this.#batch.write(line, this.#gathered);
    this.#lines += 1;
    if (urgent) this.flush();
    else this.#arm();
  }

  /** Posts what has been gathered. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#lines === 0 && this.#unreported === 0) return;
    const bytes = this.#batch?.subarray(0, this.#gathered) ?? new Uint8Array(0);
    const lines = this.#lines;
    this.#gathered = 0;
    this.#lines = 0;
    this.#post(bytes, lines);
  }

  /** Resolves when control has everything, or is gone. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.flush();
    const { channel, kinds } = this.#deps;
    await channel.ask(kinds.taken, undefined).catch(() => undefined);
  }

  #arm(): void {
    this.#timer ??= this.#deps.clock.after(FLUSH_MS, () => {
      this.flush();
    });
  }

  #post(gathered: Uint8Array, lines: number): void {
    // Of its own size, since it is given away whole.
    const bytes = new Uint8Array(gathered);
    const dropped = this.#unreported;
    this.#unreported = 0;
    this.#underWay += bytes.length;
    const { channel, kinds } = this.#deps;
    channel.post(kinds.lines, { bytes, lines, dropped }, [bytes.buffer]);
  }
}

/**
 * The end of control. `take` gets what each thread posts, in the order of that thread, and calls `done` when it holds the lines no
 * more.
 */
export function takeLines(
  channels: Channels,
  kinds: LineKinds,
  take: (posted: PostedLines, done: () => void) => void,
): void {
  channels.on(kinds.lines, (row, posted) => {
    const channel = channels.to(row);
    take(posted, () => channel?.post(kinds.done, posted.bytes.length));
  });
  channels.answer(kinds.taken, () => undefined);
}
