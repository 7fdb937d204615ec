import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import { FreshIdWatch, idOf, type FreshIds } from './hash-key.ts';
import type { HashKey } from './policy.ts';

/** Keys of one thread, in the order in which they came: their source, and the id where they are one. */
type NotedKeys = readonly (readonly [source: string, id: number | undefined])[];

/** To control. */
export const KEYS: MessageKind<NotedKeys> = { name: 'fresh-ids:keys' };
/** To a thread: nothing more is to be told; with the finding, where this thread is the one to say it. */
export const FOUND_FRESH: MessageKind<FreshIds | undefined> = { name: 'fresh-ids:found' };

const KEYS_IN_MESSAGE = 50;

/** In a request thread. The ids of one session come to several threads: only all keys together show whether they come again. */
export class FreshIdsOfThread extends FreshIdWatch {
  readonly #channel: Channel;
  #keys: [source: string, id: number | undefined][] | undefined = [];
  #found: FreshIds | undefined;

  constructor(channel: Channel) {
    super();
    this.#channel = channel;
    channel.on(FOUND_FRESH, (found) => {
      this.#keys = undefined;
      this.#found = found;
    });
  }

  override note(key: HashKey): FreshIds | undefined {
    if (!this.#keys) {
      const found = this.#found;
      this.#found = undefined;
      return found;
    }
    this.#keys.push([key.source, idOf(key)]);
    if (this.#keys.length < KEYS_IN_MESSAGE) return undefined;
    this.#channel.post(KEYS, this.#keys);
    this.#keys = [];
    return undefined;
  }
}

/** In control: looks at the keys of all threads, and lets the one whose keys ended the window say what there is to say. */
export class FreshIdsOfThreads extends FreshIdWatch {
  #isOver = false;

  constructor(channels: Channels) {
    super();
    channels.on(KEYS, (row, keys) => {
      if (this.#isOver) channels.to(row)?.post(FOUND_FRESH, undefined);
      for (const [source, id] of keys) {
        const found = this.noteId(source, id);
        if (!found) continue;
        this.#isOver = true;
        for (const one of channels.rows) channels.to(one)?.post(FOUND_FRESH, one === row ? found : undefined);
      }
    });
  }
}
