import type { Pieces } from '../base/in-pieces.ts';
import { MemberScan, type VisitMember } from './member-scan.ts';

/**
 * Finds the top-level members of a JSON object in its bytes, without building values. Used for bodies too large for
 * `JSON.parse`, which would hold up every stream of the process (167 ms for 100 MB).
 */
export interface JsonMember {
  /** Decoded key. */
  readonly key: string;
  /** Byte range of the value, surrounding white space excluded. */
  readonly start: number;
  readonly end: number;
}

/** Far more than any API has. Millions of them would hold up every stream for seconds. */
export const MOST_MEMBERS = 4096;

/** Looked at in one go: half a millisecond where every second byte is an escape. */
export const SCAN_PIECE_BYTES = 512 * 1024;

/** Python's parser, and so vLLM, reads past a byte order mark. */
export function bomLength(bytes: Buffer): 0 | 3 {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/**
 * The members in order, duplicates included, or undefined when the bytes are not one JSON object of at most
 * `MOST_MEMBERS` members. Values are checked for balanced brackets and closed strings only; the worker's own parser is the judge of the rest.
 */
export function scanMembers(json: Buffer): JsonMember[] | undefined {
  const members: JsonMember[] = [];
  return isObject(json, keepAll(json, members)) ? members : undefined;
}

/** The same, but it yields after every piece of a long body: others may get their turn. */
export function* scanningMembers(json: Buffer): Pieces<JsonMember[] | undefined> {
  const members: JsonMember[] = [];
  const whole = yield* scanning(new MemberScan(json, keepAll(json, members)));
  return whole ? members : undefined;
}

/** A mebibyte of short messages, some 80 characters each, is made of fewer; half a million would fit in. */
const MOST_PARTS = 48 * 1024;
const LOOK_BYTES = 64 * 1024;

/** Whether the bytes, taken for an object, are made of so many parts that to parse them takes far longer than others. */
export function isDense(json: Buffer): boolean {
  let members = 0;
  const scan = new MemberScan(json, () => ++members <= MOST_MEMBERS);
  for (let to = LOOK_BYTES; ; to += LOOK_BYTES) {
    const whole = scan.look(to);
    if (members > MOST_MEMBERS || scan.parts > MOST_PARTS) return true;
    if (whole !== undefined) return false;
  }
}

function keepAll(json: Buffer, members: JsonMember[]): VisitMember {
  return (keyStart, keyEnd, start, end) => {
    const key = decodeString(json.subarray(keyStart, keyEnd));
    return key !== undefined && members.push({ key, start, end }) <= MOST_MEMBERS;
  };
}

function isObject(json: Buffer, visit: VisitMember): boolean {
  return new MemberScan(json, visit).look(json.length) === true;
}

/**
 * The members with one of these keys, however the keys are escaped, in order, duplicates included; undefined when the
 * bytes are not one JSON object. The other members cost nothing but their bytes, so there may be any number of them.
 */
export function findMembers(json: Buffer, keys: readonly string[]): JsonMember[] | undefined {
  const found: JsonMember[] = [];
  return isObject(json, keepNamed(json, keys, found)) ? found : undefined;
}

/** The same, but it yields after every piece of a long object: others may get their turn. */
export function* findingMembers(json: Buffer, keys: readonly string[]): Pieces<JsonMember[] | undefined> {
  const found: JsonMember[] = [];
  const whole = yield* scanning(new MemberScan(json, keepNamed(json, keys, found)));
  return whole ? found : undefined;
}

/** Whether it is one object, told after pieces of a bounded length. */
export function* scanning(scan: MemberScan): Pieces<boolean> {
  for (let to = SCAN_PIECE_BYTES; ; to += SCAN_PIECE_BYTES) {
    const whole = scan.look(to);
    if (whole !== undefined) return whole;
    yield;
  }
}

function keepNamed(json: Buffer, keys: readonly string[], found: JsonMember[]): VisitMember {
  const longest = Math.max(...keys.map((key) => key.length));
  return (keyStart, keyEnd, start, end) => {
    // Every character of a key takes at most the six bytes of its escape.
    if (keyEnd - keyStart - 2 > 6 * longest) return true;
    const key = keyAmong(keys, json, keyStart, keyEnd);
    if (key !== undefined) found.push({ key, start, end });
    return found.length <= MOST_MEMBERS;
  };
}

/**
 * Which of these keys, all of ASCII, is spelt between `start` and `end`, quotes included; undefined where it is another one. Without an escape
 * in it nearly every other key is told by its length.
 */
export function keyAmong(
  keys: readonly string[],
  json: Buffer,
  start: number,
  end: number,
): string | undefined {
  let at = start + 1;
  while (at < end && json[at] !== BACKSLASH) at += 1;
  if (at < end) {
    const key = decodeString(json.subarray(start, end));
    return key !== undefined && keys.includes(key) ? key : undefined;
  }
  const length = end - start - 2;
  return keys.find((key) => key.length === length && isAt(json, start + 1, key));
}

function isAt(json: Buffer, from: number, key: string): boolean {
  for (let at = 0; at < key.length; at++) if (json[from + at] !== key.charCodeAt(at)) return false;
  return true;
}

const BACKSLASH = 0x5c;

/** A JSON string, quotes included; undefined where it is none. */
export function decodeString(quoted: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(quoted.toString('utf8'));
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
