import type { Pieces } from '../base/in-pieces.ts';
import { scanningMembers } from './json-scan.ts';
import { stringEnd } from './string-end.ts';

/** Parsed in one go, or the first end of an item behind it. */
const PART_BYTES = 64 * 1024;
/** Three milliseconds where it is made of nothing but brackets. */
const LONGEST_PART_BYTES = 128 * 1024;

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * The value of a JSON object that has long lists or objects in it, parsed part by part: it yields between them. Undefined for what is
 * no JSON object, and for one in which an object has more than `MOST_MEMBERS` members, or an item of a list would take too long.
 */
export function* parsingInParts(json: Buffer): Pieces<unknown> {
  return json.length <= PART_BYTES ? parse(json)?.value : yield* parsingObject(json);
}

interface Parsed {
  readonly value: unknown;
}

function parse(json: Buffer): Parsed | undefined {
  try {
    return { value: JSON.parse(json.toString('utf8')) };
  } catch {
    return undefined;
  }
}

function* parsingObject(json: Buffer): Pieces<Readonly<Record<string, unknown>> | undefined> {
  const members = yield* scanningMembers(json);
  if (!members) return undefined;
  const entries: [string, unknown][] = [];
  let yieldedAt = 0;
  for (const { key, start, end } of members) {
    const value = json.subarray(start, end);
    const parsed = value.length <= LONGEST_PART_BYTES ? parse(value) : yield* parsingLong(value);
    if (!parsed) return undefined;
    entries.push([key, parsed.value]);
    if (end - yieldedAt < PART_BYTES) continue;
    yieldedAt = end;
    yield;
  }
  return Object.fromEntries(entries);
}

function* parsingLong(json: Buffer): Pieces<Parsed | undefined> {
  if (json[0] === OPEN_BRACKET) return yield* parsingList(json);
  const value = json[0] === OPEN_BRACE ? yield* parsingObject(json) : undefined;
  return value && { value };
}

function* parsingList(json: Buffer): Pieces<Parsed | undefined> {
  const value: unknown[] = [];
  const last = json.length - 1;
  for (let from = 1; from <= last;) {
    const end = partEnd(json, from);
    if (end === undefined || json[end] !== (end === last ? CLOSE_BRACKET : COMMA)) return undefined;
    const items = parse(Buffer.concat([OPEN, json.subarray(from, end), CLOSE]))?.value;
    // Nothing stands between two commas, or behind the last one.
    if (!Array.isArray(items) || items.length === 0) return undefined;
    for (const item of items as readonly unknown[]) value.push(item);
    from = end + 1;
    yield;
  }
  return { value };
}

const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');

/** Where a part of a list ends that begins here: at the first comma that is far enough, or at a closing bracket. Undefined where that is too far. */
function partEnd(json: Buffer, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at >= 0 && at < from + LONGEST_PART_BYTES; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = stringEnd(json, at + 1) - 1;
    else if (byte === COMMA && depth === 0 && at >= from + PART_BYTES) return at;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === 0) return at;
      depth -= 1;
    }
  }
  return undefined;
}
