import { LINE_HEAD, lineAt, type LineShape } from './entry-lines.ts';
import { ENTRY } from './exact-memory.ts';

const { WORDS } = ENTRY;
const { COUNT, ELSEWHERE } = LINE_HEAD;

/**
 * Reads the lines of the first `count` hashes. It does nothing else, so that the processor waits for many of them at once.
 *
 * @returns something that must be kept: what is not used is not read either.
 */
export function readLinesAhead(
  words: Int32Array,
  { linesPerHash }: LineShape,
  hashes: Int32Array,
  count: number,
): number {
  let read = 0;
  for (let at = 0; at < count; at++) read ^= words[lineAt(hashes[at]!, 0, linesPerHash)]!;
  return read;
}

/** Of a line that was read ahead: an entry may be elsewhere. */
export const MAYBE_ELSEWHERE = -1;

/**
 * The same for the entries that those lines seem to have for these hashes.
 *
 * @param seeming Gets the first for each hash; 0 where there is none, `MAYBE_ELSEWHERE` where none is in the line.
 */
export function readEntriesAhead(
  words: Int32Array,
  { linesPerHash, tagShift, entryMask }: LineShape,
  hashes: Int32Array,
  count: number,
  entries: Int32Array,
  seeming: Int32Array,
): number {
  let read = 0;
  for (let of = 0; of < count; of++) {
    const tag = hashes[of]! << tagShift;
    const line = lineAt(hashes[of]!, 0, linesPerHash);
    const head = words[line]!;
    let at = line + (head & COUNT);
    while (at > line && ((words[at]! ^ tag) & ~entryMask) !== 0) at--;
    const entry = at > line ? words[at]! & entryMask : head < ELSEWHERE ? 0 : MAYBE_ELSEWHERE;
    if (entry > 0) read ^= entries[WORDS * entry]!;
    seeming[of] = entry;
  }
  return read;
}
