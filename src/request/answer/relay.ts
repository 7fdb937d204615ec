import type { EdgeResponse } from '../../http/edge-response.ts';
import { ERRORS } from '../../base/errors.ts';
import { errorEvent } from '../../api/error-body.ts';
import { headerOf } from '../../http/headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Attempt, BodyReceiver, Failure, Head } from '../send/attempt.ts';
import { boundedModel } from '../record/finish.ts';
import { codingsFor, howToDecode, type Decodes } from './answer-coding.ts';
import { AnswerDecoder } from './answer-decoder.ts';
import { editorFor, givenHeaders, isShort, type AnswerEdit } from './response-edit.ts';
import type { ResponseEditor } from './response-editor.ts';
import { opaqueTap, type ResponseTap } from './response-tap.ts';
import { isFramed, tapFor } from './tap-for.ts';
import { responseHeaders } from './response-headers.ts';
import type { Histogram } from '../../observe/registry.ts';
import type { Runtime } from '../runtime.ts';

/** How the relay of a response ended; `isUnseen` = before anything of it left for the client. */
export type RelayEnd =
  | { readonly kind: 'complete' }
  | { readonly kind: 'client_left' }
  | { readonly kind: 'broken'; readonly failure: Failure; readonly isUnseen: boolean };

export interface Relayed {
  readonly end: RelayEnd;
  readonly tap: ResponseTap;
}

export interface RelayEvents {
  /** The client is about to get the head: from here on there is no other answer. */
  onHead(): void;
  /** First data event of a stream, or first byte of another body. */
  onFirstToken(now: number): void;
  /** What is to be changed on the way, if anything. */
  readonly edit?: AnswerEdit | undefined;
}

/**
 * Hands a response on: head, then every byte as it comes, with back-pressure to the worker. Resolves when the last byte
 * has left for the client, or when either side is gone. After a break the client always sees that something is missing,
 * unless nothing was there to send before it: then it has not been answered yet.
 */
export function relay(
  rt: Runtime,
  arrival: Arrival,
  attempt: Attempt,
  head: Head,
  events: RelayEvents,
): Promise<Relayed> {
  const receiver = new Relay(rt, arrival, attempt, head, events);
  return receiver.run();
}

/** What is decoded for the usage alone: far more than an answer has. */
const MOST_BYTES_BESIDE = 64 * 1024 * 1024;

class Relay implements BodyReceiver {
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #attempt: Attempt;
  readonly #head: Head;
  readonly #events: RelayEvents;
  #tap: ResponseTap;
  readonly #editor: ResponseEditor | undefined;
  /** Whether the length of the changed answer is told: then all of it goes on at its end. */
  readonly #isMeasured: boolean;
  /** It was to be changed into what the client understands, and cannot be. */
  readonly #isUnreadable: boolean;
  /** Where the answer is encoded: for the client too, or only for the tap, while the client gets the bytes as they are. */
  readonly #decoder: AnswerDecoder | undefined;
  readonly #decodes: Decodes;
  #decodedBytes = 0;
  readonly #framed: boolean;
  readonly #isStream: boolean;
  readonly #modelLabel: string;
  /** More was written than the client takes at once. */
  #awaitsDrain = false;
  readonly #done: Promise<Relayed>;
  #resolve!: (result: Relayed) => void;
  #headSent = false;
  #firstSeen = false;
  #lastEventAt = 0;
  #seenEvents = 0;
  #tokenGaps: Histogram | undefined;
  #awaitsDecoder = false;
  /** For the client, until the decoder has taken it. */
  #heldBack: Buffer | undefined;
  #ended: RelayEnd | undefined;

  constructor(rt: Runtime, arrival: Arrival, attempt: Attempt, head: Head, events: RelayEvents) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#attempt = attempt;
    this.#head = head;
    this.#events = events;
    this.#framed = isFramed(arrival.method, head);
    this.#modelLabel = boundedModel(rt, arrival.decision.model);
    const type = headerOf(head.headers, 'content-type')?.toLowerCase() ?? '';
    this.#isStream = type.startsWith('text/event-stream');
    const codings = codingsFor(arrival, head);
    const isMeasured = codings?.length === 0 && isShort(head);
    if (events.edit && codings && arrival.method !== 'HEAD')
      this.#editor = editorFor(events.edit, head, isMeasured);
    this.#isUnreadable = codings === undefined && events.edit?.translation !== undefined;
    this.#isMeasured = this.#editor !== undefined && (isMeasured || this.#editor.isWhole === true);
    this.#tap = codings ? tapFor(type, arrival, this.#framed) : opaqueTap;
    this.#decodes = howToDecode(arrival, codings ?? [], this.#editor !== undefined);
    arrival.copy?.begin(head, codings !== undefined && this.#decodes !== 'beside');
    if (codings && this.#decodes !== 'no')
      this.#decoder = new AnswerDecoder(codings, {
        onChunk: this.#onDecoded,
        onDrain: this.#onDecoderDrain,
        onFailed: this.#onUndecodable,
      });
    this.#done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  run(): Promise<Relayed> {
    const { client } = this.#arrival;
    client.onGone(this.#onGone);
    this.#arrival.res.onDrain = this.#onDrain;
    if (this.#isUnreadable) {
      this.#attempt.abort();
      this.#isNone('the worker encodes an answer that was to be translated in a way that is not known');
    } else if (!client.gone) this.#attempt.relayTo(this);
    return this.#done;
  }

