import { IncomingMessage } from 'node:http';
import { ByteCollector } from '../base/byte-collector.ts';

/** A smaller chunk that would have to wait behind others is put together with its neighbours. */
const SMALL_BYTES = 4 * 1024;

/**
 * A request whose body costs what its bytes cost also while nobody reads it. Node counts the bytes that wait and not
 * the Buffers that they are in, and a client that sends single bytes could fill some hundred times what it is meant to.
 */
export class Incoming extends IncomingMessage {
  /** Told when so much of the body waits that Node stops reading from the connection. */
  onFull: (() => void) | undefined;
  #waiting: ByteCollector | undefined;

  override push(chunk: Buffer | null): boolean {
    const goesOn = this.#push(chunk);
    if (!goesOn && chunk !== null) this.onFull?.();
    return goesOn;
  }

  #push(chunk: Buffer | null): boolean {
    const waiting = this.#waiting?.size ?? 0;
    // Empty, or flowing: somebody takes it at once.
    if (waiting === 0 && (chunk === null || chunk.length >= SMALL_BYTES || this.readableLength === 0))
      return super.push(chunk);
    if (chunk === null || chunk.length >= SMALL_BYTES) {
      this.#handOn();
      return super.push(chunk);
    }
    (this.#waiting ??= new ByteCollector()).push(chunk);
    return this.readableLength + waiting + chunk.length < this.readableHighWaterMark;
  }

  // Node asks for 0 bytes when it wants more to come, everybody else for what is there.
  override read(size?: number): unknown {
    if (size !== 0) this.#handOn();
    return super.read(size);
  }

  #handOn(): void {
    if (this.#waiting && this.#waiting.size > 0) super.push(this.#waiting.take());
  }
}
