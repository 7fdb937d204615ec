import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { parseJson } from '../../api/python-json.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';

/** What is changed in the answer of a decode worker, so that it is what one worker would have said. */
export interface PdEdit {
  /** Of the prompt's tokens, those that the prefill worker's cache had, asked for where the usage passes by; undefined: it did not say. */
  readonly cachedTokens: number | undefined;
  /** The prefill worker's answer, where the client wants to know of the prompt's tokens. */
  readonly prefill: Buffer | undefined;
  /** What the workers call the request by, where that is not what the client does, and the latter. */
  readonly alias?: { readonly sent: string; readonly known: string } | undefined;
  /** Such an answer is too long to be merged with it, and passes as it is. */
  readonly onUnmerged: () => void;
}

const NULL = Buffer.from('null');

/** Those of the top level, and of the answer that an event carries. */
export function pdEdits(pd: Pick<PdEdit, 'cachedTokens' | 'alias'>): readonly MemberEdit[] {
  const { alias } = pd;
  return [
    ...(alias ? [{ key: 'id', there: (id: Buffer) => withKnown(id, alias) }] : []),
    // Regular workers say null; what stands here names hosts, ports and engines.
    { key: 'kv_transfer_params', there: (value) => (value.equals(NULL) ? undefined : NULL) },
    { key: 'usage', there: (usage) => withCached(usage, pd.cachedTokens) },
  ];
}

/** vLLM makes the id of an answer from that of its request, in which some connectors have their workers' addresses. */
function withKnown(id: Buffer, { sent, known }: NonNullable<PdEdit['alias']>): Buffer | undefined {
  const at = id.indexOf(sent);
  if (at < 0) return undefined;
  const by = JSON.stringify(known).slice(1, -1);
  return Buffer.concat([id.subarray(0, at), Buffer.from(by), id.subarray(at + sent.length)]);
}

/** The decode worker counts what it was handed, or nothing: the client is told what was not computed for it. */
function withCached(usage: Buffer, cached: number | undefined): Buffer | undefined {
  const edits = [
    detail('prompt_tokens_details', cached === undefined ? 'gone' : Buffer.from(String(cached))),
  ];
  if (cached !== undefined) {
    edits.push(detail('input_tokens_details', Buffer.from(String(cached))));
    edits.push(...ofMessage(usage, cached));
  }
  return editMembers(usage, edits);
}

/** In the details of chats and completions, and those of the responses API, which must have the field. */
function detail(key: string, by: Buffer | 'gone'): MemberEdit {
  const field: MemberEdit = { key: 'cached_tokens', there: () => by };
  const edits = by === 'gone' ? [field] : [{ ...field, absent: by }];
  return { key, there: (details) => editMembers(details, edits) };
}

/** The messages API counts as input what was not read from the cache. */
function ofMessage(usage: Buffer, cached: number): MemberEdit[] {
  if (!usage.includes('"cache_read_input_tokens"')) return [];
  const fields = fieldsOf(usage);
  const [input, read] = [fields['input_tokens'], fields['cache_read_input_tokens']];
  if (typeof input !== 'number' || typeof read !== 'number') return [];
  const rest = Math.max(0, input + read - cached);
  return [
    { key: 'cache_read_input_tokens', there: () => Buffer.from(String(cached)) },
    { key: 'input_tokens', there: () => Buffer.from(String(rest)) },
  ];
}

function fieldsOf(json: Buffer): JsonObject {
  try {
    const value = parseJson(json.toString('utf8'));
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
