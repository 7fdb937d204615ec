import xxhash from 'xxhash-wasm';

const hasher = await xxhash();

/** xxHash64 of the text's UTF-8 bytes, cut to 53 bits so that it is an exact number. The same on every machine. */
export function hash53(text: string): number {
  return Number(BigInt.asUintN(53, hasher.h64(text)));
}

/** Mixes two 53-bit hashes into one; every input bit moves about half of the output bits. */
export function mix53(left: number, right: number): number {
  const low = fmix32((left >>> 0) + Math.imul(right >>> 0, 0x9e3779b1));
  const high = fmix32(
    highBits(left) + Math.imul(highBits(right), 0x85ebca77) + Math.imul(low, 0xc2b2ae3d) + 0x27d4eb2f,
  );
  return (high >>> 11) * TWO_32 + (fmix32(low ^ Math.imul(high, 0x165667b1)) >>> 0);
}

/** The upper 32 of a hash's 53 bits: a place on a ring of 2^32 points. */
export function ringPosition(hash: number): number {
  return Math.floor(hash / TWO_21);
}

/** MurmurHash3's 32-bit finaliser: a bijection in which every input bit reaches every output bit. */
export function fmix32(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

const TWO_32 = 2 ** 32;
const TWO_21 = 2 ** 21;

function highBits(hash: number): number {
  return Math.floor(hash / TWO_32);
}
