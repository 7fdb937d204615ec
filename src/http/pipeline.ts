import type { Socket } from 'node:net';
import type { EdgeResponse, Neighbours } from './edge-response.ts';

/** Requests of one connection that are served at once; nothing common sends more before it has an answer. */
const MOST_AT_ONCE = 16;
/**
 * When so many more wait, the connection ends behind them. It is never just left unread: nothing else tells that the
 * client has left, and what it has asked for would keep its places.
 */
const MOST_AHEAD = 2_048;
/** Requests that wait on all connections together: each costs a hundred times its bytes. */
const MOST_WAITING = 4_096;
/** With those that follow the last one that counts: they are parsed all the same, and Node keeps them. */
const MOST_PARSED = 2 * MOST_WAITING;

/** Requests that are not served, or not yet, on whatever connection. */
export interface PipelineRoom {
  taken: number;
  /** Told of each connection that is ended because there is none. */
  readonly onFull: () => void;
}

/**
 * The requests of one connection, which may come faster than they are answered. Their answers leave in order, so when
 * one breaks, those behind it will never be read.
 */
export class Pipeline implements Neighbours {
  readonly #socket: Socket;
  readonly #room: PipelineRoom;
  readonly #serve: (res: EdgeResponse) => void;
  /** Not answered yet, oldest first; the last ones of them wait. */
  readonly #open: EdgeResponse[] = [];
  #waiting: EdgeResponse[] = [];
  #isOver = false;
  #isBreaking = false;
  #ignored = 0;

  constructor(socket: Socket, room: PipelineRoom, serve: (res: EdgeResponse) => void) {
    this.#socket = socket;
    this.#room = room;
    this.#serve = serve;
  }

  /** Whether the last answer on the connection is out or on its way: what still comes is no request. */
  get isOver(): boolean {
    return this.#isOver || !this.#socket.writable;
  }

  get isEmpty(): boolean {
    this.#forgetAnswered();
    return this.#open.length === 0;
  }

  /** The newest answer, if it has not left. */
  get latest(): EdgeResponse | undefined {
    this.#forgetAnswered();
    return this.#open.at(-1);
  }

  /** Serves a request now or when its turn has come; `isOver` has been asked. */
  take(res: EdgeResponse): void {
    this.add(res);
    if (this.#open.length <= MOST_AT_ONCE) this.#serve(res);
    else if (this.#waiting.length < MOST_AHEAD && this.#room.taken < MOST_WAITING) this.#wait(res);
    else this.#endBefore(res);
  }

  /** Notes a request that somebody else answers. */
  add(res: EdgeResponse): void {
    this.#forgetAnswered();
    this.#open.push(res);
    res.neighbours = this;
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

  /** Those before it are whole; those behind it give back at once what they hold. */
  broken(res: EdgeResponse): void {
    if (this.#isBreaking) return;
    this.#isBreaking = true;
    this.#isOver = true;
    const place = this.#open.indexOf(res);
    for (const behind of place < 0 ? [] : this.#open.slice(place + 1)) behind.destroy();
    this.#isBreaking = false;
  }

  mayEndBehind(res: EdgeResponse): boolean {
    if (this.#open.at(-1) !== res) return false;
    this.#isOver = true;
    return true;
  }

  /** A request that does not count. */
  ignore({ req }: EdgeResponse): void {
    if (this.#room.taken >= MOST_PARSED) {
      this.#room.onFull();
      this.#socket.destroy();
      return;
    }
    if (this.#ignored === 0) this.#socket.once('close', this.#forgetIgnored);
    this.#ignored += 1;
    this.#room.taken += 1;
    // A body that is left where it is would hide the end of the connection.
    req.resume();
  }

  #forgetAnswered(): void {
    while (this.#open[0]?.closed === true) this.#open.shift();
  }

  #wait(res: EdgeResponse): void {
    if (this.#waiting.length === 0) for (const before of this.#open) before.once('close', this.#onClosed);
    else res.once('close', this.#onClosed);
    this.#waiting.push(res);
    this.#room.taken += 1;
    res.req.onFull = this.#onBodyFull;
  }

  /** More of a body has come than fits, and it is not its turn: the same as too many requests. */
  readonly #onBodyFull = (): void => {
    // Only that of the last one can still be coming.
    const last = this.#waiting.pop();
    if (last === undefined) return;
    this.#room.taken -= 1;
    last.req.onFull = undefined;
    this.#endBefore(last);
  };

  /** There is no room: this one will not be answered, and the one before it says so. */
  #endBefore(res: EdgeResponse): void {
    this.#open.pop();
    res.neighbours = undefined;
    this.#room.onFull();
    this.closeBehindAnswers();
    this.ignore(res);
  }

  readonly #onClosed = (): void => {
    this.#forgetAnswered();
    if (this.#socket.destroyed) this.#forgetWaiting();
    while (this.#waiting.length > 0 && this.#open.length - this.#waiting.length < MOST_AT_ONCE) {
      const next = this.#waiting.shift();
      this.#room.taken -= 1;
      if (next?.destroyed !== false) continue;
      next.req.onFull = undefined;
      this.#serve(next);
    }
  };

  #forgetWaiting(): void {
    this.#room.taken -= this.#waiting.length;
    this.#waiting = [];
  }

  readonly #forgetIgnored = (): void => {
    this.#room.taken -= this.#ignored;
    this.#ignored = 0;
  };
}
