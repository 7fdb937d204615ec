import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fmix32 } from '../../base/hash.ts';
import { EntryLines, LINE_WORDS, lineAt, MOST_LINES } from './entry-lines.ts';

const ENTRIES = 9_000;
const bytesFor = (perLine: number): number => 4 * LINE_WORDS * Math.ceil(ENTRIES / perLine);

/** Every place where an entry is written down. */
function placesOf(lines: EntryLines, hash: number, entry: number): number {
  const { linesPerHash, entryMask } = lines.shape;
  const begins = new Set(Array.from({ length: MOST_LINES }, (_, turn) => lineAt(hash, turn, linesPerHash)));
  let places = 0;
  for (const line of begins)
    for (let at = line + 1; at <= line + (lines.words[line]! & 15); at++)
      if ((lines.words[at]! & entryMask) === entry) places++;
  return places;
}

describe('lines of entries', () => {
  it('have room for as many as they are made for, and keep each until it is removed', () => {
    const lines = new EntryLines(new ArrayBuffer(bytesFor(9)), ENTRIES);
    for (let entry = 1; entry <= ENTRIES; entry++) assert.ok(lines.add(fmix32(entry), entry));
    for (let entry = 1; entry <= ENTRIES; entry += 2) lines.remove(fmix32(entry), entry);
    for (let entry = 1; entry <= ENTRIES; entry++)
      assert.equal(placesOf(lines, fmix32(entry), entry), entry % 2 === 0 ? 1 : 0);
    for (let entry = 2; entry <= ENTRIES; entry += 2) lines.remove(fmix32(entry), entry);
    assert.ok(lines.words.every((word, at) => at % LINE_WORDS !== 0 || word === 0));
  });

  it('say so where there is no place any more, and remove nothing that is not there', () => {
    const lines = new EntryLines(new ArrayBuffer(bytesFor(100)), ENTRIES);
    const added: number[] = [];
    for (let entry = 1; entry <= ENTRIES; entry++) if (lines.add(fmix32(entry), entry)) added.push(entry);
    assert.ok(added.length < ENTRIES);
    const before = lines.words.slice();
    for (let entry = 1; entry <= ENTRIES; entry++)
      if (!added.includes(entry)) lines.remove(fmix32(entry), entry);
    assert.deepEqual(lines.words, before);
    for (const entry of added) lines.remove(fmix32(entry), entry);
    assert.ok(lines.words.every((word, at) => at % LINE_WORDS !== 0 || word === 0));
  });
});
