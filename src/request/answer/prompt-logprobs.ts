import { decodeString, scanMembers } from '../../api/json-scan.ts';
import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { visitElements } from '../../api/value-end.ts';

/**
 * The log-probabilities of a prompt are computed with it: older versions of vLLM have the decode worker leave them out. Newer
 * ones compute such a prompt once more there, and then its own stay. Numbers are taken over as they are written. Undefined
 * where `decode` is no JSON object.
 */
export function withPrompt(decode: Buffer, prefill: Buffer): Buffer | undefined {
  const from = membersOf(prefill);
  const edits: MemberEdit[] = [
    ...promptLogprobs(from),
    { key: 'choices', there: (value) => mergedChoices(value, choicesOf(from.get('choices'))) },
  ];
  const input = membersOf(from.get('meta_info')).get('input_token_logprobs');
  if (input) edits.push({ key: 'meta_info', there: (value) => editMembers(value, [inputLogprobs(input)]) });
  return editMembers(decode, edits);
}

/** SGLang: of the prompt's beginning by the one, of its end by the other. */
function inputLogprobs(first: Buffer): MemberEdit {
  return {
    key: 'input_token_logprobs',
    there: (value) => (isList(value) ? joined(insideOf(first), value) : first),
    absent: first,
  };
}

/** Of an answer, or of one of its choices. */
function promptLogprobs(from: Members): MemberEdit[] {
  const by = from.get('prompt_logprobs');
  if (!by) return [];
  return [{ key: 'prompt_logprobs', there: (value) => (isList(value) ? undefined : by), absent: by }];
}

/** No request has more answers. */
const MOST_CHOICES = 1024;

function choicesOf(json: Buffer | undefined): Buffer[] {
  const found: Buffer[] = [];
  if (!json) return found;
  const isWhole = visitElements(json, (start, end) => found.push(json.subarray(start, end)) < MOST_CHOICES);
  return isWhole ? found : [];
}

function mergedChoices(value: Buffer, prefill: readonly Buffer[]): Buffer | undefined {
  if (prefill.length === 0) return undefined;
  const merged = choicesOf(value).map((choice, index) => {
    const from = prefill[index];
    return from ? (mergedChoice(choice, membersOf(from)) ?? choice) : choice;
  });
  return merged.length === 0 ? undefined : listed(merged);
}

function mergedChoice(choice: Buffer, from: Members): Buffer | undefined {
  const promptTokens = countOf(from.get('prompt_logprobs'));
  const own = countOf(membersOf(choice).get('prompt_logprobs'));
  const logprobs = membersOf(from.get('logprobs'));
  const edits = promptLogprobs(from);
  if (own < promptTokens)
    edits.push({ key: 'logprobs', there: (value) => mergedLogprobs(value, logprobs, promptTokens) });
  return editMembers(choice, edits);
}

const LISTS = ['token_logprobs', 'tokens', 'top_logprobs'] as const;

function mergedLogprobs(value: Buffer, from: Members, promptTokens: number): Buffer | undefined {
  const edits = LISTS.map((key): MemberEdit => ({
    key,
    there: (list) => joined(firstOf(from.get(key), promptTokens).inside, list),
  }));
  const offsets = firstOf(from.get('text_offset'), promptTokens);
  const end = endOfText(offsets.last, firstOf(from.get('tokens'), promptTokens).last);
  if (end !== undefined) {
    edits.push({
      key: 'text_offset',
      there: (list) => {
        const shifted = shiftedBy(list, end);
        return shifted && joined(offsets.inside, shifted);
      },
    });
  }
  return editMembers(value, edits);
}

type Members = ReadonlyMap<string, Buffer>;

/** Values by their keys, without those that are null; none of what is no object. */
function membersOf(json: Buffer | undefined): Members {
  const values = new Map<string, Buffer>();
  if (!json) return values;
  for (const { key, start, end } of scanMembers(json) ?? []) {
    const value = json.subarray(start, end);
    if (!value.equals(NULL)) values.set(key, value);
  }
  return values;
}

const NULL = Buffer.from('null');
const NOTHING = Buffer.alloc(0);
const OPEN_BRACKET = 0x5b;

function isList(json: Buffer): boolean {
  return json[0] === OPEN_BRACKET;
}

function countOf(json: Buffer | undefined): number {
  let count = 0;
  return json && visitElements(json, (_start, _end, index) => (count = index + 1) > 0) ? count : 0;
}

/** A list's first elements with the commas between them, and the last of these. */
function firstOf(
  json: Buffer | undefined,
  most: number,
): { readonly inside: Buffer; readonly last: Buffer | undefined } {
  let begin = 0;
  let last: Buffer | undefined;
  let to = 0;
  if (json)
    visitElements(json, (start, end, index) => {
      if (index === 0) begin = start;
      last = json.subarray(start, end);
      to = end;
      return index + 1 < most;
    });
  return { inside: json?.subarray(begin, to) ?? NOTHING, last };
}

function insideOf(list: Buffer): Buffer {
  return firstOf(list, Infinity).inside;
}

/** A list of these elements and those of `list`; undefined where that is none. */
function joined(inside: Buffer, list: Buffer): Buffer | undefined {
  if (!isList(list)) return undefined;
  return listed([inside, insideOf(list)].filter(({ length }) => length > 0));
}

function listed(elements: readonly Buffer[]): Buffer {
  const parts = elements.flatMap((one, at) => (at === 0 ? [one] : [COMMA, one]));
  return Buffer.concat([OPEN, ...parts, CLOSE]);
}

const OPEN = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSE = Buffer.from(']');

/** Where in the text the prompt ends, in characters; undefined where that is not said. */
function endOfText(offset: Buffer | undefined, token: Buffer | undefined): number | undefined {
  const text = token && decodeString(token);
  const begin = Number(offset?.toString('latin1'));
  return text === undefined || !Number.isSafeInteger(begin) ? undefined : begin + charactersOf(text);
}

/** As Python counts them. */
function charactersOf(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) if (!isSecondHalf(text.charCodeAt(at))) count += 1;
  return count;
}

function isSecondHalf(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** More than any answer has tokens. */
const MOST_OFFSETS = 256 * 1024;

/** The list with so much added to each number in it. */
function shiftedBy(list: Buffer, shift: number): Buffer | undefined {
  const shifted: string[] = [];
  const isWhole = visitElements(list, (start, end) => {
    const written = list.toString('latin1', start, end);
    const value = Number(written);
    return shifted.push(Number.isSafeInteger(value) ? String(value + shift) : written) < MOST_OFFSETS;
  });
  return isWhole ? Buffer.from(`[${shifted.join(',')}]`, 'latin1') : undefined;
}