  /** With the first bytes that there are for the client: what is decoded or edited may turn out to be nothing. */
  #sendHead(length?: number): void {
    if (this.#headSent) return;
    this.#headSent = true;
    this.#events.onHead();
    const { res } = this.#arrival;
    const now = this.#rt.clock.now();
    this.#arrival.times.head = now;
    this.#arrival.decision.status = this.#head.status;
    const kept = givenHeaders(this.#head, this.#editor, this.#decodes === 'for client');
    const given = length === undefined ? kept : [...kept, 'content-length', String(length)];
    const headers = responseHeaders(this.#rt, this.#arrival, given, {
      ...{ status: this.#head.status, isStream: this.#isStream, now },
    });
    res.writeHead(this.#head.status, this.#head.statusText, headers);
  }

  onChunk(chunk: Buffer, now: number): boolean {
    if (this.#ended) return true;
    if (!this.#decoder) return this.#deliver(chunk, now);
    if (!this.#decoder.write(chunk)) {
      this.#awaitsDecoder = true;
      // A client that has got everything leaves, and must not find the router still at work on it.
      if (this.#decodes === 'beside') this.#heldBack = chunk;
      return false;
    }
    return this.#decodes === 'for client' || this.#write(chunk);
  }

  /** Hands plain bytes on, read and changed. */
  #deliver(chunk: Buffer, now: number): boolean {
    this.#tap.push(chunk);
    this.#arrival.copy?.came(chunk);
    this.#watchTokens(now);
    if (!this.#editor) return this.#write(chunk);
    const goesOn = this.#write(this.#editor.push(chunk));
    if (this.#editor.problem !== undefined) {
      this.#attempt.abort();
      this.#isNone(this.#editor.problem);
    }
    return goesOn;
  }

  /** What the worker sends is not what it should be. */
  #isNone(message: string): void {
    this.#break({ code: 'worker_bad_response', message, sent: true });
  }

  #write(bytes: Buffer): boolean {
    this.#arrival.decision.response_bytes += bytes.length;
    if (bytes.length > 0) {
      this.#arrival.copy?.sent(bytes);
      this.#sendHead();
      this.#awaitsDrain = !this.#arrival.res.write(bytes);
    }
    return !this.#awaitsDrain;
  }

  readonly #onDecoded = (chunk: Buffer): boolean => {
    if (this.#decodes === 'for client')
      return this.#ended !== undefined || this.#deliver(chunk, this.#rt.clock.now());
    this.#decodedBytes += chunk.length;
    if (this.#decodedBytes > MOST_BYTES_BESIDE) {
      // Nothing but work would come of it.
      this.#tap = opaqueTap;
      this.#decoder?.destroy();
      this.#onDecoderDrain();
      return true;
    }
    this.#tap.push(chunk);
    this.#watchTokens(this.#rt.clock.now());
    return true;
  };

  onComplete(): void {
    if (this.#decodes === 'no') this.#complete(this.#framed || this.#tap.complete());
    else if (this.#decodes === 'beside') this.#complete(true);
    else
      this.#decoder?.end((whole) => {
        if (whole) this.#complete(true);
        else this.#onUndecodable();
      });
  }

  readonly #onUndecodable = (): void => {
    // The client that gets the bytes as they are may know more.
    if (this.#decodes === 'beside') return;
    this.#isNone('what the worker sent is not encoded as it says');
  };

  #complete(whole: boolean): void {
    if (!whole) {
      const message = 'the worker closed the connection before its answer was complete';
      this.#break({ code: 'worker_closed', message, sent: true });
      return;
    }
    this.#writeHeldBack();
    const rest = this.#ended ? undefined : this.#takeRest();
    if (this.#editor?.problem !== undefined) {
      this.#isNone(this.#editor.problem);
      return;
    }
    this.#ended ??= { kind: 'complete' };
    this.#sendHead(this.#isMeasured ? (rest?.length ?? 0) : undefined);
    if (rest) this.#arrival.copy?.sent(rest);
    this.#arrival.copy?.complete(this.#tap);
    this.#arrival.res.end(rest, this.#onFlushed);
  }

  onBroken(failure: Failure): void {
    if (!this.#decoder) this.#break(failure);
    else
      this.#decoder.settle(() => {
        this.#break(failure);
      });
  }

  #break(failure: Failure): void {
    if (this.#ended) return;
    this.#writeHeldBack();
    this.#ended = { kind: 'broken', failure, isUnseen: !this.#headSent };
    if (!this.#headSent) {
      this.#settle();
      return;
    }
    const { res } = this.#arrival;
    // After the protocol's end the client has everything, and expects nothing more.
    const complete = this.#tap.complete() && this.#editor?.problem === undefined;
    const rest = complete ? this.#takeRest() : undefined;
    if (this.#canAppend()) res.end(complete ? rest : this.#errorEvent(failure), this.#onFlushed);
    else {
      if (rest) res.write(rest);
      breakOff(res);
    }
  }

  /** Whether the client could be told something more: it has got whole events, and no length was announced to it. */
  #canAppend(): boolean {
    if (!this.#isStream || this.#decodes === 'beside' || this.#decoder?.isIdle === false) return false;
    if (this.#editor) return this.#editor.atEventBoundary;
    const isPlain = this.#decodes === 'no';
    const tellsLength = isPlain && headerOf(this.#head.headers, 'content-length') !== undefined;
    return this.#tap.atEventBoundary && !tellsLength;
  }

  #writeHeldBack(): void {
    const bytes = this.#heldBack;
    this.#heldBack = undefined;
    if (bytes && !this.#ended) this.#write(bytes);
  }

  /** What has been held back of the end, or of all of it. */
  #takeRest(): Buffer | undefined {
    const rest = this.#editor?.end();
    this.#arrival.decision.response_bytes += rest?.length ?? 0;
    return rest;
  }

  #errorEvent({ code, message }: Failure): string {
    return errorEvent(this.#arrival.endpoint.dialect, { code, spec: ERRORS[code], message });
  }

  #watchTokens(now: number): void {
    const events = this.#tap.events;
    if (!this.#firstSeen) {
      if (this.#isStream && events === 0 && this.#tap !== opaqueTap) return;
      this.#firstSeen = true;
      this.#lastEventAt = now;
      this.#events.onFirstToken(now);
      this.#seenEvents = events;
    } else if (events > this.#seenEvents) {
      this.#tokenGaps ??= this.#rt.metrics.interTokenLatencySeconds.with(this.#modelLabel);
      this.#tokenGaps.observe((now - this.#lastEventAt) / 1000 / (events - this.#seenEvents));
      this.#lastEventAt = now;
      this.#seenEvents = events;
    }
  }

  readonly #onDrain = (): void => {
    this.#awaitsDrain = false;
    if (this.#decodes === 'for client') this.#decoder?.resume();
    else if (!this.#awaitsDecoder) this.#attempt.resume();
  };

  readonly #onDecoderDrain = (): void => {
    this.#awaitsDecoder = false;
    this.#writeHeldBack();
    if (this.#decodes === 'for client' || !this.#awaitsDrain) this.#attempt.resume();
  };

  readonly #onFlushed = (): void => {
    if (this.#decodes !== 'beside') {
      this.#settle();
      return;
    }
    // The client has everything; the tap is yet to see the end of it.
    this.#arrival.client.onGone(undefined);
    this.#decoder?.end((whole) => {
      // What cannot be read is none of the client's trouble, who may know more.
      if (!whole) this.#tap = opaqueTap;
      this.#settle();
    });
  };

  /** The client's side is closed before everything was sent, by the client or by `breakOff`. */
  readonly #onGone = (): void => {
    if (!this.#ended) this.#attempt.abort();
    if (this.#ended?.kind !== 'broken') this.#ended = { kind: 'client_left' };
    this.#settle();
  };

  #settle(): void {
    this.#arrival.client.onGone(undefined);
    this.#decoder?.destroy();
    this.#resolve({ end: this.#ended ?? { kind: 'client_left' }, tap: this.#tap });
  }
}

/** Ends a response so that the client sees that something is missing. */
function breakOff(res: EdgeResponse): void {
  // To an HTTP/1.0 client a body of unknown length ends with the connection: a clean end would pass for the whole.
  if (res.req.httpVersion === '1.0') res.reset();
  else res.destroy();
}
