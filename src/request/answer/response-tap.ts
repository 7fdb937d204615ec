import { TokenIdCounter } from '../../api/token-id-counter.ts';
import { readUsage, type Usage } from '../../api/usage.ts';
import { UsageFinder } from '../../api/usage-finder.ts';
import { EventReader } from './event-reader.ts';

/** What passes by in a response body, watched without holding it up or changing a byte. */
export interface ResponseTap {
  push(chunk: Buffer): void;
  /** Whether the body, as far as it came, ends as its protocol demands. Asked only for bodies without framing. */
  complete(): boolean;
  /** Whether an event could be appended right now. */
  readonly atEventBoundary: boolean;
  readonly isStream: boolean;
  /** Data events seen so far; 0 for bodies that are not event streams. */
  readonly events: number;
  /** Whether the worker has said in an event that the answer failed. */
  readonly failed: boolean;
  usage(): Usage | undefined;
  /** Tokens of the answer as they can be counted without usage, of a stream as far as it came; undefined = they cannot. */
  answerTokens(): number | undefined;
  /** Id of the stored response that the body describes (`resp_...`). */
  resourceId(): string | undefined;
}

/** What is looked for beside the usage. */
export interface TapOptions {
  /** HTTP itself says where the body ends, so that its structure need not be followed. */
  readonly framed: boolean;
  /** Answers of the endpoint tell their tokens instead of a usage. */
  readonly countsIds: boolean;
  /** The answer may describe a stored response. */
  readonly hasId: boolean;
}

/** Enough for the id of a stored response. */
const HEAD_BYTES = 512;
const RESOURCE_ID = /"id"\s*:\s*"(resp_[^"\\]{1,256})"/;

/** The first bytes of a body, copied out of its chunks: a chunk that is kept costs the garbage collector more. */
class Head {
  readonly #bytes = Buffer.allocUnsafe(HEAD_BYTES);
  #length = 0;

  push(chunk: Buffer): void {
    if (this.#length < HEAD_BYTES) this.#length += chunk.copy(this.#bytes, this.#length);
  }

  resourceId(): string | undefined {
    return RESOURCE_ID.exec(this.#bytes.toString('latin1', 0, this.#length))?.[1];
  }
}

/** Small events are gathered and searched together: a search takes longer to begin than to go through one of them. */
const BATCH_BYTES = 2048;
/** After this many texts without any token ids there will be none. */
const TEXTS_WITHOUT_IDS = 4;

/** Server-sent events, identity-encoded. */
export class EventStreamTap implements ResponseTap {
  readonly isStream = true;
  readonly #reader = new EventReader();
  readonly #usage = new UsageFinder('lines');
  readonly #head: Head | undefined;
  #ids: TokenIdCounter | undefined = new TokenIdCounter();
  #batch: Buffer | undefined;
  #gathered = 0;

  constructor({ hasId }: Pick<TapOptions, 'hasId'>) {
    if (hasId) this.#head = new Head();
  }

  get events(): number {
    return this.#reader.count;
  }

  get atEventBoundary(): boolean {
    return this.#reader.atEventBoundary;
  }

  get failed(): boolean {
    return this.#reader.failed;
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk);
    this.#head?.push(chunk);
    const isLarge = chunk.length > BATCH_BYTES / 2;
    if (isLarge || this.#gathered + chunk.length > BATCH_BYTES) this.#searchBatch();
    if (isLarge) {
      this.#search(chunk);
      return;
    }
    this.#batch ??= Buffer.allocUnsafeSlow(BATCH_BYTES);
    this.#batch.set(chunk, this.#gathered);
    this.#gathered += chunk.length;
  }

  #searchBatch(): void {
    if (this.#batch && this.#gathered > 0) this.#search(this.#batch.subarray(0, this.#gathered));
    this.#gathered = 0;
  }

  #search(bytes: Buffer): void {
    this.#usage.push(bytes);
    if (!this.#ids) return;
    this.#ids.push(bytes);
    if (this.#ids.count === 0 && this.#reader.texts >= TEXTS_WITHOUT_IDS) this.#ids = undefined;
  }

  complete(): boolean {
    return this.#reader.ended;
  }

  usage(): Usage | undefined {
    this.#searchBatch();
    return readUsage(this.#usage.top, this.#usage.nested);
  }

  answerTokens(): number {
    this.#searchBatch();
    return Math.max(this.#ids?.count ?? 0, this.#reader.texts);
  }

  resourceId(): string | undefined {
    return this.#head?.resourceId();
  }
}

/** One JSON document, identity-encoded. */
export class JsonTap implements ResponseTap {
  readonly isStream = false;
  readonly events = 0;
  readonly atEventBoundary = false;
  readonly failed = false;
  readonly #framed: boolean;
  readonly #usage = new UsageFinder('body');
  readonly #ids: TokenIdCounter | undefined;
  readonly #head: Head | undefined;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #begun = false;

  constructor({ framed, countsIds, hasId }: TapOptions) {
    this.#framed = framed;
    if (countsIds) this.#ids = new TokenIdCounter();
    if (hasId) this.#head = new Head();
  }

  push(chunk: Buffer): void {
    this.#usage.push(chunk);
    this.#ids?.push(chunk);
    this.#head?.push(chunk);
    if (!this.#framed) this.#follow(chunk);
  }

  complete(): boolean {
    return this.#framed || (this.#begun && this.#depth === 0 && !this.#inString);
  }

  usage(): Usage | undefined {
    this.#usage.end();
    return readUsage(this.#usage.top, undefined);
  }

  answerTokens(): number | undefined {
    return this.#ids?.count || undefined;
  }

  resourceId(): string | undefined {
    return this.#head?.resourceId();
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
  isStream: false,
  events: 0,
  atEventBoundary: false,
  failed: false,
  push: () => undefined,
  complete: () => true,
  usage: () => undefined,
  answerTokens: () => undefined,
  resourceId: () => undefined,
};
