import type { Transform } from 'node:stream';
import { decoderOf, type Coding } from '../../http/content-coding.ts';

const NOTHING = Buffer.alloc(0);
/** How zlib's format begins as a rule. */
const ZLIB_HEAD = Buffer.of(0x78, 0x01);

export interface DecoderEvents {
  /** False = not ready for more before `resume`. */
  onChunk(chunk: Buffer): boolean;
  /** More can be written. */
  onDrain(): void;
  /** Told at once; nothing more will come out. */
  onFailed(): void;
}

/** Decodes an answer as it comes. What it holds is bounded: it takes no more than it can hand on. */
export class AnswerDecoder {
  readonly #codings: readonly Coding[];
  readonly #events: DecoderEvents;
  #first: Transform | undefined;
  #last: Transform | undefined;
  #failed = false;
  #onEnd: ((whole: boolean) => void) | undefined;

  constructor(codings: readonly Coding[], events: DecoderEvents) {
    this.#codings = codings;
    this.#events = events;
  }

  /** Whether everything that came out has been taken. */
  get isIdle(): boolean {
    return this.#last === undefined || (!this.#last.isPaused() && this.#last.readableLength === 0);
  }

  /** False = wait for `onDrain`. */
  write(chunk: Buffer): boolean {
    if (this.#failed || chunk.length === 0) return true;
    return this.#begin(chunk).write(chunk) || this.#failed;
  }

  resume(): void {
    this.#last?.resume();
  }

  /** Everything has been written: `onEnd` hears, once all has come out, whether it was whole. */
  end(onEnd: (whole: boolean) => void): void {
    if (this.#failed || !this.#first) {
      onEnd(!this.#failed);
      return;
    }
    this.#onEnd = onEnd;
    this.#first.end();
  }

  /** Nothing more will be written, and the end is missing: `then` is called when what came has come out. */
  settle(then: () => void): void {
    const first = this.#first;
    const last = this.#last;
    if (this.#failed || !first || !last) {
      then();
      return;
    }
    const settled = (): void => void setImmediate(then);
    first.write(NOTHING, () => (first === last ? settled() : last.write(NOTHING, settled)));
  }

  destroy(): void {
    this.#failed = true;
    this.#first?.destroy();
    this.#last?.destroy();
  }

  /** The first bytes tell the format, so that this waits for them. */
  #begin(chunk: Buffer): Transform {
    if (this.#first) return this.#first;
    const chain = this.#codings.toReversed().map((coding, index) => {
      const [first = 0, second = 0x01] = index === 0 ? chunk : ZLIB_HEAD;
      return decoderOf(coding, first, second);
    });
    for (const [index, step] of chain.entries()) {
      step.on('error', this.#onError);
      const next = chain[index + 1];
      if (next) step.pipe(next);
    }
    const [first] = chain;
    const last = chain.at(-1);
    if (!first || !last) throw new Error('nothing to decode');
    this.#first = first;
    this.#last = last;
    first.on('drain', () => {
      this.#events.onDrain();
    });
    last.on('data', (chunk: Buffer) => {
      if (!this.#failed && !this.#events.onChunk(chunk)) last.pause();
    });
    last.once('end', () => this.#onEnd?.(true));
    return first;
  }

  readonly #onError = (): void => {
    if (this.#failed) return;
    this.destroy();
    this.#onEnd?.(false);
    this.#events.onFailed();
    this.#events.onDrain();
  };
}
