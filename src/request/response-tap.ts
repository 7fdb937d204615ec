import { findUsage, type Usage } from '../api/usage.ts';

/** What passes by in a response body, watched without holding it up or changing a byte. */
export interface ResponseTap {
  push(chunk: Buffer): void;
  /** Whether the body, as far as it came, ends as its protocol demands. Asked only for bodies without framing. */
  complete(): boolean;
  /** Whether an event could be appended right now. */
  readonly atEventBoundary: boolean;
  /** Data events seen so far; 0 for bodies that are not event streams. */
  readonly events: number;
  usage(): Usage | undefined;
  /** Id of the stored response that the body describes (`resp_...`). */
  resourceId(): string | undefined;
}

/** Enough for the usage chunk and the terminator of any known API. */
const TAIL_BYTES = 8 * 1024;
const HEAD_BYTES = 4 * 1024;

/** The first and the last bytes of a body, by reference to its chunks. */
class Ends {
  readonly #head: Buffer[] = [];
  #headBytes = 0;
  #tail: Buffer[] = [];
  #tailBytes = 0;

  push(chunk: Buffer): void {
    if (this.#headBytes < HEAD_BYTES) {
      this.#head.push(chunk.length > HEAD_BYTES ? chunk.subarray(0, HEAD_BYTES) : chunk);
      this.#headBytes += chunk.length;
    }
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    if (this.#tailBytes > 2 * TAIL_BYTES || this.#tail.length > 256) this.#trim();
  }

  head(): string {
    return Buffer.concat(this.#head).toString('utf8');
  }

  tail(): string {
    this.#trim();
    return Buffer.concat(this.#tail).toString('utf8');
  }

  /** Copies the part that is kept, so that large chunks are not held for their last bytes. */
  #trim(): void {
    const all = Buffer.concat(this.#tail);
    const kept = Buffer.from(all.subarray(Math.max(0, all.length - TAIL_BYTES)));
    this.#tail = [kept];
    this.#tailBytes = kept.length;
  }
}

const RESOURCE_ID = /"id"\s*:\s*"(resp_[^"\\]{1,256})"/;

abstract class EndsTap {
  protected readonly ends = new Ends();

  usage(): Usage | undefined {
    return findUsage(this.ends.tail());
  }

  resourceId(): string | undefined {
    return RESOURCE_ID.exec(this.ends.head())?.[1];
  }
}

const LF = 0x0a;
const CR = 0x0d;
const DATA_LINE = Buffer.from('data:');
const END_OF_EVENT = Buffer.from('\n\n');
const STREAM_END =
  /(?:^|\n)(?:data: ?\[DONE\]|event: ?(?:message_stop|error|response\.(?:completed|failed|incomplete)))\r?\n/;

/** Server-sent events, identity-encoded. */
export class EventStreamTap extends EndsTap implements ResponseTap {
  events = 0;
  #last = LF;
  #beforeLast = LF;

  get atEventBoundary(): boolean {
    return this.#last === LF && (this.#beforeLast === LF || this.#beforeLast === CR);
  }

  push(chunk: Buffer): void {
    this.ends.push(chunk);
    this.#countEvents(chunk);
    this.#beforeLast = chunk.length > 1 ? (chunk[chunk.length - 2] ?? LF) : this.#last;
    this.#last = chunk[chunk.length - 1] ?? this.#last;
  }

  complete(): boolean {
    return STREAM_END.test(this.ends.tail());
  }

  override usage(): Usage | undefined {
    const last = super.usage();
    const first = findUsage(this.ends.head());
    if (!last || !first) return last ?? first;
    // Anthropic tells the prompt's tokens in the first event and the answer's in the last.
    return {
      promptTokens: last.promptTokens ?? first.promptTokens,
      completionTokens: last.completionTokens ?? first.completionTokens,
      cachedTokens: last.cachedTokens ?? first.cachedTokens,
    };
  }

  /** Almost always one whole event per chunk. An event cut in two by chunking counts once, when its `data:` is whole. */
  #countEvents(chunk: Buffer): void {
    let at = chunk.indexOf(DATA_LINE);
    while (at >= 0) {
      if (at === 0 ? this.#last === LF : chunk[at - 1] === LF) this.events += 1;
      const end = chunk.indexOf(END_OF_EVENT, at);
      if (end < 0) return;
      at = chunk.indexOf(DATA_LINE, end);
    }
  }
}

/** One JSON document, identity-encoded. */
export class JsonTap extends EndsTap implements ResponseTap {
  readonly events = 0;
  readonly atEventBoundary = false;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #begun = false;
  readonly #framed: boolean;

  /** `framed` = HTTP itself says where the body ends, so that its structure need not be followed. */
  constructor(framed: boolean) {
    super();
    this.#framed = framed;
  }

  push(chunk: Buffer): void {
    this.ends.push(chunk);
    if (!this.#framed) this.#follow(chunk);
  }

  complete(): boolean {
    return this.#framed || (this.#begun && this.#depth === 0 && !this.#inString);
  }

  #follow(chunk: Buffer): void {
    for (const byte of chunk) {
      if (this.#escaped) this.#escaped = false;
      else if (this.#inString) {
        if (byte === 0x5c) this.#escaped = true;
        else if (byte === 0x22) this.#inString = false;
      } else if (byte === 0x22) this.#inString = true;
      else if (byte === 0x7b || byte === 0x5b) {
        this.#depth += 1;
        this.#begun = true;
      } else if (byte === 0x7d || byte === 0x5d) this.#depth -= 1;
    }
  }
}

/** Anything else: compressed, binary, text. Its end is whatever the connection says. */
export const opaqueTap: ResponseTap = {
  events: 0,
  atEventBoundary: false,
  push: () => undefined,
  complete: () => true,
  usage: () => undefined,
  resourceId: () => undefined,
};
