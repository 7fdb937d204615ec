import { decodeString, scanMembers } from '../../api/json-scan.ts';
import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { elementsOf } from '../../api/value-end.ts';

/**
 * The log-probabilities of a prompt are computed with it: older versions of vLLM have the decode worker leave them out. Newer
 * ones compute such a prompt once more there, and then its own stay. Numbers are taken over as they are written.
 */
export function withPrompt(decode: Buffer, prefill: Buffer): Buffer | undefined {
  const from = membersOf(prefill);
  const choices = listOf(from.get('choices'));
  const edits: MemberEdit[] = [
    ...promptLogprobs(from),
    { key: 'choices', there: (value) => mergedChoices(value, choices) },
  ];
  const input = membersOf(from.get('meta_info')).get('input_token_logprobs');
  if (input) edits.push({ key: 'meta_info', there: (value) => editMembers(value, [joined(input)]) });
  return editMembers(decode, edits);
}

/** SGLang: of the prompt's beginning by the one, of its end by the other. */
function joined(first: Buffer): MemberEdit {
  return {
    key: 'input_token_logprobs',
    there: (value) => (isList(value) ? concatLists(first, Infinity, value) : first),
    absent: first,
  };
}

/** Of an answer or of one of its choices. */
function promptLogprobs(from: Members): MemberEdit[] {
  const by = from.get('prompt_logprobs');
  if (!by) return [];
  return [{ key: 'prompt_logprobs', there: (value) => (isList(value) ? undefined : by), absent: by }];
}

function mergedChoices(value: Buffer, prefill: readonly Buffer[]): Buffer | undefined {
  const places = elementsOf(value);
  if (!places) return undefined;
  const merged = places.map(({ start, end }, index) => {
    const choice = value.subarray(start, end);
    const from = prefill[index];
    return from ? (mergedChoice(choice, membersOf(from)) ?? choice) : choice;
  });
  return listed(merged);
}

function mergedChoice(choice: Buffer, from: Members): Buffer | undefined {
  const promptTokens = listOf(from.get('prompt_logprobs')).length;
  const own = listOf(membersOf(choice).get('prompt_logprobs')).length;
  const logprobs = membersOf(from.get('logprobs'));
  const edits = promptLogprobs(from);
  if (promptTokens > 0 && own < promptTokens)
    edits.push({ key: 'logprobs', there: (value) => mergedLogprobs(value, logprobs, promptTokens) });
  return editMembers(choice, edits);
}

const LISTS = ['token_logprobs', 'tokens', 'top_logprobs'] as const;

function mergedLogprobs(value: Buffer, from: Members, promptTokens: number): Buffer | undefined {
  const edits = LISTS.flatMap((key): MemberEdit[] => {
    const first = from.get(key);
    return first && isList(first) ? [{ key, there: (list) => concatLists(first, promptTokens, list) }] : [];
  });
  const offsets = listOf(from.get('text_offset')).slice(0, promptTokens);
  const shift = promptEnd(offsets, listOf(from.get('tokens')).slice(0, promptTokens));
  if (shift !== undefined)
    edits.push({ key: 'text_offset', there: (list) => concatOffsets(offsets, list, shift) });
  return editMembers(value, edits);
}

type Members = ReadonlyMap<string, Buffer>;

/** Values by their keys, without those that are null; none of what is no object. */
function membersOf(json: Buffer | undefined): Members {
  const members = (json && scanMembers(json)) ?? [];
  const values = members.map(({ key, start, end }) => [key, json?.subarray(start, end)] as const);
  return new Map(values.filter((one): one is [string, Buffer] => one[1]?.equals(NULL) === false));
}

const NULL = Buffer.from('null');
const OPEN_BRACKET = 0x5b;

function isList(json: Buffer): boolean {
  return json[0] === OPEN_BRACKET;
}

/** Its elements; none of what is no list. */
function listOf(json: Buffer | undefined): Buffer[] {
  const places = (json && elementsOf(json)) ?? [];
  return places.map(({ start, end }) => json?.subarray(start, end) ?? NULL);
}

function listed(elements: readonly Buffer[]): Buffer {
  return Buffer.from(`[${elements.map((one) => one.toString('latin1')).join(',')}]`, 'latin1');
}

/** The first `most` elements of the one, and all of the other. */
function concatLists(first: Buffer, most: number, then: Buffer): Buffer | undefined {
  if (!isList(then)) return undefined;
  return listed([...listOf(first).slice(0, most), ...listOf(then)]);
}

/** Where in the text the prompt ends, in characters; undefined where that is not said. */
function promptEnd(offsets: readonly Buffer[], tokens: readonly Buffer[]): number | undefined {
  const [offset, token] = [offsets.at(-1), tokens.at(-1)];
  if (!offset || !token) return undefined;
  const text = decodeString(token);
  const begin = Number(offset.toString('latin1'));
  return text === undefined || !Number.isSafeInteger(begin) ? undefined : begin + charactersOf(text);
}

/** As Python counts them. */
function charactersOf(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) if (!/[\uDC00-\uDFFF]/.test(text.charAt(at))) count += 1;
  return count;
}

function concatOffsets(prompt: readonly Buffer[], own: Buffer, shift: number): Buffer | undefined {
  if (!isList(own)) return undefined;
  const shifted = listOf(own).map((offset) => {
    const value = Number(offset.toString('latin1'));
    return Number.isSafeInteger(value) ? Buffer.from(String(value + shift)) : offset;
  });
  return listed([...prompt, ...shifted]);
}
