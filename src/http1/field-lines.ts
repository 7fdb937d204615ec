import { BadMessage } from './bad-message.ts';
import { behind, COLON, CR, IN_TEXT, IN_TOKEN, isBlank, LF } from './characters.ts';

/** Lines of a message that came whole, each with its line break. */
export interface Block {
  readonly bytes: Buffer;
  /** Where it begins in `bytes`. */
  readonly start: number;
  readonly end: number;
  /** As Latin-1: `text[0]` is `bytes[start]`. */
  readonly text: string;
}

/** A string that is cut out of a head keeps all of it, for as long as anybody keeps the string: larger heads are cut up. */
const MOST_SHARED = 4 * 1024;

/** Told of each field as it is read. */
export interface FieldReader {
  /**
   * @param from and `to`: its line in `text`, without the line break.
   * @throws BadMessage
   */
  note(name: string, value: string, text: string, from: number, to: number): void;
}

/** A part of its text, by the places of its bytes. */
export function textOf({ bytes, start, text }: Block, from: number, to: number): string {
  return text.length > MOST_SHARED
    ? bytes.toString('latin1', from, to)
    : text.slice(from - start, to - start);
}

export function blockOf(bytes: Buffer, start: number, end: number): Block {
  return { bytes, start, end, text: bytes.toString('latin1', start, end) };
}

/**
 * Reads field lines from a place in `text` to the end of the block.
 *
 * @returns names as written and values, flat.
 * @throws BadMessage for whatever another reader could take for something else: bare line feeds, folded lines, blanks before
 *   the colon, control characters.
 */
export function readFieldLines(block: Block, from: number, reader: FieldReader): string[] {
  const { bytes, start, end, text } = block;
  const fields: string[] = [];
  for (let at = start + from; at < end; at += 2) {
    const lineStart = at;
    at = behind(IN_TOKEN, bytes, at);
    if (at === lineStart || bytes[at] !== COLON) throw new BadMessage('a header line without a proper name');
    const name = textOf(block, lineStart, at);
    at += 1;
    while (isBlank(bytes[at])) at += 1;
    const valueStart = at;
    at = behind(IN_TEXT, bytes, at);
    if (bytes[at] !== CR || bytes[at + 1] !== LF) throw new BadMessage('a control character in a header');
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1])) valueEnd -= 1;
    const value = textOf(block, valueStart, valueEnd);
    fields.push(name, value);
    reader.note(name, value, text, lineStart - start, at - start);
  }
  return fields;
}
