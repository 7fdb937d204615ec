import type { MemberEdit } from '../../api/member-edit.ts';
import { headerOf, isEventStream } from '../../http/headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Runtime } from '../runtime.ts';
import type { Head } from '../send/attempt.ts';
import type { Call } from '../understand/read-call.ts';
import { EventEditor } from './event-editor.ts';
import { JsonEditor } from './json-editor.ts';
import { pdEdits, type PdEdit } from './pd-edit.ts';
import { PrefillMerge } from './prefill-merge.ts';
import { translatorFor, type AnswerTranslation } from './translated-answer.ts';
import type { ResponseEditor } from './response-editor.ts';
import { WholeEditor } from './whole-editor.ts';

/** What is to be changed in an answer. */
export interface AnswerEdit {
  /** The model's name as the client knows it, as JSON. */
  readonly model: Buffer | undefined;
  /** Take out the event with the usage, which the client did not ask for. */
  readonly swallowUsage: boolean;
  /** Another worker has computed the prompt. */
  readonly pd?: PdEdit | undefined;
  /** It is in another API's words than the client's, and all else is changed before. */
  readonly translation?: AnswerTranslation | undefined;
}

/** Undefined for nearly every request. */
export function answerEdit(
  rt: Runtime,
  { decision }: Arrival,
  call: Call,
  pd?: PdEdit,
  translation?: AnswerTranslation,
): AnswerEdit | undefined {
  const swallowUsage = call.swallowUsage === true && call.stream;
  const { requested_model: requested, model } = decision;
  const renames = rt.settings.responseModel === 'requested' && requested !== model;
  if (!pd && !translation && !swallowUsage && (!renames || requested === undefined)) return undefined;
  const shown = renames && requested !== undefined ? Buffer.from(JSON.stringify(requested)) : undefined;
  return { model: shown, swallowUsage, pd, translation };
}

/** Headers that tell something about the very bytes of a body. */
const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'content-length',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'etag',
]);

/** The headers of an answer whose body is changed on its way; `also` = more that are not true any longer. */
export function editedHeaders(headers: readonly string[], also: readonly string[] = []): string[] {
  return headers.filter((_, index) => {
    const name = (headers[index - (index % 2)] ?? '').toLowerCase();
    return !OF_THE_BYTES.has(name) && !also.includes(name);
  });
}

/** The worker's, as far as they are true of what the client gets. */
export function givenHeaders(
  { headers }: Head,
  editor: ResponseEditor | undefined,
  isDecoded: boolean,
): readonly string[] {
  const decoded = isDecoded ? ['content-encoding'] : [];
  if (!editor) return isDecoded ? editedHeaders(headers, decoded) : headers;
  const { contentType: type } = editor;
  if (type === undefined) return editedHeaders(headers, decoded);
  return [...editedHeaders(headers, [...decoded, 'content-type']), 'content-type', type];
}

/**
 * The editor for this answer, as it was before it was encoded; undefined where there is nothing to change.
 *
 * @param isMeasured It is short, and not encoded.
 */
export function editorFor(edit: AnswerEdit, head: Head, isMeasured = false): ResponseEditor | undefined {
  const editor = ownEditorFor(edit, head, isMeasured);
  return edit.translation ? translatorFor(edit.translation, head, editor) : editor;
}

/** In the words of the worker. */
function ownEditorFor(edit: AnswerEdit, head: Head, isMeasured: boolean): ResponseEditor | undefined {
  const { status, headers } = head;
  if (status < 200 || status > 299 || status === 204 || status === 206) return undefined;
  const edits = [...(edit.model ? [named(edit.model)] : []), ...(edit.pd ? pdEdits(edit.pd) : [])];
  if (isEventStream(headers))
    return edits.length > 0 || edit.swallowUsage ? new EventEditor(edits, edit.swallowUsage) : undefined;
  const type = headerOf(headers, 'content-type')?.toLowerCase() ?? '';
  if (edits.length === 0 || !type.startsWith('application/json')) return undefined;
  const editor = isMeasured ? new WholeEditor(edits) : new JsonEditor(edits);
  return edit.pd?.prefill ? new PrefillMerge(edit.pd.prefill, editor, edit.pd.onUnmerged) : editor;
}

/** Longer ones do not wait until all of them is there. */
const MOST_BYTES_MEASURED = 64 * 1024;

/** Whether a changed answer, which is not encoded, waits for its end, so that its new length can be told. */
export function isShort({ headers }: Head): boolean {
  const length = Number(headerOf(headers, 'content-length') ?? Infinity);
  return length <= MOST_BYTES_MEASURED && !isEventStream(headers);
}

const QUOTE = 0x22;

function named(by: Buffer): MemberEdit {
  return { key: 'model', there: (value) => (value[0] === QUOTE ? by : undefined) };
}
