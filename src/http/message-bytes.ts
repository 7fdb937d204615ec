/** Head and body up to this size go out in one piece of memory: to copy them costs less than a second one. */
const COPIED_BYTES = 16 * 1024;
const CR = 0x0d;
const LF = 0x0a;
const ZERO = 0x30;
const HEX = Buffer.from('0123456789abcdef');

/** RFC 9112 7.1, without trailers. */
export const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** A head, which may be empty, and what follows it, if anything. */
export function withHead(head: string, bytes: Buffer | undefined): Buffer | Buffer[] {
  if (bytes === undefined) return Buffer.from(head, 'latin1');
  if (head === '') return bytes;
  if (bytes.length > COPIED_BYTES) return [Buffer.from(head, 'latin1'), bytes];
  const all = Buffer.allocUnsafe(head.length + bytes.length);
  all.write(head, 0, 'latin1');
  all.set(bytes, head.length);
  return all;
}

/** The same with the bytes as a chunk: the size in hexadecimal, a line break, the bytes, a line break. */
export function chunkOf(head: string, bytes: Buffer): Buffer {
  return framed(head, bytes, 0);
}

/** The same, and behind it the end of the body. */
export function lastChunkOf(head: string, bytes: Buffer): Buffer {
  const all = framed(head, bytes, LAST_CHUNK.length);
  all.set(LAST_CHUNK, all.length - LAST_CHUNK.length);
  return all;
}

function framed(head: string, bytes: Buffer, behind: number): Buffer {
  const digits = hexDigits(bytes.length);
  const from = head.length + digits + 2;
  const all = Buffer.allocUnsafe(from + bytes.length + 2 + behind);
  if (head !== '') all.write(head, 0, 'latin1');
  for (let at = from - 3, rest = bytes.length; at >= head.length; at -= 1, rest >>>= 4)
    all[at] = HEX[rest & 0xf] ?? ZERO;
  all[from - 2] = CR;
  all[from - 1] = LF;
  all.set(bytes, from);
  all[from + bytes.length] = CR;
  all[from + bytes.length + 1] = LF;
  return all;
}

function hexDigits(size: number): number {
  return Math.max(1, Math.ceil((32 - Math.clz32(size)) / 4));
}
