import { inOneGo, type Pieces } from '../base/in-pieces.ts';
import { piecesOf, splice, type Replacement } from './json-edit.ts';
import { bomLength, keyAmong, MOST_MEMBERS, scanning } from './json-scan.ts';
import { MemberScan, type VisitMember } from './member-scan.ts';

/** Members of an object to be set, in their order: the key, and its value as JSON. */
export type JsonMembers = readonly (readonly [key: string, json: string | Buffer])[];

/** What becomes of the members with one key. */
export interface MemberEdit {
  /** Decoded. */
  readonly key: string;
  /** For each of them: the JSON in the place of its value, `gone` for a member that is taken out; undefined or the very value: it stays. */
  readonly there: (value: Buffer) => Buffer | 'gone' | undefined;
  /** The value, as JSON, of the member that is put behind the others where there is none. */
  readonly absent?: string | Buffer;
}

/**
 * A JSON object with these members changed, and `more` behind all others; every other byte as it was, however keys are
 * escaped and numbers spelt. The very object where nothing changes; undefined when the bytes are none.
 */
export function editMembers(
  json: Buffer,
  edits: readonly MemberEdit[],
  more: JsonMembers = [],
): Buffer | undefined {
  return inOneGo(editingMembers(json, edits, more));
}

/** The same, but it yields after every piece of a long object: others may get their turn. */
export function* editingMembers(
  json: Buffer,
  edits: readonly MemberEdit[],
  more: JsonMembers = [],
): Pieces<Buffer | undefined> {
  const found = new FoundMembers(json, edits);
  const whole = yield* scanning(new MemberScan(json.subarray(bomLength(json)), found.visit));
  if (!whole) return undefined;
  const replacements = found.replacements();
  const behind = found.absent(more);
  if (behind.length === 0) return replacements.length === 0 ? json : splice(json, replacements);
  const parts = piecesOf(json, replacements);
  return appended(parts, behind) ?? appendMembers(Buffer.concat(parts), behind);
}

/**
 * The object with `members` behind its own, where Python's parser, and so vLLM, takes them rather than others of the same key. Only
 * its end is looked at; undefined where that is not an object's.
 */
export function appendMembers(json: Buffer, members: JsonMembers): Buffer | undefined {
  return members.length === 0 ? json : appended([json], members);
}

/** The same of an object in pieces; undefined also where the last one does not tell whether it has other members. */
function appended(parts: readonly Buffer[], members: JsonMembers): Buffer | undefined {
  const end = parts.at(-1) ?? NOTHING;
  const close = lastOf(end, end.length);
  const last = lastOf(end, close);
  if (end[close] !== CLOSE_BRACE || last < 0) return undefined;
  const all = [...parts.slice(0, -1), end.subarray(0, last + 1)];
  let comma = end[last] === OPEN_BRACE && parts.length === 1 ? '' : ',';
  for (const [key, value] of members) {
    if (typeof value === 'string') all.push(Buffer.from(`${comma}${JSON.stringify(key)}:${value}`));
    else all.push(Buffer.from(`${comma}${JSON.stringify(key)}:`), value);
    comma = ',';
  }
  all.push(end.subarray(last + 1));
  return Buffer.concat(all);
}

/** A member that an edit means. */
interface Found {
  readonly edit: MemberEdit;
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  /** Where the value before it ends; undefined for the first member. */
  readonly endBefore: number | undefined;
  /** Where the key behind it starts; undefined for the last one. */
  nextKey: number | undefined;
}

class FoundMembers {
  readonly #json: Buffer;
  readonly #bom: number;
  readonly #edits: readonly MemberEdit[];
  readonly #keys: readonly string[];
  readonly #longest: number;
  readonly #found: Found[] = [];
  #endBefore: number | undefined;

  constructor(json: Buffer, edits: readonly MemberEdit[]) {
    this.#json = json;
    this.#bom = bomLength(json);
    this.#edits = edits;
    this.#keys = edits.map(({ key }) => key);
    this.#longest = Math.max(0, ...this.#keys.map((key) => key.length));
  }

  readonly visit: VisitMember = (keyStart, keyEnd, start, end) => {
    const bom = this.#bom;
    const before = this.#found.at(-1);
    if (before) before.nextKey ??= keyStart + bom;
    // Every character of a key takes at most the six bytes of its escape.
    if (keyEnd - keyStart - 2 <= 6 * this.#longest) {
      const key = keyAmong(this.#keys, this.#json, keyStart + bom, keyEnd + bom);
      const edit = key === undefined ? undefined : this.#edits.find((one) => one.key === key);
      if (edit) {
        const place = { keyStart: keyStart + bom, start: start + bom, end: end + bom };
        this.#found.push({ edit, ...place, endBefore: this.#endBefore, nextKey: undefined });
      }
    }
    this.#endBefore = end + bom;
    return this.#found.length <= MOST_MEMBERS;
  };

  /** Those of the edits whose key is nowhere, before `more`. */
  absent(more: JsonMembers): JsonMembers {
    const all: (readonly [key: string, json: string | Buffer])[] = [];
    for (const edit of this.#edits) {
      const { key, absent } = edit;
      if (absent !== undefined && !this.#found.some((one) => one.edit === edit)) all.push([key, absent]);
    }
    return all.length === 0 ? more : [...all, ...more];
  }

  replacements(): Replacement[] {
    const made: Replacement[] = [];
    /** The members taken out right before, one behind the other. */
    let run: Found | undefined;
    for (const one of this.#found) {
      const value = this.#json.subarray(one.start, one.end);
      const by = one.edit.there(value);
      if (by !== 'gone') {
        if (by && by !== value) made.push({ start: one.start, end: one.end, by });
        continue;
      }
      const follows = run !== undefined && made.at(-1)?.end === one.keyStart;
      if (!follows) run = one;
      if (one.nextKey !== undefined) {
        made.push({ start: one.keyStart, end: one.nextKey, by: NOTHING });
        continue;
      }
      // The last one goes with the comma before it, which may be that of others that have gone.
      const first = run ?? one;
      while ((made.at(-1)?.start ?? -1) >= first.keyStart) made.pop();
      made.push({ start: first.endBefore ?? first.keyStart, end: one.end, by: NOTHING });
    }
    return made;
  }
}

const NOTHING = Buffer.alloc(0);
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Index of the last byte before `end` that is no white space; -1 where there is none. */
function lastOf(json: Buffer, end: number): number {
  let at = end - 1;
  while (at >= 0 && isSpace(json[at])) at -= 1;
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
