import { BadMessage } from './bad-message.ts';
import { hexDigit, SEMICOLON } from './characters.ts';

/** Hexadecimal digits of a chunk's size: below 2^52. */
const MOST_DIGITS = 13;
/** They mean nothing to anybody: RFC 9112 7.1.1, without blanks and escapes. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*"))?)+$/;

/**
 * Reads the line before a chunk.
 *
 * @param end where its line break begins.
 * @throws BadMessage
 */
export function readChunkSize(bytes: Buffer, start: number, end: number): number {
  let size = 0;
  let at = start;
  for (; at < end; at += 1) {
    const digit = hexDigit(bytes[at] ?? 0);
    if (digit < 0) break;
    size = size * 16 + digit;
  }
  if (at === start || at - start > MOST_DIGITS) throw new BadMessage('a chunk without a size');
  if (at === end) return size;
  if (bytes[at] !== SEMICOLON) throw new BadMessage('a chunk without a size');
  if (!EXTENSIONS.test(bytes.toString('latin1', at, end)))
    throw new BadMessage('a chunk with an improper extension');
  return size;
}
