/** An answer with the vector of its question, as it is kept where replicas find it. */
export interface SharedEntry {
  /** ms since 1970. */
  readonly keptAt: number;
  readonly vector: Float32Array;
  readonly value: Buffer;
}

/** When it was kept, the number of dimensions, and these as little-endian 32-bit floats. */
const HEAD_BYTES = 12;
const MOST_DIMENSIONS = 16_384;
/** Of a length that is 1 but for the rounding. */
const SLACK = 0.01;

export function encodeEntry({ keptAt, vector, value }: SharedEntry): Buffer {
  const head = Buffer.alloc(HEAD_BYTES + 4 * vector.length);
  head.writeDoubleLE(keptAt, 0);
  head.writeUInt32LE(vector.length, 8);
  for (const [at, one] of vector.entries()) head.writeFloatLE(one, HEAD_BYTES + 4 * at);
  return Buffer.concat([head, value]);
}

/** undefined for whatever is none: anybody may have written it. */
export function decodeEntry(bytes: Buffer): SharedEntry | undefined {
  if (bytes.length < HEAD_BYTES) return undefined;
  const keptAt = bytes.readDoubleLE(0);
  const dimensions = bytes.readUInt32LE(8);
  const from = HEAD_BYTES + 4 * dimensions;
  if (dimensions === 0 || dimensions > MOST_DIMENSIONS || bytes.length <= from) return undefined;
  const vector = Float32Array.from({ length: dimensions }, (_, at) => bytes.readFloatLE(HEAD_BYTES + 4 * at));
  const squares = vector.reduce((sum, one) => sum + one * one, 0);
  // Not so for NaN either.
  if (!(Math.abs(squares - 1) < SLACK) || !Number.isFinite(keptAt)) return undefined;
  return { keptAt, vector, value: bytes.subarray(from) };
}
