import { createHash, randomBytes } from 'node:crypto';

/**
 * Block hashes as vLLM makes them with `--prefix-caching-hash-algo sha256_cbor`: SHA-256 over the canonical CBOR of
 * `(parent, token ids, extra keys or None)`.
 */
export const DIGEST_BYTES = 32;

const BYTE_STRING = 2;
const TEXT_STRING = 3;
const ARRAY = 4;
const NULL = 0xf6;
/** What the head of a CBOR item takes at most here: lengths and token ids are below 2^32. */
const HEAD_BYTES = 5;

/** What the first block of any sequence has in the place of a parent: made of PYTHONHASHSEED, else of chance. */
export function rootDigest(hashSeed: string | undefined): Buffer {
  if (hashSeed === undefined) return randomBytes(DIGEST_BYTES);
  const text = Buffer.from(hashSeed);
  const item = Buffer.alloc(HEAD_BYTES + text.length);
  return sha256(item, putBytes(item, 0, TEXT_STRING, text));
}

/** `extraKeys`: adapter and salt as far as the block has them; none is vLLM's None. */
export function blockDigest(
  parent: Uint8Array,
  tokens: ArrayLike<number>,
  extraKeys: readonly string[],
): Buffer {
  const extras = extraKeys.map((key) => Buffer.from(key));
  const extraBytes = extras.reduce((sum, { length }) => sum + HEAD_BYTES + length, 0);
  const item = Buffer.alloc(4 * HEAD_BYTES + parent.length + HEAD_BYTES * tokens.length + extraBytes);
  let at = putHead(item, 0, ARRAY, 3);
  at = putBytes(item, at, BYTE_STRING, parent);
  at = putHead(item, at, ARRAY, tokens.length);
  for (let i = 0; i < tokens.length; i++) at = putHead(item, at, 0, tokens[i] ?? 0);
  if (extras.length === 0) {
    item[at++] = NULL;
  } else {
    at = putHead(item, at, ARRAY, extras.length);
    for (const extra of extras) at = putBytes(item, at, TEXT_STRING, extra);
  }
  return sha256(item, at);
}

/** As it stands in events by default: the last 64 bits. */
export function digestNumber(digest: Buffer): bigint {
  return digest.readBigUInt64BE(DIGEST_BYTES - 8);
}

function sha256(item: Buffer, length: number): Buffer {
  return createHash('sha256').update(item.subarray(0, length)).digest();
}

/** The shortest head for the number, as canonical CBOR has it; returns where the next item begins. */
function putHead(into: Buffer, at: number, major: number, value: number): number {
  const type = major << 5;
  if (value < 24) return into.writeUInt8(type | value, at);
  if (value < 2 ** 8) return into.writeUInt8(value, into.writeUInt8(type | 24, at));
  if (value < 2 ** 16) return into.writeUInt16BE(value, into.writeUInt8(type | 25, at));
  return into.writeUInt32BE(value, into.writeUInt8(type | 26, at));
}

function putBytes(into: Buffer, at: number, major: number, bytes: Uint8Array): number {
  const from = putHead(into, at, major, bytes.length);
  into.set(bytes, from);
  return from + bytes.length;
}
