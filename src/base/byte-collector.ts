import type { Pieces } from './in-pieces.ts';

/** From here on a chunk is kept as it came; smaller ones are copied together. */
const LARGE_BYTES = 16 * 1024;
const SMALLEST_BLOCK_BYTES = 4 * 1024;
const LARGEST_BLOCK_BYTES = 64 * 1024;
/** Copied in one go, in about half a millisecond. */
const JOINED_AT_ONCE_BYTES = 1024 * 1024;

/**
 * Bytes that are put together from chunks of whatever size. A Buffer of its own costs some hundred bytes beside the one
 * that may be in it, and the sender chooses: so what is held here is at most a few times the bytes, however they came,
 * and no byte is copied more than twice.
 */
export class ByteCollector {
  #size = 0;
  /** The first chunk, while there is no other: most bodies come in one, which is not copied at all. */
  #only: Buffer | undefined;
  #pieces: Buffer[] = [];
  /** Being filled; what is behind `#used` is free. */
  #block: Buffer | undefined;
  #used = 0;

  get size(): number {
    return this.#size;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const isFirst = this.#size === 0;
    this.#size += chunk.length;
    if (isFirst && fillsItsMemory(chunk)) {
      this.#only = chunk;
      return;
    }
    if (this.#only) {
      this.#add(this.#only);
      this.#only = undefined;
    }
    this.#add(chunk);
  }

  /** Everything so far, in one piece; the collector is empty then. */
  take(): Buffer {
    const whole = this.#only ?? this.#joined();
    this.clear();
    return whole;
  }

  /** `take`, but it yields after every mebibyte that is copied. The collector is empty from the beginning. */
  *taking(): Pieces<Buffer> {
    if (this.#only || this.#size <= JOINED_AT_ONCE_BYTES) return this.take();
    const whole = Buffer.allocUnsafeSlow(this.#size);
    const pieces = this.#allPieces();
    this.clear();
    let at = 0;
    let yieldedAt = 0;
    for (const piece of pieces) {
      at += piece.copy(whole, at);
      if (at - yieldedAt < JOINED_AT_ONCE_BYTES) continue;
      yieldedAt = at;
      yield;
    }
    return whole;
  }

  clear(): void {
    this.#size = 0;
    this.#only = undefined;
    if (this.#pieces.length > 0) this.#pieces = [];
    this.#block = undefined;
    this.#used = 0;
  }

  #joined(): Buffer {
    const pieces = this.#allPieces();
    const [only] = pieces;
    return only && pieces.length === 1 ? only : Buffer.concat(pieces, this.#size);
  }

  #allPieces(): readonly Buffer[] {
    return this.#block ? [...this.#pieces, this.#block.subarray(0, this.#used)] : this.#pieces;
  }

  #add(chunk: Buffer): void {
    let rest = chunk;
    if (this.#block) {
      const copied = rest.copy(this.#block, this.#used);
      this.#used += copied;
      if (this.#used < this.#block.length) return;
      this.#pieces.push(this.#block);
      this.#block = undefined;
      rest = rest.subarray(copied);
    }
    if (rest.length === 0) return;
    if (rest.length >= LARGE_BYTES) {
      this.#pieces.push(fillsItsMemory(rest) ? rest : Buffer.from(rest));
      return;
    }
    const grown = Math.min(LARGEST_BLOCK_BYTES, Math.max(SMALLEST_BLOCK_BYTES, this.#size));
    this.#block = Buffer.allocUnsafeSlow(Math.max(grown, rest.length + 1));
    this.#used = rest.copy(this.#block);
  }
}

/** A chunk is a window on what was read at once, all of which it keeps alive. */
function fillsItsMemory(chunk: Buffer): boolean {
  return chunk.buffer.byteLength <= 2 * chunk.length + LARGE_BYTES;
}
