import type { ServerResponse } from 'node:http';
import type { Clock } from '../../base/clock.ts';
import { NO_FAULTS, type FaultPlan } from './faults.ts';

const GARBAGE = '\x16\x03\x01 this is not what you asked for {"choices":[';
const JSON_TYPE = 'application/json';
export const EVENT_STREAM = 'text/event-stream; charset=utf-8';

/** Header names and values, flat. */
export type Headers = readonly string[];

/** The answer to one request, faithful unless its fault plan says otherwise. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #plan: FaultPlan;
  readonly #clock: Clock;
  readonly #extraHeaders: Headers;
  /** Set: the bytes go straight to the socket, without HTTP framing. */
  #bare = false;
  #events = 0;
  #cut = false;
  #waiting = '';
  #ending = false;
  #ended = false;
  #pumping = false;

  constructor(response: ServerResponse, plan: FaultPlan, clock: Clock, extraHeaders: Headers) {
    this.#response = response;
    this.#plan = plan;
    this.#clock = clock;
    this.#extraHeaders = extraHeaders;
  }

  /** Whether the answer has no framing, so that only `state` says if it was completed. */
  get bare(): boolean {
    return this.#bare;
  }

  /** Carries out what happens before the head; true when that is all that happens. */
  beforeHead(): boolean {
    const { status, garbage, cut, errorBody } = this.#plan;
    const { socket } = this.#response;
    if (garbage?.at === 'head') {
      socket?.end(GARBAGE);
      this.#cut = true;
    } else if (cut && cut.after === undefined) {
      if (cut.kind === 'close') socket?.end();
      if (cut.kind === 'reset') socket?.resetAndDestroy();
      this.#cut = true;
    } else if (errorBody) {
      this.json(ENGINE_ERROR);
      return true;
    } else if (status) {
      const message = `simulated ${status.code}`;
      const type = status.code >= 500 ? 'InternalServerError' : 'BadRequestError';
      const headers = status.retryAfter === undefined ? [] : ['retry-after', String(status.retryAfter)];
      this.json(
        JSON.stringify({ error: { message, type, param: null, code: status.code } }),
        status.code,
        headers,
      );
      return true;
    }
    return this.#cut;
  }

  /** How it stands: `cut` means that we closed or reset the connection on purpose. */
  get state(): 'open' | 'ended' | 'cut' {
    const { cut } = this.#plan;
    const closing = this.#plan.garbage?.at === 'head' || cut?.kind === 'close' || cut?.kind === 'reset';
    if (this.#cut && closing) return 'cut';
    return this.#ended ? 'ended' : 'open';
  }

  /** Nothing more will be sent: a fault cut the answer, or the client left. */
  get over(): boolean {
    return this.#cut || this.#response.destroyed;
  }

  /** The client reads more slowly than we write: better wait for `onDrain`. */
  get blocked(): boolean {
    return (this.#response.socket ?? this.#response).writableNeedDrain;
  }

  onDrain(callback: () => void): void {
    (this.#response.socket ?? this.#response).once('drain', callback);
  }

  json(body: string, status = 200, headers: Headers = []): void {
    this.send(status, JSON_TYPE, body, headers);
  }

  /** A whole answer. */
  send(status: number, type: string, body: string | Buffer, headers: Headers = []): void {
    const head = ['content-type', type, ...headers, ...this.#extraHeaders];
    if (this.#plan === NO_FAULTS) {
      head.push('content-length', String(Buffer.byteLength(body)));
      this.#ended = true;
      this.#response.writeHead(status, head).end(body);
      return;
    }
    this.#sendFaulty(status, head, this.#plan.garbage ? GARBAGE : String(body));
  }

  /** Opens an event stream; vLLM sends the head before it has computed anything. */
  startEvents(): void {
    const head = ['content-type', EVENT_STREAM, ...this.#extraHeaders];
    this.#writeHead(200, head);
    if (this.#plan.cut?.after === 0) this.#doCut('');
    else this.#delayBody();
  }

  /** One piece of a stream, its `data: ` and blank line included. */
  event(text: string): void {
    if (this.over) return;
    if (this.#plan === NO_FAULTS) {
      this.#chunk(text);
      return;
    }
    this.#events++;
    const { cut, garbage } = this.#plan;
    this.#write(garbage ? `${GARBAGE}\n\n` : text);
    if (cut?.after !== undefined && this.#events >= cut.after) this.#doCut(text);
  }

  /**
   * One chunk, framed here and written in one piece: `response.write` makes three buffers of it, which is most of what a
   * stream costs.
   */
  #chunk(text: string): void {
    const { socket } = this.#response;
    if (socket) socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
    else this.#response.write(text);
  }

  /** The engine failed: an error in the place of the answer, or in the middle of the stream, as vLLM does. */
  fail(): void {
    if (this.over) return;
    if (!this.#response.headersSent && !this.#bare) {
      this.json(ENGINE_FAILED, 500);
      return;
    }
    this.event(`data: ${ENGINE_FAILED}\n\n`);
    this.event('data: [DONE]\n\n');
    this.end();
  }

  end(): void {
    if (this.over) return;
    this.#ending = true;
    this.#pump();
  }

  #sendFaulty(status: number, head: string[], body: string): void {
    const { cut, length } = this.#plan;
    const bytes = Buffer.byteLength(body) + (length?.by ?? 0);
    this.#writeHead(status, [...head, 'content-length', String(Math.max(0, bytes))]);
    this.#delayBody();
    if (cut?.after === undefined || cut.kind === 'error_event') {
      this.#write(body);
      this.end();
      return;
    }
    if (cut.after > 0) this.#write(body.slice(0, Math.ceil(body.length / 2)));
    this.#doCut('');
  }

  #writeHead(status: number, head: string[]): void {
    if (this.#plan.noFraming) {
      this.#bare = true;
      let text = `HTTP/1.1 ${status} OK\r\nconnection: close\r\n`;
      for (let i = 0; i < head.length; i += 2) {
        if (head[i] !== 'content-length') text += `${head[i] ?? ''}: ${head[i + 1] ?? ''}\r\n`;
      }
      this.#response.socket?.write(`${text}\r\n`);
      return;
    }
    this.#response.writeHead(status, head);
    this.#response.flushHeaders();
  }

  #delayBody(): void {
    const { bodyDelay } = this.#plan;
    if (!bodyDelay) return;
    this.#pumping = true;
    this.#clock.after(bodyDelay.ms, () => {
      this.#pumping = false;
      this.#pump();
    });
  }

  #write(text: string): void {
    this.#waiting += text;
    this.#pump();
  }

  /** Sends what waits: at once, or a few characters at a time when the fault says so. */
  #pump(): void {
    if (this.#pumping || this.#response.destroyed) return;
    const { drip } = this.#plan;
    const piece = drip ? this.#waiting.slice(0, drip.bytes) : this.#waiting;
    this.#waiting = this.#waiting.slice(piece.length);
    if (piece !== '') {
      if (this.#bare) this.#response.socket?.write(piece);
      else this.#response.write(piece);
    }
    if (drip && (this.#waiting !== '' || piece !== '')) {
      this.#pumping = true;
      this.#clock.after(drip.ms, () => {
        this.#pumping = false;
        this.#pump();
      });
      return;
    }
    if (this.#ending) this.#finish();
  }

  #finish(): void {
    this.#ended = true;
    // A declared length that is never reached shows only when the connection ends.
    const short = (this.#plan.length?.by ?? 0) > 0;
    if (this.#bare || short) this.#response.socket?.end();
    else this.#response.end();
  }

  #doCut(lastEvent: string): void {
    const { cut } = this.#plan;
    if (!cut || this.#cut) return;
    if (cut.kind === 'error_event') {
      this.#write(`data: ${ENGINE_ERROR}\n\ndata: [DONE]\n\n`);
      this.end();
      this.#cut = true;
      return;
    }
    if (cut.partial) this.#write(lastEvent.slice(0, Math.ceil(lastEvent.length / 2)));
    this.#cut = true;
    const { socket } = this.#response;
    if (cut.kind === 'close') socket?.end();
    // What was written before must have left, or the reset would swallow it.
    if (cut.kind === 'reset') socket?.write('', () => socket.resetAndDestroy());
  }
}

const ENGINE_ERROR = JSON.stringify({
  error: { message: 'simulated engine failure', type: 'InternalServerError', param: null, code: 500 },
});

/** vLLM's words for a request that ended with the reason `error`. */
const ENGINE_FAILED = JSON.stringify({
  error: { message: 'Internal server error', type: 'InternalServerError', param: null, code: 500 },
});
