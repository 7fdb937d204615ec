import type { Channel, Channels, MessageKind, QuestionKind } from '../base/channel.ts';
import type { AnswerStore, Flushed } from './answer-store.ts';

interface Kept {
  readonly key: string;
  readonly value: Uint8Array;
  readonly ttlMs: number;
}

/** To control, which has the store. */
const GET: QuestionKind<string, Uint8Array | undefined> = { name: 'answers:get' };
const SET: MessageKind<Kept> = { name: 'answers:set' };

/** The end of a request thread. */
export class AnswersOfThread implements AnswerStore {
  readonly size = { entries: undefined, bytes: undefined };
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async get(key: string): Promise<Buffer | undefined> {
    // Control has ended, and so does this thread.
    const found = await this.#channel.ask(GET, key).catch(() => undefined);
    return found && Buffer.from(found.buffer, found.byteOffset, found.byteLength);
  }

  set(key: string, value: Buffer, ttlMs: number): void {
    // A view of a larger buffer would be posted with all of it.
    const own = new Uint8Array(value);
    this.#channel.post(SET, { key, value: own, ttlMs }, [own.buffer]);
  }

  /** Asked of control alone. */
  flush(): Promise<Flushed> {
    return Promise.resolve({ count: 0 });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** In control: answers and hears the request threads. */
export function answerFromStore(channels: Channels, store: () => AnswerStore | undefined): void {
  channels.answer(GET, async (_row, key) => {
    const value = await store()?.get(key);
    return value && new Uint8Array(value);
  });
  channels.on(SET, (_row, { key, value, ttlMs }) => {
    store()?.set(key, Buffer.from(value.buffer, value.byteOffset, value.byteLength), ttlMs);
  });
}
