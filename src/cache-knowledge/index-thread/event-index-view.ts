import type { Channel } from '../../base/channel.ts';
import type { ExactCaches } from '../exact-caches.ts';
import { ExactReader } from '../exact/exact-reader.ts';
import { EVENTS_MEMORY, EVENTS_WANTED } from './thread-messages.ts';

/** What workers hold by their engines' events, as a request thread sees it: it looks at the memory that control shows. */
export class EventIndexView {
  #reader: ExactReader | undefined;

  constructor(channel: Channel) {
    channel.on(EVENTS_MEMORY, (memory) => {
      this.#reader = memory && new ExactReader(memory);
    });
    channel.post(EVENTS_WANTED, null);
  }

  /** Undefined while nobody writes it. */
  get caches(): ExactCaches | undefined {
    return this.#reader;
  }
}
