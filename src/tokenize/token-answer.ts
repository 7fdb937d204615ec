import { findMembers } from '../api/json-scan.ts';
import { isObject } from '../api/prompt-sink.ts';
import type { TokenQuestion } from './tokens.ts';

/** What a template may add to a prompt: some ten thousand tokens. */
const ADDED_BYTES = 256 * 1024;
/** An id and its comma take half of it, where every byte of the prompt is a token. */
const BYTES_PER_BYTE = 16;

/** The longest answer to the question that makes sense: who sends more is not read to the end. */
export function mostAnswerBytes({ members }: TokenQuestion): number {
  return ADDED_BYTES + BYTES_PER_BYTE * members.length;
}

const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const ZERO = 0x30;

/**
 * The ids in an answer of a route that tokenises; undefined where there is not one list of them. They are read from the bytes: to make
 * values of millions of members would hold up every stream for seconds.
 */
export function idsOfAnswer(body: Buffer): Uint32Array | undefined {
  const json = onlyOf(body);
  const members = findMembers(json, ['tokens', 'token_ids', 'features']);
  // Of two with one name the last one counts.
  const starts = new Map(members?.map(({ key, start }) => [key, start]));
  const given = (key: string): number | undefined => {
    const start = starts.get(key);
    return start === undefined || json.toString('latin1', start, start + 4) === 'null' ? undefined : start;
  };
  const list = given('tokens') ?? given('token_ids');
  return list === undefined || given('features') !== undefined ? undefined : idsAt(json, list);
}

/** The entry of a list with one, which the render route of completions gives. */
function onlyOf(body: Buffer): Buffer {
  if (!/^\s*\[/.test(body.toString('latin1', 0, 64))) return body;
  return body.subarray(body.indexOf(OPEN_BRACKET) + 1, body.lastIndexOf(CLOSE_BRACKET));
}

/** Ids of 32 bits, as simulated engines have them: no vocabulary needs more than half of that. */
const HIGHEST_ID = 2 ** 32 - 1;

/** @param start Of the list. */
function idsAt(json: Buffer, start: number): Uint32Array | undefined {
  if (json[start] !== OPEN_BRACKET) return undefined;
  const ids = new Uint32Array(Math.ceil((json.indexOf(CLOSE_BRACKET, start) - start) / 2));
  let count = 0;
  let at = skipSpace(json, start + 1);
  if (json[at] === CLOSE_BRACKET) return ids.subarray(0, 0);
  for (;;) {
    const first = at;
    let id = 0;
    for (let digit = json[at]! - ZERO; digit >= 0 && digit <= 9; digit = json[++at]! - ZERO)
      id = 10 * id + digit;
    if (at === first || id > HIGHEST_ID) return undefined;
    ids[count++] = id;
    at = skipSpace(json, at);
    if (json[at] === CLOSE_BRACKET) return ids.slice(0, count);
    if (json[at] !== COMMA) return undefined;
    at = skipSpace(json, at + 1);
  }
}

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === 0x20 || json[at] === 0x0a || json[at] === 0x0d || json[at] === 0x09) at += 1;
  return at;
}

/** An error as vLLM words it takes less, unless it repeats a prompt. */
const MOST_ERROR_BYTES = 64 * 1024;

/** Whether the server has no such route, rather than no such model. */
export function isUnoffered(status: number, body: Buffer): boolean {
  // vLLM refuses its render routes with 403 where it runs without --enable-scale-out.
  if (status === 403 || status === 405 || status === 501) return true;
  if (status !== 404) return false;
  if (body.length > MOST_ERROR_BYTES) return true;
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return !isObject(answer) || !isObject(answer['error']);
  } catch {
    return true;
  }
}
