import { hasDuplicateField, isDeciding, repeatsDecidingField } from '../../api/json-edit.ts';
import { bomLength, isDense, MOST_MEMBERS, scanningMembers } from '../../api/json-scan.ts';
import { outlining } from '../../api/outline.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { parseJson } from '../../api/python-json.ts';
import { inOneGo, inPieces, type Pieces } from '../../base/in-pieces.ts';

/** Above this a body is scanned for its members instead of being parsed: parsing would hold up every stream. */
const PARSE_LIMIT_BYTES = 1024 * 1024;
/** From here on the long strings of a body stay where they are: see `LongText`. */
const OUTLINE_BYTES = 32 * 1024;
/** Above this a body is scanned, too, if it is made of so many parts that to parse it takes as long as for a far longer one. */
const WEIGH_BYTES = 256 * 1024;
const SMALL_MEMBER_BYTES = 64 * 1024;
/** What is parsed of a long body, all members together. */
const MEMBERS_BYTES = 128 * 1024;
/** No id, name or number is longer: such are read however much came before. */
const TINY_MEMBER_BYTES = 4 * 1024;
/** Prompt text considered for routing. */
const ROUTING_TEXT_BYTES = 256 * 1024;

export type Fields =
  | {
      readonly problem?: undefined;
      readonly fields: JsonObject;
      /** The first bytes of the members too large to parse: together they stand for the prompt. */
      readonly rawPrompt?: string;
      /** Whether `model` or `stream` stands there twice. */
      repeats(): boolean;
    }
  | { readonly problem: string };

/** What a whole body says, as far as it is looked at. */
export function readFields(body: Buffer): Fields {
  const bytes = withoutBom(body);
  return bytes.length < OUTLINE_BYTES ? parseFields(bytes) : inOneGo(readingFields(bytes));
}

/** The same, but while a body is read that takes long, everything else goes on. */
export function readFieldsInPieces(body: Buffer): Fields | Promise<Fields> {
  const bytes = withoutBom(body);
  return bytes.length < OUTLINE_BYTES ? parseFields(bytes) : inPieces(readingFields(bytes));
}

function* readingFields(bytes: Buffer): Pieces<Fields> {
  if (isLong(bytes)) return yield* scanningFields(bytes);
  const value = yield* outlining(bytes);
  if (isObject(value)) return { fields: value, repeats: () => hasDuplicateField(bytes) };
  return bytes.length > WEIGH_BYTES && isDense(bytes) ? yield* scanningFields(bytes) : parseFields(bytes);
}

/** Whether a body is so long that it is never parsed as a whole. */
export function isLong(body: Buffer): boolean {
  return body.length - bomLength(body) > PARSE_LIMIT_BYTES;
}

function parseFields(bytes: Buffer): Fields {
  let value: unknown;
  const text = bytes.toString('utf8');
  try {
    value = parseJson(text);
  } catch (error) {
    if (text.trim() === '') return { problem: 'the body is empty: a JSON object is expected' };
    return { problem: `the body is not valid JSON: ${jsonProblem(error)}` };
  }
  if (!isObject(value)) return { problem: 'the body must be a JSON object' };
  return { fields: value, repeats: () => hasDuplicateField(bytes) };
}

/** V8 quotes the offending text; prompts do not belong into errors that may be logged. */
function jsonProblem(error: unknown): string {
  const position = error instanceof Error ? /position \d+/.exec(error.message) : null;
  return position ? `syntax error at ${position[0]}` : 'syntax error';
}

function* scanningFields(bytes: Buffer): Pieces<Fields> {
  const members = yield* scanningMembers(bytes);
  if (!members) return { problem: `the body is not a JSON object of at most ${MOST_MEMBERS} members` };
  // Without a prototype: a member `__proto__` is one like any other.
  const fields: Record<string, unknown> = { __proto__: null };
  let rawPrompt = '';
  let parsed = 0;
  // Thousands of small members take as much memory as a large one: some ten times what they are as text.
  let room = MEMBERS_BYTES;
  for (const { key, start, end } of members) {
    const size = end - start;
    const isTiny = size <= TINY_MEMBER_BYTES && !isNested(bytes[start]);
    if (isTiny || size <= Math.min(room, SMALL_MEMBER_BYTES)) {
      room -= size;
      parsed += size;
      if (parsed > SMALL_MEMBER_BYTES) {
        parsed = 0;
        yield;
      }
      const value = parseMember(bytes, start, end);
      if (value === undefined)
        return { problem: `the body is not valid JSON between bytes ${start} and ${end}` };
      fields[key] = value;
      continue;
    }
    // A model of this size is none, and nothing that decides or counts is to be left unread.
    if (isDeciding(key) || !(isNested(bytes[start]) || bytes[start] === QUOTE))
      return { problem: `${key} is too long (${size} bytes)` };
    // Of two members with one key the last one counts.
    fields[key] = undefined;
    rawPrompt += bytes.toString(
      'latin1',
      start,
      Math.min(end, start + ROUTING_TEXT_BYTES - rawPrompt.length),
    );
  }
  return { fields, rawPrompt, repeats: () => repeatsDecidingField(members) };
}

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;

/** Whether a value that begins so is made of others. */
function isNested(first: number | undefined): boolean {
  return first === OPEN_BRACKET || first === OPEN_BRACE;
}

/** Undefined where it is not JSON. */
function parseMember(bytes: Buffer, start: number, end: number): unknown {
  try {
    return parseJson(bytes.toString('utf8', start, end));
  } catch {
    return undefined;
  }
}

function withoutBom(bytes: Buffer): Buffer {
  const bom = bomLength(bytes);
  return bom === 0 ? bytes : bytes.subarray(bom);
}
