/** What a publisher has sent, to be asked for again: bounded in messages and in bytes, the oldest go first. */
export class MessageBuffer {
  readonly #mostMessages: number;
  readonly #mostBytes: number;
  #messages: { readonly sequence: number; readonly payload: Buffer }[] = [];
  /** Messages before this one are gone. */
  #from = 0;
  #bytes = 0;

  constructor(mostMessages: number, mostBytes: number) {
    this.#mostMessages = mostMessages;
    this.#mostBytes = mostBytes;
  }

  add(sequence: number, payload: Buffer): void {
    this.#messages.push({ sequence, payload });
    this.#bytes += payload.length;
    while (this.#messages.length - this.#from > this.#mostMessages || this.#bytes > this.#mostBytes) {
      this.#bytes -= this.#messages[this.#from]?.payload.length ?? 0;
      this.#from += 1;
    }
    if (this.#from < 1024 || 2 * this.#from < this.#messages.length) return;
    this.#messages = this.#messages.slice(this.#from);
    this.#from = 0;
  }

  /** Oldest first, from that number on. */
  since(sequence: bigint): readonly { readonly sequence: number; readonly payload: Buffer }[] {
    return this.#messages.slice(this.#from).filter((message) => BigInt(message.sequence) >= sequence);
  }

  clear(): void {
    this.#messages = [];
    this.#from = 0;
    this.#bytes = 0;
  }
}
