import type { Pieces } from '../base/in-pieces.ts';
import { backslashesBefore } from './string-end.ts';

/** Decoded at once: strings of this length are no memory pages of their own. */
const DECODED_BYTES = 16 * 1024;
/** After so many everything else has its turn: a third of a millisecond. */
const PIECE_BYTES = 256 * 1024;

const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const LONGEST_ESCAPE = '\\u0000'.length;

/**
 * What the bytes between the quotes of a string of JSON spell, in pieces. They are UTF-8 that is as it should be. Undefined
 * where it is no JSON.
 */
export function* decodingString(
  json: Buffer,
  start: number,
  end: number,
): Pieces<readonly string[] | undefined> {
  const pieces: string[] = [];
  let yieldedAt = start;
  for (let at = start; at < end;) {
    const to = at + DECODED_BYTES < end ? cutBefore(json, at, at + DECODED_BYTES) : end;
    const piece = decode(json.toString('utf8', at, to));
    if (piece === undefined) return undefined;
    pieces.push(piece);
    at = to;
    if (at - yieldedAt < PIECE_BYTES) continue;
    yieldedAt = at;
    yield;
  }
  return pieces;
}

/** The last place up to this one that is within no character and no escape. */
function cutBefore(json: Buffer, start: number, most: number): number {
  let cut = most;
  while ((json[cut]! & 0xc0) === 0x80) cut -= 1;
  let last = cut - 1;
  while (json[last] !== BACKSLASH) if (--last <= cut - LONGEST_ESCAPE) return cut;
  if (backslashesBefore(json, last, start) % 2 === 1) return cut;
  const bytes = json[last + 1] === LETTER_U ? LONGEST_ESCAPE : 2;
  return last + bytes > cut ? last : cut;
}

function decode(escaped: string): string | undefined {
  try {
    const value: unknown = JSON.parse(`"${escaped}"`);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
