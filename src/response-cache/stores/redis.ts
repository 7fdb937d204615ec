import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../observe/log.ts';
import { forgetKeys } from '../../redis/forget-keys.ts';
import type { RedisLink } from '../../redis/redis-link.ts';
import { SharedValues, type ValuesOptions } from '../../redis/shared-values.ts';
import type { AnswerStore, Flushed } from '../answer-store.ts';

export interface RedisStoreOptions extends Pick<ValuesOptions, 'secret' | 'onDiscarded' | 'mostBytes'> {
  readonly clock: Clock;
  readonly log: Log;
}

/** On a server of Redis or Valkey, where all routers with the same key prefix find them. How many there are, the server decides. */
export class RedisStore implements AnswerStore {
  readonly size = { entries: undefined, bytes: undefined };
  readonly #values: SharedValues;
  readonly #link: RedisLink;
  readonly #options: RedisStoreOptions;

  /** @param link Belongs to the store, which closes it. */
  constructor(link: RedisLink, options: RedisStoreOptions) {
    this.#link = link;
    this.#options = options;
    this.#values = new SharedValues(link, options.clock, { ...options, kind: 'answer' });
  }

  get(key: string): Promise<Buffer | undefined> {
    return this.#values.get(key);
  }

  set(key: string, value: Buffer, ttlMs: number): void {
    if (ttlMs > 0) this.#values.set(key, value, ttlMs);
    else this.#values.forget(key);
  }

  async flush(prefix: string, part = ''): Promise<Flushed> {
    const { clock, log } = this.#options;
    const { beginning } = this.#values;
    const isWanted = (key: string): boolean => key.slice(beginning.length).includes(part);
    const search = { beginning: beginning + prefix, isWanted };
    const { keys, cutShort } = await forgetKeys(this.#link, search, clock);
    if (cutShort !== undefined)
      log.warn(
        { server: this.#link.name, keys, reason: cutShort },
        'answers in redis were flushed in part only',
      );
    return { count: keys, cutShort };
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
