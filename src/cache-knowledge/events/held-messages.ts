import type { Holder, HeldShares } from './held-shares.ts';
import type { EventMessage } from './message.ts';

const MOST_BYTES = 16 * 1024 * 1024;
const MESSAGE_BYTES = 256;

/** Live messages that wait until what was missed before them is there. */
export class HeldMessages implements Holder {
  readonly #shares: HeldShares;
  readonly #onGivenUp: (messages: number) => void;
  #messages: EventMessage[] = [];
  #at = 0;
  #bytes = 0;

  /**
   * @param shares what all streams may hold together.
   * @param onGivenUp told of messages for which there was no room.
   */
  constructor(shares: HeldShares, onGivenUp: (messages: number) => void) {
    this.#shares = shares;
    this.#onGivenUp = onGivenUp;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies the message. Where there is no room, it is given up with those that wait: the hole will be seen. */
  push(message: EventMessage): void {
    const bytes = MESSAGE_BYTES + message.payload.length;
    if (this.#bytes + bytes > MOST_BYTES || !this.#shares.take(this, bytes)) {
      this.#onGivenUp(1);
      this.giveUp();
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

  giveUp(): void {
    this.#onGivenUp(this.#messages.length - this.#at);
    this.clear();
  }

  /** They are not wanted any more. */
  clear(): void {
    this.#messages = [];
    this.#at = 0;
    this.#give(this.#bytes);
  }

  #give(bytes: number): void {
    this.#bytes -= bytes;
    this.#shares.give(this, bytes);
  }
}
