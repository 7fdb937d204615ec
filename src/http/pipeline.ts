import type { Socket } from 'node:net';
import { MOST_WAITING_BYTES } from './edge-request.ts';
import type { AfterAnswer, EdgeResponse, Neighbours } from './edge-response.ts';
import { linger } from './linger.ts';

/** Requests of one connection that are served at once; nothing common sends more before it has an answer. */
const MOST_AT_ONCE = 16;
/**
 * When so many more wait, the connection ends behind them. It is never just left unread: nothing else tells that the
 * client has left, and what it has asked for would keep its places.
 */
const MOST_AHEAD = 2_048;
/** Requests that wait on all connections together: each costs a hundred times its bytes. One with a longer body counts as several. */
const MOST_WAITING = 4_096;
const BODY_BYTES_OF_ONE = 4 * 1024;

/** Requests that are not served yet, on whatever connection. */
export interface PipelineRoom {
  /** How many, and as many more as their bodies count for. */
  taken: number;
  /** Told of each connection that is ended because there is none. */
  readonly onFull: () => void;
}

export interface PipelineEvents {
  readonly serve: (res: EdgeResponse) => void;
  /** Everything that was asked is answered, and the connection is kept. */
  readonly onIdle: () => void;
}

/**
 * The requests of one connection, which may come faster than they are answered. Their answers leave in order, so when
 * one breaks, those behind it will never be read.
 */
export class Pipeline implements Neighbours {
  readonly #socket: Socket;
  readonly #room: PipelineRoom;
  readonly #events: PipelineEvents;
  /** Not answered yet, oldest first, whose turn it is; the last ones wait. */
  readonly #open: EdgeResponse[] = [];
  /** How many of them wait to be served. */
  #waiting = 0;
  #servesSoon = false;
  #isOver = false;

  constructor(socket: Socket, room: PipelineRoom, events: PipelineEvents) {
    this.#socket = socket;
    this.#room = room;
    this.#events = events;
  }

  /** Whether the last answer on the connection is out or on its way: what still comes is no request. */
  get isOver(): boolean {
    return this.#isOver || !this.#socket.writable;
  }

  get isEmpty(): boolean {
    return this.#open.length === 0;
  }

  /** The answer whose turn it is. */
  get first(): EdgeResponse | undefined {
    return this.#open[0];
  }

  /** The newest answer, if it has not left. */
  get latest(): EdgeResponse | undefined {
    return this.#open.at(-1);
  }

  /** Serves a request now or when its turn has come; `isOver` has been asked. */
  take(res: EdgeResponse): void {
    if (this.#open.length - this.#waiting < MOST_AT_ONCE && this.#waiting === 0) {
      this.add(res);
      this.#events.serve(res);
    } else if (this.#waiting < MOST_AHEAD && this.#room.taken < MOST_WAITING) {
      this.add(res);
      this.#waiting += 1;
      this.#room.taken += weightOf(res);
      res.req.onFull = this.#onBodyFull;
    } else {
      this.#refuse(res);
    }
  }

  /** Notes a request that somebody else answers, where none waits. */
  add(res: EdgeResponse): void {
    this.#open.push(res);
    if (this.#open.length === 1) res.takeTurn(this.#socket);
  }

  /** Nothing that comes from now on is a request. */
  close(): void {
    this.#isOver = true;
  }

  /** The same; the answers that are due are given, and then the connection ends. */
  closeBehindAnswers(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.latest?.endConnection();
  }

  /** The connection is gone. */
  abandon(): void {
    this.#isOver = true;
    this.#abandonFrom(0);
  }

  /** The client has left: what has been handed over whole still goes to it, and then the connection ends. */
  end(): void {
    this.#isOver = true;
    const unended = this.#open.findIndex((res) => !res.ended);
    if (unended >= 0) this.#abandonFrom(unended);
    if (this.latest) this.latest.endConnection();
    // It may never read what it has been given of the rest.
    else if (unended >= 0) linger(this.#socket);
    else this.#socket.end();
  }

  mayEndBehind(res: EdgeResponse): boolean {
    if (this.latest !== res) return false;
    this.#isOver = true;
    return true;
  }

  finished(res: EdgeResponse, socket: Socket, then: AfterAnswer): void {
    if (this.#open[0] === res) this.#open.shift();
    if (then !== 'keep') {
      this.#isOver = true;
      if (then === 'end') socket.destroySoon();
      else linger(socket);
      return;
    }
    this.#open[0]?.takeTurn(socket);
    this.#serveSoon();
    if (this.#open.length === 0) this.#events.onIdle();
  }

  /** Those behind it give back at once what they hold. */
  isLast(res: EdgeResponse): void {
    this.#isOver = true;
    const place = this.#open.indexOf(res);
    if (place >= 0) this.#abandonFrom(place + 1);
  }

  #abandonFrom(place: number): void {
    const served = this.#open.length - this.#waiting;
    const waiting = Math.min(this.#waiting, this.#open.length - Math.max(place, served));
    this.#waiting -= waiting;
    const abandoned = this.#open.splice(place);
    for (const res of abandoned.slice(abandoned.length - waiting)) this.#room.taken -= weightOf(res);
    for (const res of abandoned) {
      res.req.break();
      res.abandon();
    }
  }

  /** Where answers cost no waiting, all that wait here would be served before any other connection is read. */
  #serveSoon(): void {
    if (this.#waiting === 0 || this.#servesSoon) return;
    this.#servesSoon = true;
    setImmediate(this.#serveWaiting);
  }

  readonly #serveWaiting = (): void => {
    this.#servesSoon = false;
    while (this.#waiting > 0 && this.#open.length - this.#waiting < MOST_AT_ONCE) {
      const next = this.#open[this.#open.length - this.#waiting];
      this.#waiting -= 1;
      if (!next) continue;
      this.#room.taken -= weightOf(next);
      next.req.onFull = undefined;
      this.#events.serve(next);
    }
  };

  /** More of a body has come than fits, and it is not its turn: the same as too many requests. */
  readonly #onBodyFull = (): void => {
    // Only that of the last one can still be coming.
    const last = this.#open.pop();
    if (!last) return;
    this.#waiting -= 1;
    this.#room.taken -= weightOf(last);
    this.#refuse(last);
  };

  /** There is no room: this one will not be answered, and the one before it says so. */
  #refuse(res: EdgeResponse): void {
    res.req.onFull = undefined;
    this.#room.onFull();
    this.closeBehindAnswers();
    res.req.drop();
  }
}

/** A body that waits is as long as it says, or as may wait of one. */
function weightOf({ req: { length = MOST_WAITING_BYTES } }: EdgeResponse): number {
  return 1 + Math.floor(Math.min(length, MOST_WAITING_BYTES) / BODY_BYTES_OF_ONE);
}
