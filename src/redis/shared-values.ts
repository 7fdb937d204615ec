import type { Clock } from '../base/clock.ts';
import type { RedisLink } from './redis-link.ts';
import { isBytes, SEAL_BYTES, sealed, unsealed, type Unsealable } from './sealed-value.ts';
import { whenOrAfter } from './when-or-after.ts';

/** Why a value was not taken: `huge` is longer than any that a router writes there. `busy`: too much is being written already. */
export type Discarded = Unsealable | 'huge' | 'busy' | 'unreadable';

export interface ValuesOptions {
  /** What they are: the beginning of their keys, and a label. */
  readonly kind: string;
  /** No longer ones are written or read. */
  readonly mostBytes: number;
  readonly secret: string | undefined;
  readonly onDiscarded: (kind: string, reason: Discarded) => void;
}

const HUGE = { kind: 'bad', reason: 'huge' } as const;

/** What may be on its way to the server: writes are not waited for, and a slow server must not fill the memory. */
const MOST_WRITING = 1024;
const MOST_WRITING_BYTES = 32 * 1024 * 1024;

/** Values of one kind that routers keep for each other. Nothing rejects; what is no good is a miss that is counted. */
export class SharedValues {
  readonly link: RedisLink;
  readonly #clock: Clock;
  readonly #options: ValuesOptions;
  #writing = 0;
  #writingBytes = 0;

  constructor(link: RedisLink, clock: Clock, options: ValuesOptions) {
    this.link = link;
    this.#clock = clock;
    this.#options = options;
  }

  /** What all its keys begin with on the server. */
  get beginning(): string {
    return `${this.link.keyPrefix}${this.#options.kind}:`;
  }

  /** @param withinMs Shorter than the link's own time: what comes later is not waited for. */
  async get(key: string, withinMs?: number): Promise<Buffer | undefined> {
    const { mostBytes, secret } = this.#options;
    const at = this.beginning + key;
    const asked = this.link.ask((redis) => redis.getrangeBuffer(at, 0, mostBytes + SEAL_BYTES));
    const answer = withinMs === undefined ? await asked : await this.#within(withinMs, asked);
    if (answer?.kind !== 'done') {
      // A key of that name that holds something else than a text.
      if (answer?.reason === 'refused') this.#discard('foreign');
      return undefined;
    }
    const bytes = answer.value;
    if (!isBytes(bytes)) {
      this.#discard('foreign');
      return undefined;
    }
    if (bytes.length === 0) return undefined;
    const opened = bytes.length > mostBytes + SEAL_BYTES ? HUGE : unsealed(at, bytes, secret);
    if (opened.kind === 'value') return opened.value;
    this.#discard(opened.reason);
    return undefined;
  }

  /**
   * Nobody waits for it. What is too long, or comes while too much is being written, is not kept.
   * @param onlyNew What is there already stays.
   */
  set(key: string, value: Buffer, ttlMs: number, onlyNew = false): void {
    const { mostBytes, secret } = this.#options;
    if (value.length > mostBytes) {
      this.#discard('huge');
      return;
    }
    if (!this.link.takesWrites) return;
    if (this.#writing >= MOST_WRITING || this.#writingBytes + value.length > MOST_WRITING_BYTES) {
      this.#discard('busy');
      return;
    }
    const at = this.beginning + key;
    const bytes = sealed(at, value, secret);
    const ttl = Math.max(1, Math.round(ttlMs));
    void this.#write(bytes.length, () =>
      this.link.ask(
        (redis) => (onlyNew ? redis.set(at, bytes, 'PX', ttl, 'NX') : redis.set(at, bytes, 'PX', ttl)),
        'write',
      ),
    );
  }

  /** Nobody waits for it. */
  forget(key: string): void {
    void this.#write(0, () => this.link.ask((redis) => redis.unlink(this.beginning + key), 'write'));
  }

  /** What is inside makes no sense to whoever wrote such values. */
  unreadable(): void {
    this.#discard('unreadable');
  }

  async #write(bytes: number, work: () => Promise<unknown>): Promise<void> {
    this.#writing += 1;
    this.#writingBytes += bytes;
    await work();
    this.#writing -= 1;
    this.#writingBytes -= bytes;
  }

  #discard(reason: Discarded): void {
    this.#options.onDiscarded(this.#options.kind, reason);
  }

  async #within<T>(ms: number, asked: Promise<T>): Promise<T | undefined> {
    const outcome = await whenOrAfter(this.#clock, ms, () => asked);
    return outcome.kind === 'done' ? outcome.value : undefined;
  }
}
