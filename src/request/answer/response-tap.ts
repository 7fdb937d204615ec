import { findUsage, type Usage } from '../../api/usage.ts';

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
const TAIL_BYTES = 1536;
/** Enough for the id of a stored response, and for Anthropic's first event. */
const HEAD_BYTES = 512;

/**
 * The first and the last bytes of a body, copied out of its chunks unless there is only one: a chunk that is kept until
 * its stream has ended costs the garbage collector more than the copy does. What is looked for in them is ASCII.
 */
class Ends {
  #only: Buffer | undefined;
  /** Made for the second chunk: the head, and behind it the tail, which is written round and round. */
  #kept: Buffer | undefined;
  #headBytes = 0;
  #tailAt = HEAD_BYTES;
  #tailFull = false;

  push(chunk: Buffer): void {
    if (this.#kept) {
      this.#keep(this.#kept, chunk);
    } else if (!this.#only) {
      this.#only = chunk;
    } else {
      this.#kept = Buffer.allocUnsafeSlow(HEAD_BYTES + TAIL_BYTES);
      this.#keep(this.#kept, this.#only);
      this.#keep(this.#kept, chunk);
      this.#only = undefined;
    }
  }

  head(): string {
    if (this.#kept) return this.#kept.toString('latin1', 0, this.#headBytes);
    return this.#only?.toString('latin1', 0, HEAD_BYTES) ?? '';
  }

  tail(): string {
    if (!this.#kept) return this.#only?.toString('latin1', Math.max(0, this.#only.length - TAIL_BYTES)) ?? '';
    const newest = this.#kept.toString('latin1', HEAD_BYTES, this.#tailAt);
    return this.#tailFull ? this.#kept.toString('latin1', this.#tailAt) + newest : newest;
  }

  #keep(kept: Buffer, chunk: Buffer): void {
    if (this.#headBytes < HEAD_BYTES) {
      this.#headBytes += chunk.copy(kept, this.#headBytes, 0, HEAD_BYTES - this.#headBytes);
    }
    let from = Math.max(0, chunk.length - TAIL_BYTES);
    while (from < chunk.length) {
      const copied = chunk.copy(kept, this.#tailAt, from);
      from += copied;
      this.#tailAt += copied;
      if (this.#tailAt < kept.length) continue;
      this.#tailAt = HEAD_BYTES;
      this.#tailFull = true;
    }
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
const DONE = /(?:^|\n)data: ?\[DONE\]\r?\n/;
const LAST_EVENT = /(?:^|\n)event: ?(?:message_stop|error|response\.(?:completed|failed|incomplete))\r?\n/;

/** Counts server-sent events that carry data, however their bytes are cut into chunks. */
class EventCounter {
  count = 0;
  /** Bytes of `data:` seen at the start of the line; -1 = the rest of the line does not matter. */
  #matched = 0;
  /** Whether the event that the line belongs to has been counted: it may have several data lines. */
  #counted = false;

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#matched >= 0) {
        this.#lineStart(chunk[at]);
        at += 1;
        continue;
      }
      const end = chunk.indexOf(LF, at);
      if (end < 0) return;
      this.#matched = 0;
      at = end + 1;
    }
  }

  #lineStart(byte: number | undefined): void {
    if (byte === LF) {
      // An empty line ends the event.
      if (this.#matched === 0) this.#counted = false;
      this.#matched = 0;
    } else if (byte === DATA_LINE[this.#matched]) {
      this.#matched += 1;
      if (this.#matched < DATA_LINE.length) return;
      if (!this.#counted) this.count += 1;
      this.#counted = true;
      this.#matched = -1;
    } else if (byte !== CR || this.#matched > 0) {
      this.#matched = -1;
    }
  }
}

/** Server-sent events, identity-encoded. */
export class EventStreamTap extends EndsTap implements ResponseTap {
  readonly #counter = new EventCounter();
  /** The last three bytes; a body begins as if an event had just ended. */
  #ending = 0x0a0a;

  get events(): number {
    return this.#counter.count;
  }

  get atEventBoundary(): boolean {
    return (this.#ending & 0xffff) === 0x0a0a || this.#ending === 0x0a0d0a;
  }

  push(chunk: Buffer): void {
    this.ends.push(chunk);
    this.#counter.push(chunk);
    for (let at = Math.max(0, chunk.length - 3); at < chunk.length; at += 1) {
      this.#ending = ((this.#ending << 8) | (chunk[at] ?? 0)) & 0xffffff;
    }
  }

  complete(): boolean {
    const tail = this.ends.tail();
    // Clients act on an event when the empty line behind it has come; `[DONE]` tells them by itself.
    return DONE.test(tail) || (this.atEventBoundary && LAST_EVENT.test(tail));
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
