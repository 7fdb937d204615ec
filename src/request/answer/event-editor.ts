import { ByteCollector } from '../../base/byte-collector.ts';
import { bomLength, findMembers } from '../../api/json-scan.ts';
import { editMembers, type MemberEdit } from '../../api/member-edit.ts';
import { EventLines } from './event-lines.ts';
import type { ResponseEditor } from './response-editor.ts';

/** A longer event is passed on untouched: no known API sends a name in one of that size. */
const LONGEST_EVENT_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** Server-sent events, changed one whole event at a time, however their bytes are cut into chunks. */
export class EventEditor implements ResponseEditor {
  readonly #edits: readonly MemberEdit[];
  /** The keys of them: an event in which there is none need not be read. */
  readonly #words: readonly string[];
  /** Take out the event with the usage, which the client did not ask for. */
  readonly #swallowUsage: boolean;
  /** The event under way, as far as chunks before have brought it. */
  readonly #held = new ByteCollector();
  readonly #lines = new EventLines();
  /** The event before the chunk was taken out. */
  #tookOut = false;
  /** The event under way is too long, and its beginning has been passed on. */
  #tooLong = false;

  constructor(edits: readonly MemberEdit[], swallowUsage: boolean) {
    this.#words = edits.map(({ key }) => JSON.stringify(key));
    this.#edits = [...edits, ...within(edits)];
    this.#swallowUsage = swallowUsage;
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
    return this.#changed(this.#held.take());
  }

  #finish(last: Buffer): Buffer {
    if (this.#tooLong) {
      this.#tooLong = false;
      return last;
    }
    if (this.#held.size === 0) return this.#changed(last);
    this.#held.push(last);
    return this.#changed(this.#held.take());
  }

  #changed(event: Buffer): Buffer {
    const data = dataOf(event);
    if (!data) return event;
    const json = event.subarray(data.start, data.end);
    if (this.#swallowUsage && isUsageOnly(json)) return NOTHING;
    if (!this.#words.some((word) => json.includes(word))) return event;
    const edited = editMembers(json, this.#edits);
    if (!edited || edited === json) return event;
    return Buffer.concat([event.subarray(0, data.start), edited, event.subarray(data.end)]);
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  const [only] = parts;
  if (only === undefined) return NOTHING;
  return parts.length === 1 ? only : Buffer.concat(parts);
}

const DATA = Buffer.from('data:');

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
const OPEN_BRACE = 0x7b;

/** The same edits in the answer that an event carries. */
function within(edits: readonly MemberEdit[]): MemberEdit[] {
  return CARRIERS.map((key) => ({
    key,
    there: (value) => (value[0] === OPEN_BRACE ? editMembers(value, edits) : undefined),
  }));
}
