import { isUtf8 } from 'node:buffer';
import { inOneGo, type Pieces } from '../../base/in-pieces.ts';
import { findingMembers, type JsonMember } from '../../api/json-scan.ts';
import { parseJson } from '../../api/python-json.ts';
import { readUsage } from '../../api/usage.ts';
import { PARAMS } from './params.ts';

/** Longer ones are nobody's: logprobs of a long prompt take a few megabytes. */
export const MOST_ANSWER_BYTES = 16 * 1024 * 1024;
/** Block ids of a million tokens take some hundred kilobytes. */
const MOST_PARAMS_BYTES = 4 * 1024 * 1024;
/** Parsed as a whole in a few milliseconds. */
const PARSED_BYTES = 256 * 1024;
const MOST_USAGE_BYTES = 16 * 1024;
const MOST_MESSAGE_CHARACTERS = 256;

/** What a prefill worker answered. */
export interface PrefillAnswer {
  /** The very bytes of `kv_transfer_params`, an object; undefined where there is none, or null. */
  readonly params: Buffer | undefined;
  /** Of the prompt's tokens, those that its cache had. */
  readonly cachedTokens: number | undefined;
  readonly promptTokens: number | undefined;
  /** The value of `prompt_token_ids`, whatever it is; undefined where there is none, or null. */
  readonly promptIds: Buffer | undefined;
  readonly bytes: Buffer;
}

/** Why an answer is none that a decode worker can go on from. */
export interface PrefillProblem {
  readonly problem: string;
}

/** In which one of vLLM's APIs has what it has generated: chat and completions, responses, messages. */
const CONTENTS = ['choices', 'output', 'content'] as const;
const KEYS = [PARAMS, 'usage', 'error', 'object', 'type', 'message', 'prompt_token_ids', ...CONTENTS];

/** Reads the body of an answer with status 200, which may be anything all the same. */
export function readPrefillAnswer(bytes: Buffer): PrefillAnswer | PrefillProblem {
  return inOneGo(readingPrefillAnswer(bytes));
}

/** The same, but it yields after every piece of a long answer: others may get their turn. */
export function* readingPrefillAnswer(bytes: Buffer): Pieces<PrefillAnswer | PrefillProblem> {
  if (bytes.length > MOST_ANSWER_BYTES) return { problem: `it has more than ${MOST_ANSWER_BYTES} bytes` };
  const members = yield* findingMembers(bytes, KEYS);
  if (!members) return { problem: 'it is no JSON object' };
  const find = (key: string): Buffer | undefined => valueOf(bytes, members, key);
  const error = errorOf(find);
  if (error !== undefined) return { problem: `it is an error: ${error}` };
  if (!CONTENTS.some((key) => find(key)))
    return { problem: `it has none of ${CONTENTS.join(', ')}: not what a model answers` };
  const params = find(PARAMS);
  const problem = params && objectionTo(params);
  if (problem !== undefined) return { problem: `its ${PARAMS} ${problem}` };
  const usage = usageOf(find('usage'));
  const { cachedTokens, promptTokens } = usage ?? {};
  return { params, cachedTokens, promptTokens, promptIds: find('prompt_token_ids'), bytes };
}

/** The last one, as Python's parser takes it; undefined for null, too. */
function valueOf(bytes: Buffer, members: readonly JsonMember[], key: string): Buffer | undefined {
  const member = members.findLast((one) => one.key === key);
  const value = member && bytes.subarray(member.start, member.end);
  return value?.equals(NULL) ? undefined : value;
}

const NULL = Buffer.from('null');
const OPEN_BRACE = 0x7b;

/** Errors as the routes of vLLM have had them: `{"error":{...}}`, `{"object":"error",...}`, `{"type":"error",...}`. */
function errorOf(find: (key: string) => Buffer | undefined): string | undefined {
  const error = find('error');
  const isOne = [find('object'), find('type')].some((kind) => kind?.toString('latin1') === '"error"');
  if (!error && !isOne) return undefined;
  const text = (error ?? find('message') ?? Buffer.from('no message')).toString('utf8');
  return text.slice(0, MOST_MESSAGE_CHARACTERS);
}

/** They become a part of the request to the decode worker, so they must be whole. */
function objectionTo(params: Buffer): string | undefined {
  if (params[0] !== OPEN_BRACE) return 'are no object';
  if (params.length > MOST_PARAMS_BYTES) return `have more than ${MOST_PARAMS_BYTES} bytes`;
  if (!isUtf8(params)) return 'are no UTF-8';
  // The brackets of longer ones are balanced, which the scan has seen.
  return params.length > PARSED_BYTES || isJson(params) ? undefined : 'are no JSON';
}

function isJson(bytes: Buffer): boolean {
  try {
    parseJson(bytes.toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

function usageOf(value: Buffer | undefined): ReturnType<typeof readUsage> {
  if (!value || value.length > MOST_USAGE_BYTES) return undefined;
  return readUsage(value.toString('utf8'), undefined);
}
