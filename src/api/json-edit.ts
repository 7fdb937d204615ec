/**
 * Changes of a JSON object in its bytes: whatever is not meant stays as the client wrote it. Parsing and writing it
 * anew would round big integers, drop duplicate members and lose invalid UTF-8.
 */
import { bomLength, findMembers, type JsonMember } from './json-scan.ts';
import { readBoolean } from './python-json.ts';

/** Bytes to put in the place of a range. */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly by: Buffer;
}

/** Fields that a second one must not contradict: they decide where a request goes and how its answer is read. */
const DECIDING: readonly string[] = ['model', 'stream'];

export function isDeciding(key: string): boolean {
  return DECIDING.includes(key);
}

/**
 * Every top-level member with this key, however it is escaped, with `value` in the place of its own value; undefined
 * when there is none or the bytes are not a JSON object.
 */
export function replaceMember(body: Buffer, key: string, value: string): Buffer | undefined {
  const members = membersOf(body, [key]);
  if (!members?.length) return undefined;
  const by = Buffer.from(JSON.stringify(value));
  return splice(
    body,
    members.map(({ start, end }) => ({ start, end, by })),
  );
}

/** The same, but a member that is not there is put in front of the others; undefined when this is not a JSON object. */
export function setMember(body: Buffer, key: string, value: string): Buffer | undefined {
  const replaced = replaceMember(body, key, value);
  if (replaced || !membersOf(body, [key])) return replaced;
  return insertMember(body, bomLength(body), `${JSON.stringify(key)}:${JSON.stringify(value)}`);
}

/**
 * Whether `model` or `stream` stands there twice. JSON does not say which of two counts: parsers take the last one as a
 * rule, others the first, and a check that read the one would let the other through.
 */
export function hasDuplicateField(body: Buffer): boolean {
  // Without an escaped letter a key is spelt in one way only, so most bodies need no scan.
  if (!body.includes('\\u') && DECIDING.every((key) => occursOnce(body, `"${key}"`))) return false;
  return repeatsDecidingField(membersOf(body, DECIDING) ?? []);
}

/** The same for members that have been found already. */
export function repeatsDecidingField(members: readonly JsonMember[]): boolean {
  return DECIDING.some((wanted) => members.filter(({ key }) => key === wanted).length > 1);
}

/**
 * The body of a streamed request with `stream_options.include_usage` added; undefined when the client asked for the
 * usage itself, or when the body has no place for it (then the worker refuses it anyway).
 */
export function injectIncludeUsage(body: Buffer): Buffer | undefined {
  const members = membersOf(body, ['stream_options']);
  if (!members) return undefined;
  const options = members.at(-1);
  if (!options) return insertMember(body, bomLength(body), `"stream_options":{${INCLUDE_USAGE}}`);
  const { start, end } = options;
  const value = body.subarray(start, end);
  if (value.equals(NULL)) return splice(body, [{ start, end, by: Buffer.from(`{${INCLUDE_USAGE}}`) }]);
  const asked = findMembers(value, ['include_usage']);
  if (!asked) return undefined;
  const last = asked.at(-1);
  if (!last) return insertMember(body, start, INCLUDE_USAGE);
  const given = value.toString('latin1', last.start, last.end);
  if (given !== 'null' && readBoolean(parsed(given)) !== false) return undefined;
  return splice(body, [{ start: start + last.start, end: start + last.end, by: Buffer.from('true') }]);
}

const INCLUDE_USAGE = '"include_usage":true';
const NULL = Buffer.from('null');

/** Undefined for what is not plain JSON. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** `body` with some ranges replaced; the ranges come in order and do not overlap. */
export function splice(body: Buffer, replacements: readonly Replacement[]): Buffer {
  return Buffer.concat(piecesOf(body, replacements));
}

/** The same, not yet put together. */
export function piecesOf(body: Buffer, replacements: readonly Replacement[]): Buffer[] {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, by } of replacements) {
    parts.push(body.subarray(at, start), by);
    at = end;
  }
  parts.push(body.subarray(at));
  return parts;
}

/** In front of the other members of the object that opens at or behind `from`. */
function insertMember(body: Buffer, from: number, member: string): Buffer {
  const at = body.indexOf('{', from) + 1;
  const by = Buffer.from(isEmptyFrom(body, at) ? member : `${member},`);
  return splice(body, [{ start: at, end: at, by }]);
}

function isEmptyFrom(body: Buffer, from: number): boolean {
  for (let at = from; at < body.length; at += 1) {
    const byte = body[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte === 0x7d;
  }
  return false;
}

/** With ranges that count from the start of the body, a byte order mark included. */
function membersOf(body: Buffer, keys: readonly string[]): JsonMember[] | undefined {
  const bom = bomLength(body);
  const members = findMembers(bom === 0 ? body : body.subarray(bom), keys);
  if (bom === 0) return members;
  return members?.map(({ key, start, end }) => ({ key, start: start + bom, end: end + bom }));
}

function occursOnce(body: Buffer, text: string): boolean {
  const first = body.indexOf(text);
  return first < 0 || body.indexOf(text, first + text.length) < 0;
}
