import type { ServerResponse } from 'node:http';
import type { ErrorCode } from '../../base/errors.ts';
import { ERRORS } from '../../base/errors.ts';
import { errorEvent } from '../../api/error-body.ts';
import { headerOf } from '../../http/headers.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Attempt, BodyReceiver, Failure, Head } from '../send/attempt.ts';
import { boundedModel } from '../record/finish.ts';
import { editedHeaders, editorFor, type AnswerEdit } from './response-edit.ts';
import type { ResponseEditor } from './response-editor.ts';
import { EventStreamTap, JsonTap, opaqueTap, type ResponseTap, type TapOptions } from './response-tap.ts';
import { responseHeaders } from './response-headers.ts';
import type { Histogram } from '../../observe/registry.ts';
import type { Runtime } from '../runtime.ts';

/** How the relay of a response ended. */
export type RelayEnd =
  | { readonly kind: 'complete' }
  | { readonly kind: 'client_left' }
  | { readonly kind: 'broken'; readonly code: ErrorCode; readonly message: string };

export interface Relayed {
  readonly end: RelayEnd;
  readonly tap: ResponseTap;
}

export interface RelayEvents {
  /** First data event of a stream, or first byte of another body. */
  onFirstToken(now: number): void;
  /** What is to be changed on the way, if anything. */
  readonly edit?: AnswerEdit | undefined;
}

