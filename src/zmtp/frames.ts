import { ByteCollector } from '../base/byte-collector.ts';
import { ZmtpFault } from './fault.ts';

const MORE = 1;
const LONG = 2;
const COMMAND = 4;
const RESERVED = ~(MORE | LONG | COMMAND) & 0xff;
const LONGEST_SHORT_BYTES = 255;
const LONG_HEAD_BYTES = 9;
/** Names, topics and a few properties: one of megabytes would be taken apart into millions. */
const MAX_COMMAND_BYTES = 64 * 1024;

export interface FrameLimits {
  readonly maxFrameBytes: number;
  /** Frames of one message; its bytes are bounded by `maxFrameBytes` as well. */
  readonly maxFrames: number;
}

export const FRAME_LIMITS: FrameLimits = { maxFrameBytes: 16 * 1024 * 1024, maxFrames: 64 };

export interface FrameEvents {
  /**
   * A command's body. Like the frames of a message it may be a window on the bytes given to `push`: who keeps it copies it.
   */
  onCommand(body: Buffer): void;
  onMessage(frames: readonly Buffer[]): void;
}

/** Reads frames from bytes cut anywhere and puts messages together. */
export class FrameReader {
  readonly #limits: FrameLimits;
  readonly #events: FrameEvents;
  /** Flags and length of a frame, while not all of them have come. */
  readonly #head = Buffer.alloc(LONG_HEAD_BYTES);
  #headBytes = 0;
  /** Of the frame whose body is being read; undefined between frames. */
  #flags: number | undefined;
  #bodyBytes = 0;
  readonly #body = new ByteCollector();
  #frames: Buffer[] = [];
  #messageBytes = 0;

  constructor(limits: FrameLimits, events: FrameEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  /** Bytes of the message that is being read. */
  get waitingBytes(): number {
    return this.#messageBytes + this.#body.size;
  }

  /** @throws ZmtpFault */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length)
      at = this.#flags === undefined ? this.#readHead(bytes, at) : this.#readBody(bytes, at);
  }

  #readHead(bytes: Buffer, at: number): number {
    const flags = this.#headBytes > 0 ? this.#head[0]! : bytes[at]!;
    if ((flags & RESERVED) !== 0) throw new ZmtpFault('malformed', 'a frame with reserved flags');
    const wanted = (flags & LONG) === 0 ? 2 : LONG_HEAD_BYTES;
    const taken = Math.min(wanted - this.#headBytes, bytes.length - at);
    bytes.copy(this.#head, this.#headBytes, at, at + taken);
    this.#headBytes += taken;
    if (this.#headBytes === wanted) this.#begin(flags);
    return at + taken;
  }

  #begin(flags: number): void {
    this.#headBytes = 0;
    const isLong = (flags & LONG) !== 0;
    // Beyond 2^53 it is not exact, but far beyond any limit.
    this.#bodyBytes = isLong
      ? this.#head.readUInt32BE(1) * 2 ** 32 + this.#head.readUInt32BE(5)
      : this.#head[1]!;
    if ((flags & COMMAND) !== 0) {
      if ((flags & MORE) !== 0) throw new ZmtpFault('malformed', 'a command of several frames');
      if (this.#frames.length > 0) throw new ZmtpFault('malformed', 'a command within a message');
      if (this.#bodyBytes > MAX_COMMAND_BYTES)
        throw new ZmtpFault('too_large', `a command beyond ${MAX_COMMAND_BYTES} bytes`);
    }
    if (this.#bodyBytes + this.#messageBytes > this.#limits.maxFrameBytes)
      throw new ZmtpFault('too_large', `a message beyond ${this.#limits.maxFrameBytes} bytes`);
    if (this.#frames.length >= this.#limits.maxFrames)
      throw new ZmtpFault('too_large', `a message of more than ${this.#limits.maxFrames} frames`);
    this.#flags = flags;
    // No byte follows that would end it.
    if (this.#bodyBytes === 0) this.#end(flags, Buffer.alloc(0));
  }

  #readBody(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#bodyBytes - this.#body.size);
    const piece = bytes.subarray(at, end);
    if (piece.length === this.#bodyBytes) {
      this.#end(this.#flags!, piece);
      return end;
    }
    this.#body.push(piece);
    if (this.#body.size === this.#bodyBytes) this.#end(this.#flags!, this.#body.take());
    return end;
  }

  #end(flags: number, body: Buffer): void {
    this.#flags = undefined;
    if ((flags & COMMAND) !== 0) {
      this.#events.onCommand(body);
      return;
    }
    this.#frames.push(body);
    this.#messageBytes += body.length;
    if ((flags & MORE) !== 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#messageBytes = 0;
    this.#events.onMessage(frames);
  }
}

export function encodeMessage(frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((frame, i) => [headOf(frame.length, i === frames.length - 1 ? 0 : MORE), frame]),
  );
}

export function encodeCommand(body: Uint8Array): Buffer {
  return Buffer.concat([headOf(body.length, COMMAND), body]);
}

function headOf(bodyBytes: number, flags: number): Buffer {
  if (bodyBytes <= LONGEST_SHORT_BYTES) return Buffer.from([flags, bodyBytes]);
  const head = Buffer.alloc(LONG_HEAD_BYTES);
  head[0] = flags | LONG;
  head.writeBigUInt64BE(BigInt(bodyBytes), 1);
  return head;
}
