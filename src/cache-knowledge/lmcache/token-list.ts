const COMMA = 0x2c;
const ZERO = 0x30;
/** Ten digits and a comma. */
const LONGEST = 11;

/**
 * `head`, the ids as a JSON list, and `tail`, as bytes. Written digit by digit: to join the ids of a long prompt to a string and
 * encode that takes several times as long, which every stream of the thread would wait for.
 */
export function withTokenList(head: string, ids: Uint32Array, tail: string): Buffer {
  const bytes = Buffer.allocUnsafe(
    Buffer.byteLength(head) + Buffer.byteLength(tail) + LONGEST * ids.length + 2,
  );
  let at = bytes.write(head);
  at += bytes.write('[', at);
  for (let index = 0; index < ids.length; index++) {
    if (index > 0) bytes[at++] = COMMA;
    at = writeNumber(bytes, at, ids[index]!);
  }
  at += bytes.write(']', at);
  at += bytes.write(tail, at);
  return bytes.subarray(0, at);
}

function writeNumber(bytes: Buffer, from: number, value: number): number {
  const end = from + digitsOf(value);
  let rest = value;
  for (let at = end - 1; at >= from; at--) {
    const tens = (rest / 10) >>> 0;
    bytes[at] = ZERO + rest - 10 * tens;
    rest = tens;
  }
  return end;
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits++;
  return digits;
}