/**
 * Hands a response on: head, then every byte as it comes, with back-pressure to the worker. Resolves when the last byte
 * has left for the client, or when either side is gone; after a break the client always sees that something is missing.
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

class Relay implements BodyReceiver {
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #attempt: Attempt;
  readonly #head: Head;
  readonly #events: RelayEvents;
  readonly #tap: ResponseTap;
  readonly #editor: ResponseEditor | undefined;
  readonly #framed: boolean;
  readonly #isStream: boolean;
  readonly #modelLabel: string;
  readonly #done: Promise<Relayed>;
  #resolve!: (result: Relayed) => void;
  #firstSeen = false;
  #lastEventAt = 0;
  #seenEvents = 0;
  #tokenGaps: Histogram | undefined;
  #awaitsDrain = false;
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
    this.#tap = tapFor(type, headerOf(head.headers, 'content-encoding'), {
      framed: this.#framed,
      countsIds: arrival.endpoint.tokenIds === true,
      hasId: arrival.endpoint.resource === 'create',
    });
    if (events.edit && arrival.method !== 'HEAD') this.#editor = editorFor(events.edit, head);
    this.#done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  run(): Promise<Relayed> {
    const { res, client } = this.#arrival;
    client.onGone(this.#onGone);
    if (client.gone) return this.#done;
    const now = this.#rt.clock.now();
    this.#arrival.times.head = now;
    this.#arrival.decision.status = this.#head.status;
    const given = this.#editor ? editedHeaders(this.#head.headers) : this.#head.headers;
    const headers = responseHeaders(this.#rt, this.#arrival, given, {
      ...{ status: this.#head.status, isStream: this.#isStream, now },
    });
    if (headerOf(headers, 'date') !== undefined) res.sendDate = false;
    res.writeHead(this.#head.status, this.#head.statusText, headers);
    this.#attempt.relayTo(this);
    return this.#done;
  }

  onChunk(chunk: Buffer): boolean {
    if (this.#ended) return true;
    this.#tap.push(chunk);
    this.#watchTokens();
    const bytes = this.#editor ? this.#editor.push(chunk) : chunk;
    this.#arrival.decision.response_bytes += bytes.length;
    if (bytes.length === 0) return !this.#awaitsDrain;
    const { res } = this.#arrival;
    const ready = res.write(bytes);
    if (!ready && !this.#awaitsDrain) {
      this.#awaitsDrain = true;
      res.once('drain', this.#onDrain);
    }
    return ready;
  }

  onComplete(): void {
    if (!this.#framed && !this.#tap.complete()) {
      this.onBroken({
        code: 'worker_closed',
        message: 'the worker closed the connection before its answer was complete',
        sent: true,
      });
      return;
    }
    this.#ended ??= { kind: 'complete' };
    this.#writeRest();
    this.#arrival.res.end(this.#onFlushed);
  }

  onBroken(failure: Failure): void {
    if (this.#ended) return;
    this.#ended = { kind: 'broken', code: failure.code, message: failure.message };
    const { res } = this.#arrival;
    // After the protocol's end the client has everything, and expects nothing more.
    const complete = this.#tap.complete();
    if (complete) this.#writeRest();
    if (this.#canAppend()) res.end(complete ? '' : this.#errorEvent(failure), this.#onFlushed);
    else breakOff(res);
  }

  /** Whether the client could be told something more: it has got whole events, and no length was announced to it. */
  #canAppend(): boolean {
    if (!this.#isStream) return false;
    if (this.#editor) return this.#editor.atEventBoundary;
    return this.#tap.atEventBoundary && headerOf(this.#head.headers, 'content-length') === undefined;
  }

  /** What an editor has held back of the end. */
  #writeRest(): void {
    const rest = this.#editor?.end();
    if (!rest?.length) return;
    this.#arrival.decision.response_bytes += rest.length;
    this.#arrival.res.write(rest);
  }

  #errorEvent({ code, message }: Failure): string {
    return errorEvent(this.#arrival.endpoint.dialect, { code, spec: ERRORS[code], message });
  }

  #watchTokens(): void {
    const events = this.#tap.events;
    if (!this.#firstSeen) {
      if (this.#isStream && events === 0 && this.#tap !== opaqueTap) return;
      this.#firstSeen = true;
      this.#lastEventAt = this.#rt.clock.now();
      this.#events.onFirstToken(this.#lastEventAt);
      this.#seenEvents = events;
    } else if (events > this.#seenEvents) {
      const now = this.#rt.clock.now();
      this.#tokenGaps ??= this.#rt.metrics.interTokenLatencySeconds.with(this.#modelLabel);
      this.#tokenGaps.observe((now - this.#lastEventAt) / 1000 / (events - this.#seenEvents));
      this.#lastEventAt = now;
      this.#seenEvents = events;
    }
  }

  readonly #onDrain = (): void => {
    this.#awaitsDrain = false;
    this.#attempt.resume();
  };

  readonly #onFlushed = (): void => {
    this.#settle();
  };

  /** The client's side is closed before everything was sent, by the client or by `breakOff`. */
  readonly #onGone = (): void => {
    if (!this.#ended) this.#attempt.abort();
    if (this.#ended?.kind !== 'broken') this.#ended = { kind: 'client_left' };
    this.#settle();
  };

  #settle(): void {
    this.#arrival.client.onGone(undefined);
    this.#resolve({ end: this.#ended ?? { kind: 'client_left' }, tap: this.#tap });
  }
}

/** Ends a response so that the client sees that something is missing. */
function breakOff(res: ServerResponse): void {
  // To an HTTP/1.0 client a body of unknown length ends with the connection: a clean end would pass for the whole.
  if (res.chunkedEncoding || res.req.httpVersion !== '1.0') res.destroy();
  else res.socket?.resetAndDestroy();
}

/** Whether HTTP itself tells where the body ends; else only the end of the connection does. */
function isFramed(method: string, head: Head): boolean {
  if (method === 'HEAD' || head.status === 204 || head.status === 304) return true;
  return (
    headerOf(head.headers, 'content-length') !== undefined ||
    headerOf(head.headers, 'transfer-encoding') !== undefined
  );
}

function tapFor(contentType: string, encoding: string | undefined, options: TapOptions): ResponseTap {
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return opaqueTap;
  if (contentType.startsWith('text/event-stream')) return new EventStreamTap(options);
  if (contentType.startsWith('application/json')) return new JsonTap(options);
  return opaqueTap;
}
