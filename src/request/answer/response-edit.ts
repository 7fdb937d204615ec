import { ByteCollector } from '../../base/byte-collector.ts';
import { splice, type Replacement } from '../../api/json-edit.ts';
import { bomLength, findMembers } from '../../api/json-scan.ts';
import { headerOf } from '../../http/headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Head } from '../send/attempt.ts';
import { EventLines } from './event-lines.ts';
import type { ResponseEditor } from './response-editor.ts';
import { JsonModelEditor } from './json-model-editor.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** What is to be changed in an answer. */
export interface AnswerEdit {
  /** The model's name as the client knows it, as JSON. */
  readonly model: Buffer | undefined;
  /** Take out the event with the usage, which the client did not ask for. */
  readonly swallowUsage: boolean;
}

/** Undefined for nearly every request. */
export function answerEdit(rt: Runtime, { decision }: Arrival, call: Call): AnswerEdit | undefined {
  const swallowUsage = call.swallowUsage === true && call.stream;
  const { requested_model: requested, model } = decision;
  const renames = rt.settings.responseModel === 'requested' && requested !== model;
  if (!swallowUsage && (!renames || requested === undefined)) return undefined;
  const shown = renames && requested !== undefined ? Buffer.from(JSON.stringify(requested)) : undefined;
  return { model: shown, swallowUsage };
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

/** The headers of an answer whose body is changed on its way; `also` = one more that is not true any longer. */
export function editedHeaders(headers: readonly string[], also?: string): string[] {
  return headers.filter((_, index) => {
    const name = (headers[index - (index % 2)] ?? '').toLowerCase();
    return !OF_THE_BYTES.has(name) && name !== also;
  });
}

/** The editor for this answer, as it was before it was encoded; undefined where there is nothing to change. */
export function editorFor(edit: AnswerEdit, head: Head): ResponseEditor | undefined {
  const { status, headers } = head;
  if (status < 200 || status > 299 || status === 204 || status === 206) return undefined;
  const type = headerOf(headers, 'content-type')?.toLowerCase() ?? '';
  if (type.startsWith('text/event-stream')) return new EventEditor(edit);
  return edit.model && type.startsWith('application/json') ? new JsonModelEditor(edit.model) : undefined;
}

/** A longer event is passed on untouched: no known API sends a name in one of that size. */
const LONGEST_EVENT_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Server-sent events, changed one whole event at a time, however their bytes are cut into chunks. */
export class EventEditor implements ResponseEditor {
  readonly #edit: AnswerEdit;
  /** The event under way, as far as chunks before have brought it. */
  readonly #held = new ByteCollector();
  readonly #lines = new EventLines();
  /** The event before the chunk was taken out. */
  #tookOut = false;
  /** The event under way is too long, and its beginning has been passed on. */
  #tooLong = false;

  constructor(edit: AnswerEdit) {
    this.#edit = edit;
  }

  get atEventBoundary(): boolean {
    return !this.#tooLong;
  }

  push(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    const start = this.#lines.begin(chunk);
    let from = 0;
    if (start > 0 && this.#held.size === 0 && !this.#tooLong) {
      // The second half of the CRLF of an event that has gone on, or was taken out.
      if (!this.#tookOut) out.push(chunk.subarray(0, start));
      from = start;
    }
    for (let at = start; at < chunk.length;) {
      const end = this.#lines.end(chunk, at);
      if (end < 0) break;
      at = this.#lines.next(chunk, end);
      if (!this.#lines.endsEvent) continue;
      const event = this.#finish(chunk.subarray(from, at));
      this.#tookOut = event.length === 0 && at === chunk.length;
      out.push(event);
      from = at;
    }
    const rest = chunk.subarray(from);
    if (!this.#tooLong && this.#held.size + rest.length <= LONGEST_EVENT_BYTES) {
      this.#held.push(rest);
    } else {
      this.#tooLong = true;
      if (this.#held.size > 0) out.push(this.#held.take());
      out.push(rest);
    }
    return joined(out);
  }

  end(): Buffer {
    return editEvent(this.#held.take(), this.#edit);
  }

  #finish(last: Buffer): Buffer {
    if (this.#tooLong) {
      this.#tooLong = false;
      return last;
    }
    if (this.#held.size === 0) return editEvent(last, this.#edit);
    this.#held.push(last);
    return editEvent(this.#held.take(), this.#edit);
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  const [only] = parts;
  if (only === undefined) return NOTHING;
  return parts.length === 1 ? only : Buffer.concat(parts);
}

const DATA = Buffer.from('data:');

function editEvent(event: Buffer, edit: AnswerEdit): Buffer {
  const data = dataOf(event);
  if (!data) return event;
  const json = event.subarray(data.start, data.end);
  if (edit.swallowUsage && isUsageOnly(json)) return NOTHING;
  if (!edit.model || !event.includes('"model"', data.start)) return event;
  const replacements = modelsIn(json, edit.model, data.start);
  return replacements.length === 0 ? event : splice(event, replacements);
}

/** Where the data of an event stands; undefined where it has none, or several lines of it, as no known API sends. */
function dataOf(event: Buffer): { start: number; end: number } | undefined {
  let found: { start: number; end: number } | undefined;
  const lines = new EventLines();
  lines.begin(event);
  // A stream may begin with a byte order mark.
  for (let at: number = bomLength(event); at < event.length;) {
    const last = lines.end(event, at);
    const end = last < 0 ? event.length : last;
    if (event.subarray(at, at + DATA.length).equals(DATA)) {
      if (found) return undefined;
      found = { start: at + DATA.length, end };
    }
    if (last < 0) break;
    at = lines.next(event, last);
  }
  return found;
}

/**
 * The last chunk of a stream with `include_usage`: no choices, and the usage. The others have `"usage":null` then, which
 * stays: every client that knows of usage knows of it.
 */
function isUsageOnly(json: Buffer): boolean {
  if (!json.includes('"usage"')) return false;
  const members = findMembers(json, ['choices', 'usage']) ?? [];
  const text = (key: string): string => {
    const member = members.findLast((one) => one.key === key);
    return member ? json.toString('latin1', member.start, member.end) : '';
  };
  return /^\[\s*\]$/.test(text('choices')) && text('usage').startsWith('{');
}

/** Events that carry the whole answer inside: those of the responses API, and Anthropic's `message_start`. */
const CARRIERS = ['response', 'message'];

/** Every name of the model at the top level of an event, or of the answer inside; `offset` is added to their places. */
function modelsIn(json: Buffer, by: Buffer, offset: number, nested = true): Replacement[] {
  const found: Replacement[] = [];
  for (const { key, start, end } of findMembers(json, nested ? ['model', ...CARRIERS] : ['model']) ?? []) {
    if (key === 'model') {
      if (json[start] === QUOTE) found.push({ start: start + offset, end: end + offset, by });
    } else if (json[start] === OPEN_BRACE) {
      found.push(...modelsIn(json.subarray(start, end), by, start + offset, false));
    }
  }
  return found;
}

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
