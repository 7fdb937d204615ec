import { randomBytes, randomFillSync } from 'node:crypto';

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789');
/** The largest multiple of 62 in a byte: without the cut-off the first letters would come up more often. */
const FAIR = 248;
const RANDOM = new Uint8Array(8192);

/** Letters and digits ready for use. */
const letters = Buffer.allocUnsafeSlow(RANDOM.length);
let ready = 0;
let used = 0;

/** `length` random letters and digits (at most 4,096), from the system's secure source. */
export function randomAlphanumeric(length: number): string {
  while (ready - used < length) refill();
  used += length;
  return letters.toString('latin1', used - length, used);
}

function refill(): void {
  randomFillSync(RANDOM);
  ready = 0;
  used = 0;
  // An iterator would make an object for each of them.
  for (let at = 0; at < RANDOM.length; at += 1) {
    const byte = RANDOM[at]!;
    if (byte < FAIR) letters[ready++] = ALPHABET[byte % ALPHABET.length]!;
  }
}

/** `length` random hexadecimal digits (an even number of at most 64), from the system's secure source. */
export function randomHex(length: number): string {
  return randomBytes(length / 2).toString('hex');
}
