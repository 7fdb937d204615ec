import { parsingInParts } from '../../api/json-parts.ts';
import type { Pieces } from '../../base/in-pieces.ts';

/** Entries of a list that are read in one go: half a millisecond. */
const ENTRIES = 2048;

/** What an answer says to `read`, which is handed undefined where it is no JSON. Large integers lose digits, none of which is read. */
export function* reading<T>(body: Buffer, read: (answer: unknown) => Pieces<T>): Pieces<T> {
  return yield* read(yield* parsingInParts(body));
}

/** Whether others should have their turn before this entry of a long list. */
export function isLater(index: number): boolean {
  return index % ENTRIES === ENTRIES - 1;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** A number of things: whole and not negative. */
export function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
