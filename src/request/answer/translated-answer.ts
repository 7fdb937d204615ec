import { errorJson } from '../../api/anthropic/errors.ts';
import type { MessageFacts } from '../../api/anthropic/ending.ts';
import { countJson, messageJson } from '../../api/anthropic/response.ts';
import { MessageStream } from '../../api/anthropic/stream.ts';
import { ByteCollector } from '../../base/byte-collector.ts';
import { bomLength } from '../../api/json-scan.ts';
import { isEventStream } from '../../http/headers.ts';
import type { Head } from '../send/attempt.ts';
import { EventLines } from './event-lines.ts';
import type { ResponseEditor } from './response-editor.ts';

/** What an answer in OpenAI's words has to become. */
export interface AnswerTranslation extends MessageFacts {
  readonly as: 'message' | 'count';
}

/** A longer answer is none. */
const LONGEST_ANSWER_BYTES = 32 * 1024 * 1024;
/** Of an error only the beginning of its text is told. */
const LONGEST_ERROR_BYTES = 64 * 1024;
const LONGEST_EVENT_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const NO_COUNT =
  'the worker counts tokens neither by /v1/messages/count_tokens nor by /tokenize, which says: ';

/** @param inner What else is changed in the answer, before. */
export function translatorFor(
  translation: AnswerTranslation,
  { status, headers }: Head,
  inner: ResponseEditor | undefined,
): ResponseEditor | undefined {
  if (status >= 400) return new WholeTranslator((body) => errorOf(translation, status, body), 'cut');
  if (status < 200 || status > 299 || status === 204) return undefined;
  if (isEventStream(headers)) return new StreamTranslator(new MessageStream(translation), inner);
  const { as } = translation;
  return new WholeTranslator(
    (body) => (as === 'count' ? countJson(body) : messageJson(body, translation)),
    inner,
  );
}

function errorOf({ as }: AnswerTranslation, status: number, body: string): string {
  const isMissing = status === 404 || status === 405 || status === 501;
  if (as === 'message' || !isMissing) return errorJson(status, body);
  return errorJson(status, body, NO_COUNT);
}

/** An answer in one piece: nothing of it goes on before all of it is there. */
class WholeTranslator implements ResponseEditor {
  readonly atEventBoundary = false;
  readonly isWhole = true;
  readonly contentType = 'application/json';
  problem: string | undefined;
  readonly #translate: (body: string) => string | undefined;
  readonly #inner: ResponseEditor | undefined;
  readonly #isCut: boolean;
  readonly #held = new ByteCollector();

  /** @param inner `cut`: nothing, and of a long body only the beginning is read. */
  constructor(translate: (body: string) => string | undefined, inner: ResponseEditor | 'cut' | undefined) {
    this.#translate = translate;
    this.#isCut = inner === 'cut';
    this.#inner = inner === 'cut' ? undefined : inner;
  }

  push(chunk: Buffer): Buffer {
    if (this.problem !== undefined) return NOTHING;
    if (this.#isCut && this.#held.size > LONGEST_ERROR_BYTES) return NOTHING;
    this.#held.push(this.#inner ? this.#inner.push(chunk) : chunk);
    if (!this.#isCut && this.#held.size > LONGEST_ANSWER_BYTES) {
      this.#held.take();
      this.problem = `the answer is longer than ${LONGEST_ANSWER_BYTES} bytes, and was to be translated`;
    }
    return NOTHING;
  }

  end(): Buffer {
    if (this.problem !== undefined) return NOTHING;
    if (this.#inner) this.#held.push(this.#inner.end());
    const said = this.#translate(this.#held.take().toString('utf8'));
    if (said !== undefined) return Buffer.from(said);
    this.problem = 'what should be an answer to a chat is none';
    return NOTHING;
  }
}

/** Events, each translated once it is whole, however their bytes are cut into chunks. */
class StreamTranslator implements ResponseEditor {
  readonly atEventBoundary = true;
  readonly #stream: MessageStream;
  readonly #inner: ResponseEditor | undefined;
  readonly #lines = new EventLines();
  /** The line under way, as far as chunks before have brought it. */
  readonly #line = new ByteCollector();
  /** The data of the event under way; undefined where there was none yet. */
  #data: string | undefined;
  #isFirstLine = true;
  #tooLong = false;

  constructor(stream: MessageStream, inner: ResponseEditor | undefined) {
    this.#stream = stream;
    this.#inner = inner;
  }

  get problem(): string | undefined {
    if (this.#tooLong)
      return `an event is longer than ${LONGEST_EVENT_BYTES} bytes, and was to be translated`;
    return this.#stream.problem;
  }

  push(chunk: Buffer): Buffer {
    return asBytes(this.#read(this.#inner ? this.#inner.push(chunk) : chunk));
  }

  end(): Buffer {
    let said = this.#inner ? this.#read(this.#inner.end()) : '';
    // Some servers leave out the empty line behind the last event.
    if (this.#line.size > 0) this.#lineEnded(this.#line.take());
    said += this.#eventEnded();
    return asBytes(said + this.#stream.end());
  }

  #read(chunk: Buffer): string {
    let said = '';
    for (let at = this.#lines.begin(chunk); at < chunk.length && this.problem === undefined;) {
      const end = this.#lines.end(chunk, at);
      this.#line.push(chunk.subarray(at, end < 0 ? chunk.length : end));
      if (this.#line.size + (this.#data?.length ?? 0) > LONGEST_EVENT_BYTES) this.#tooLong = true;
      if (end < 0) break;
      at = this.#lines.next(chunk, end);
      if (this.#lines.endsEvent) said += this.#eventEnded();
      else this.#lineEnded(this.#line.take());
    }
    return said;
  }

  #lineEnded(line: Buffer): void {
    // A stream may begin with a byte order mark.
    const text = line.toString('utf8', this.#isFirstLine ? bomLength(line) : 0);
    this.#isFirstLine = false;
    if (!text.startsWith('data:')) return;
    const data = text.slice(text[5] === ' ' ? 6 : 5);
    this.#data = this.#data === undefined ? data : `${this.#data}\n${data}`;
  }

  #eventEnded(): string {
    const data = this.#data;
    this.#data = undefined;
    return data === undefined ? '' : this.#stream.event(data);
  }
}

function asBytes(text: string): Buffer {
  return text === '' ? NOTHING : Buffer.from(text);
}
