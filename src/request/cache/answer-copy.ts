import type { ByteBudget } from '../../base/byte-budget.ts';
import { ByteCollector } from '../../base/byte-collector.ts';
import { findMembers } from '../../api/json-scan.ts';
import { isObject } from '../../api/prompt-sink.ts';
import type { Clock } from '../../base/clock.ts';
import { headerOf, isEventStream, joinedHeader } from '../../http/headers.ts';
import type { AnswerShape } from '../../response-cache/replay/answer-shape.ts';
import type { StoredAnswer } from '../../response-cache/stored-answer.ts';
import type { Head } from '../send/attempt.ts';
import type { ResponseTap } from '../answer/response-tap.ts';
import { EventsCopy } from './events-copy.ts';

/** Why an answer is not kept. */
export type NotKept =
  'status' | 'no_store' | 'not_json' | 'encoded' | 'too_large' | 'no_room' | 'not_replayable' | 'broken';

export interface CopyDeps {
  readonly clock: Clock;
  readonly maxBytes: number;
  /** Of all copies under way together. */
  readonly budget: ByteBudget;
  /** How its streams are put together; undefined where they are not. */
  readonly shape: AnswerShape | undefined;
  /** Called once, when the answer has come whole. */
  onWhole(answer: StoredAnswer): void;
  onNotKept(why: NotKept): void;
}

/**
 * Copies an answer on its way to the client, to be kept when all of it has come: one in one piece as the client gets it, a
 * stream as its worker sends it, with the usage that the client may not have asked for.
 */
export class AnswerCopy {
  readonly #deps: CopyDeps;
  #whole: ByteCollector | undefined;
  #events: EventsCopy | undefined;
  #contentType = 'application/json';
  #over = false;
  #told = false;
  #taken = 0;

  constructor(deps: CopyDeps) {
    this.#deps = deps;
  }

  /** @param isReadable What passes by is not encoded. */
  begin({ status, headers }: Head, isReadable: boolean): void {
    this.#letGo();
    if (this.#over) return;
    const { maxBytes, shape } = this.#deps;
    const type = headerOf(headers, 'content-type') ?? '';
    if (status !== 200) this.#giveUp('status');
    else if (/\bno-store\b/i.test(joinedHeader(headers, 'cache-control') ?? '')) this.#giveUp('no_store');
    else if (!isReadable) this.#giveUp('encoded');
    else if (isEventStream(headers) && shape) this.#events = new EventsCopy(shape.assembler(), maxBytes);
    else if (/^application\/json\b/i.test(type)) {
      this.#contentType = type;
      this.#whole = new ByteCollector();
    } else this.#giveUp('not_json');
  }

  /** As the worker sent it. */
  came(chunk: Buffer): void {
    if (!this.#events || !this.#takes(chunk.length)) return;
    const problem = this.#events.push(chunk);
    if (problem) this.#giveUp(problem);
  }

  /** As the client gets it. */
  sent(chunk: Buffer): void {
    if (!this.#whole || !this.#takes(chunk.length)) return;
    if (this.#whole.size + chunk.length > this.#deps.maxBytes) this.#giveUp('too_large');
    else this.#whole.push(chunk);
  }

  /** The client has been given everything. */
  complete(tap: ResponseTap): void {
    if (this.#over) return;
    const body = this.#events ? this.#ofEvents(this.#events, tap) : this.#whole?.take();
    if (!body || !isAnswer(body)) {
      this.#giveUp('not_replayable');
      return;
    }
    this.#over = true;
    this.#letGo();
    const usage = tap.usage();
    this.#deps.onWhole({
      createdAt: this.#deps.clock.wall(),
      contentType: this.#contentType,
      body,
      promptTokens: usage?.promptTokens,
      completionTokens: usage?.completionTokens,
    });
  }

  /** Nothing more of it will come. */
  end(): void {
    this.#giveUp('broken');
  }

  #ofEvents(events: EventsCopy, tap: ResponseTap): Buffer | undefined {
    return tap.failed || !tap.complete() ? undefined : events.take();
  }

  #takes(bytes: number): boolean {
    if (this.#deps.budget.take(bytes)) {
      this.#taken += bytes;
      return true;
    }
    this.#giveUp('no_room');
    return false;
  }

  #letGo(): void {
    this.#whole = undefined;
    this.#events = undefined;
    this.#deps.budget.give(this.#taken);
    this.#taken = 0;
  }

  #giveUp(why: NotKept): void {
    this.#letGo();
    if (this.#over || this.#told) return;
    // A worker that is asked next may do better.
    if (why !== 'status') this.#over = true;
    this.#told = true;
    this.#deps.onNotKept(why);
  }
}

/** Longer ones are looked at from outside only. */
const LONGEST_PARSED_BYTES = 256 * 1024;

/** An object that tells of no failure: a worker may say 200 before it knows of one. */
function isAnswer(body: Buffer): boolean {
  const members = findMembers(body, ['error', 'object']);
  const text = (key: string): string => {
    const member = members?.findLast((one) => one.key === key);
    return member ? body.toString('latin1', member.start, member.end) : 'null';
  };
  if (!members || text('error') !== 'null' || text('object') === '"error"') return false;
  return body.length > LONGEST_PARSED_BYTES || isWhole(body);
}

/** Ends of an answer that has been broken off. */
const BROKEN_OFF: readonly unknown[] = ['abort', 'error'];

function isWhole(body: Buffer): boolean {
  try {
    const answer: unknown = JSON.parse(body.toString());
    const choices: unknown = isObject(answer) ? answer['choices'] : undefined;
    return !(
      Array.isArray(choices) &&
      choices.some((choice) => isObject(choice) && BROKEN_OFF.includes(choice['finish_reason']))
    );
  } catch {
    return false;
  }
}
