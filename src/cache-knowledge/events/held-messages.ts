import type { ByteBudget } from '../../base/byte-budget.ts';
import type { EventMessage } from './message.ts';

const MOST_BYTES = 16 * 1024 * 1024;
const MESSAGE_BYTES = 256;

/** Live messages that wait until what was missed before them is there. */
export class HeldMessages {
  readonly #budget: ByteBudget;
  #messages: EventMessage[] = [];
  #at = 0;
  #bytes = 0;

  /** @param budget what all streams may hold together. */
  constructor(budget: ByteBudget) {
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies the message. Where there is no room, those that wait are given up: the hole will be seen. */
  push(message: EventMessage): void {
    const bytes = MESSAGE_BYTES + message.payload.length;
    if (this.#bytes + bytes > MOST_BYTES || !this.#budget.take(bytes)) {
      this.clear();
      return;
    }
    this.#bytes += bytes;
    this.#messages.push({ ...message, payload: Buffer.from(message.payload) });
  }

  peek(): EventMessage | undefined {
    return this.#messages[this.#at];
  }

  shift(): void {
    const message = this.#messages[this.#at];
    if (!message) return;
    this.#at += 1;
    this.#give(MESSAGE_BYTES + message.payload.length);
    if (this.#at === this.#messages.length) this.clear();
  }

  clear(): void {
    this.#messages = [];
    this.#at = 0;
    this.#give(this.#bytes);
  }

  #give(bytes: number): void {
    this.#bytes -= bytes;
    this.#budget.give(bytes);
  }
}
