import { inOneGo, type Pieces } from '../../base/in-pieces.ts';
import {
  appendMembers,
  editingMembers,
  editMembers,
  type JsonMembers,
  type MemberEdit,
} from '../../api/member-edit.ts';
import { parseJson, readInteger } from '../../api/python-json.ts';
import type { PrefillOrder } from './connector.ts';
import { PARAMS } from './params.ts';

/** The field of an endpoint that says how long its answers may be; `sampling_params` holds it in `/inference/v1/generate`. */
export type Cap = 'max_tokens' | 'max_output_tokens' | 'sampling_params';

const ONE = Buffer.from('1');
const FALSE = Buffer.from('false');

function set(key: string, value: Buffer): MemberEdit {
  return { key, there: () => value, absent: value.toString() };
}

function whereThere(key: string, value: Buffer): MemberEdit {
  return { key, there: () => value };
}

/** A least length above the one token is refused. What is no number stays, for the worker to refuse. */
function atMostOne(key: string): MemberEdit {
  return { key, there: (value) => (isAboveOne(value) ? ONE : undefined) };
}

/** Far more digits than a length has. */
const LONGEST_NUMBER_BYTES = 64;

function isAboveOne(json: Buffer): boolean {
  if (json.length > LONGEST_NUMBER_BYTES) return false;
  try {
    return (readInteger(parseJson(json.toString())) ?? 0) > 1;
  } catch {
    return false;
  }
}

/** vLLM refuses `stream_options` where nothing is streamed; a streamed prefill would carry no parameters. */
const NOT_STREAMED: readonly MemberEdit[] = [
  set('stream', FALSE),
  { key: 'stream_options', there: () => 'gone' },
];

const ONE_TOKEN = [set('max_tokens', ONE), atMostOne('min_tokens')];

function samplingParams(value: Buffer): Buffer | undefined {
  return value.equals(NULL) ? Buffer.from(LEAST_SAMPLING) : editMembers(value, ONE_TOKEN);
}

const NULL = Buffer.from('null');
const LEAST_SAMPLING = '{"max_tokens":1,"min_tokens":1}';

const CUT_DOWN: Readonly<Record<Cap, readonly MemberEdit[]>> = {
  max_tokens: [
    ...ONE_TOKEN,
    whereThere('max_completion_tokens', ONE),
    atMostOne('min_completion_tokens'),
    ...NOT_STREAMED,
  ],
  max_output_tokens: [
    set('max_output_tokens', ONE),
    // The prefill worker would answer at once, with nothing yet, and keep the one token for later.
    whereThere('background', FALSE),
    // vLLM stores what does not say otherwise.
    set('store', FALSE),
    ...NOT_STREAMED,
  ],
  sampling_params: [
    { key: 'sampling_params', there: samplingParams, absent: LEAST_SAMPLING },
    ...NOT_STREAMED,
  ],
};

/** What the prefill worker gets for the client's body; undefined when that is no JSON object. */
export function prefillBody(
  body: Buffer,
  cap: Cap,
  order: Pick<PrefillOrder, 'body' | 'members'>,
): Buffer | undefined {
  return inOneGo(makingPrefillBody(body, cap, order));
}

/** The same, but it yields after every piece of a long body: others may get their turn. */
export function* makingPrefillBody(
  body: Buffer,
  cap: Cap,
  { body: how, members }: Pick<PrefillOrder, 'body' | 'members'>,
): Pieces<Buffer | undefined> {
  return yield* editingMembers(body, how === 'same' ? [] : CUT_DOWN[cap], members);
}

/** The client's body with `members` behind its own; undefined when it cannot be a JSON object. */
export function decodeBody(body: Buffer, members: JsonMembers): Buffer | undefined {
  return appendMembers(body, members);
}

/** By which a worker is told where to fetch blocks from, or to keep some: the router's to say. */
const OURS = [PARAMS, 'bootstrap_host', 'bootstrap_port', 'bootstrap_room'] as const;

const notNull = (value: Buffer): 'gone' | undefined => (value.equals(NULL) ? undefined : 'gone');
const NOT_THEIRS: readonly MemberEdit[] = OURS.map((key) => ({ key, there: notNull }));
const WITHIN: readonly MemberEdit[] = [{ key: PARAMS, there: notNull }];

/** What has so many members that nobody can tell is taken out as a whole. */
function edited(value: Buffer, edits: readonly MemberEdit[]): Buffer | 'gone' | undefined {
  return editMembers(value, edits) ?? (value[0] === OPEN_BRACE ? 'gone' : undefined);
}

function within(value: Buffer): Buffer | 'gone' | undefined {
  return edited(value, WITHIN);
}

const OPEN_BRACE = 0x7b;

/** vLLM takes its own parameters from among the extra ones of the sampling (`SamplingParams.extra_args`) as well. */
const WITHOUT_THEIRS: readonly MemberEdit[] = [
  ...NOT_THEIRS,
  { key: 'vllm_xargs', there: within },
  {
    key: 'sampling_params',
    there: (value) => edited(value, [{ key: 'extra_args', there: within }]),
  },
];

/** Whether a client may say by itself how blocks are handed over: false for most bodies, at once. */
export function mayHaveClientParams(body: Buffer): boolean {
  // Without an escaped letter a key is spelt in one way only, so most bodies need no scan.
  if (!body.includes('\\u') && !OURS.some((key) => body.includes(`"${key}"`))) return false;
  return true;
}

/** The body without that, or the very body; undefined where that cannot be told, since there are too many members. */
export function* leavingOutClientParams(body: Buffer): Pieces<Buffer | undefined> {
  return yield* editingMembers(body, WITHOUT_THEIRS, []);
}
