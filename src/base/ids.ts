import { randomFillSync } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const POOL = new Uint8Array(8192);
let used = POOL.length;

/** `length` random letters and digits, from the system's secure source. */
export function randomAlphanumeric(length: number): string {
  let id = '';
  while (id.length < length) {
    if (used === POOL.length) {
      randomFillSync(POOL);
      used = 0;
    }
    const byte = POOL[used++] ?? 0;
    // 248 is the largest multiple of 62 in a byte: without the cut-off the first letters would come up more often.
    if (byte < 248) id += ALPHABET[byte % 62] ?? '';
  }
  return id;
}
