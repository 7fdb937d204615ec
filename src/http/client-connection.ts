import type { Socket } from 'node:net';
import type { RequestHead } from '../http1/request-head.ts';
import { BadRequest, RequestParser, type RequestEvents } from '../http1/request-parser.ts';
import { EdgeRequest, type BodyInlet } from './edge-request.ts';
import { EdgeResponse } from './edge-response.ts';
import { Pipeline, type PipelineEvents, type PipelineRoom } from './pipeline.ts';
import { refuseOn, refuseRequest, type RefusalCode } from './refusal.ts';
import { Tunnel } from './tunnel.ts';

/** What all connections of a listener have in common. */
export interface ConnectionHost {
  readonly maxHeaderSize: number;
  /** Longest time from the first byte of a head, or from the beginning of the connection, to its last one. */
  readonly headerTimeoutMs: number;
  /** How long a connection may wait for another request. */
  readonly keepAliveMs: number;
  readonly room: PipelineRoom;
  readonly serve: (res: EdgeResponse, tunnel?: Tunnel) => void;
  /** Told why bytes never became a request. */
  readonly onRefused: (code: RefusalCode) => void;
  /** What a client lacks that may not ask anything; undefined where it may. */
  readonly objectionTo: (socket: Socket) => string | undefined;
  readonly isStopping: () => boolean;
}

/** Clients are told a second less than the truth: what is under way when the time is up must not meet a closed door. */
const KEEP_ALIVE_GRACE_MS = 1_000;
const NOTHING = Buffer.alloc(0);
/** Behind the last request that counts so much is dropped, which may have been on its way; what is more is a flood. */
const MOST_IGNORED_BYTES = 1024 * 1024;
/** Of what never was one. */
const NO_REQUEST: RequestHead = {
  ...{ method: 'GET', target: '/', minorVersion: 1, headers: [], framing: { kind: 'none' } },
  ...{ keepAlive: false, expectsContinue: false, expectsUnknown: false, upgrade: undefined },
};

/** A client's connection: what it says becomes requests, whose answers leave in order. */
export class ClientConnection implements RequestEvents, BodyInlet, PipelineEvents {
  readonly socket: Socket;
  readonly #host: ConnectionHost;
  readonly #parser: RequestParser;
  readonly #pipeline: Pipeline;
  /** Whose body is coming. */
  #current: EdgeResponse | undefined;
  /** It is served when what came together with its head has been read. */
  #isServed = true;
  /** Came before a pause was noticed. */
  #unread: Buffer = NOTHING;
  #reading = false;
  /** What comes is not looked at any more. */
  #deaf = false;
  /** Bytes that were not looked at. */
  #ignored = 0;
  /** The answer to a handshake, from which on the socket is somebody else's. */
  #handshake: EdgeResponse | undefined;
  #hasAsked = false;
  /** Monotonic ms, since when a head is waited for; 0 = none is. */
  #headSince = performance.now();
  /** The same for another request. */
  #idleSince = 0;

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket;
    this.#host = host;
    this.#parser = new RequestParser(host.maxHeaderSize, this);
    this.#pipeline = new Pipeline(socket, host.room, this);
    socket.on('data', this.#onData);
    socket.on('end', this.#onLeft);
    socket.on('drain', this.#onDrain);
    socket.on('close', this.#onClose);
    socket.on('error', ignore);
  }

  /** Whether it is kept alive, and everything that was asked on it is answered. */
  get isIdle(): boolean {
    return this.#hasAsked && this.#pipeline.isEmpty && !this.#handshake;
  }

  /** Whether it has brought no request yet. */
  get isSilent(): boolean {
    return !this.#hasAsked;
  }

  /** Ends it where its time is up; `now` is monotonic, ms. */
  look(now: number): void {
    const { headerTimeoutMs, keepAliveMs } = this.#host;
    if (this.#deaf || this.#handshake || this.#pipeline.isOver) return;
    if (this.#headSince > 0 && now - this.#headSince > headerTimeoutMs) this.#refuseSlow();
    else if (
      this.#headSince === 0 &&
      this.#idleSince > 0 &&
      now - this.#idleSince > keepAliveMs + KEEP_ALIVE_GRACE_MS
    )
      this.socket.destroy();
  }

  /** The listener stops: nobody is waited for who has asked for nothing. */
  stop(): void {
    const asksNothing = this.isSilent ? this.socket.bytesRead === 0 : this.isIdle && !this.#parser.inHead;
    if (asksNothing) this.socket.destroySoon();
  }

  // Of the parser.

  onHead(head: RequestHead): void {
    this.#hasAsked = true;
    this.#headSince = 0;
    this.#idleSince = 0;
    if (this.#pipeline.isOver) {
      this.#turnDeaf();
      return;
    }
    const isHandshake = asksForWebSocket(head) && this.#pipeline.isEmpty;
    const res = this.#responseTo(head);
    if (!head.keepAlive) this.#pipeline.close();
    const objection = this.#host.objectionTo(this.socket);
    if (objection !== undefined && !this.#pipeline.isEmpty) {
      // What was asked for before that was asked for is answered.
      this.#pipeline.closeBehindAnswers();
      this.#turnDeaf();
    } else if (objection !== undefined) {
      this.#current = res;
      this.#refuse(res, 'client_certificate_refused', objection);
    } else if (isHandshake) {
      this.#handshake = res;
      this.#parser.paused = true;
    } else {
      this.#current = res;
      this.#isServed = false;
    }
  }

  onBody(piece: Buffer): void {
    this.#current?.req.push(piece);
  }

  onEnd(): void {
    const res = this.#current;
    this.#current = undefined;
    res?.req.end();
    if (!res || this.#isServed) return;
    this.#isServed = true;
    this.#pipeline.take(res);
  }

  // Of the request whose body is coming.

  askFor(): void {
    this.#current?.continue();
  }

  pause(): void {
    if (this.#deaf) return;
    this.#parser.paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#parser.paused || this.#deaf || this.#handshake) return;
    this.#parser.paused = false;
    // It goes on by itself where it is being asked in the middle of reading.
    if (this.#reading) return;
    const unread = this.#unread;
    this.#unread = NOTHING;
    if (unread.length > 0) this.#read(unread);
    if (!this.#parser.paused) this.socket.resume();
  }

  // Of the pipeline.

  serve(res: EdgeResponse): void {
    this.#host.serve(res);
  }

  onIdle(): void {
    this.#idleSince = performance.now();
    if (this.#host.isStopping()) this.stop();
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#deaf) {
      this.#ignored += bytes.length;
      if (this.#ignored > MOST_IGNORED_BYTES && !this.#pipeline.isEmpty) this.socket.destroy();
      return;
    }
    if (this.#unread.length > 0) this.#unread = Buffer.concat([this.#unread, bytes]);
    else this.#read(bytes);
  };

  #read(bytes: Buffer): void {
    let used: number;
    this.#reading = true;
    try {
      used = this.#parser.push(bytes);
    } catch (error) {
      this.#onMalformed(error);
      return;
    } finally {
      this.#reading = false;
    }
    if (this.#handshake) {
      this.#handOver(this.#handshake, bytes.subarray(used));
      return;
    }
    if (this.#deaf) return;
    if (used < bytes.length) this.#unread = bytes.subarray(used);
    if (this.#parser.inHead && this.#headSince === 0) this.#headSince = performance.now();
    const res = this.#current;
    if (!res) return;
    if (!this.#isServed) {
      this.#isServed = true;
      this.#pipeline.take(res);
    }
    res.req.flush();
  }

  #responseTo(head: RequestHead): EdgeResponse {
    const keepAliveSecs = Math.floor(this.#host.keepAliveMs / 1000);
    return new EdgeResponse(new EdgeRequest(head, this.socket, this), this.#pipeline, keepAliveSecs);
  }

  #handOver(res: EdgeResponse, rest: Buffer): void {
    const { socket } = this;
    socket.off('data', this.#onData);
    socket.off('end', this.#onLeft);
    const tunnel = new Tunnel(socket, rest);
    res.endConnection();
    res.takeTurn(socket);
    res.onClosed(() => {
      // Refused; else there is no answer to the handshake of which the response knows.
      if (res.finished) tunnel.refuse();
    });
    this.#host.serve(res, tunnel);
  }

  #refuse(res: EdgeResponse, code: RefusalCode, message?: string): void {
    this.#pipeline.add(res);
    this.#pipeline.close();
    this.#host.onRefused(code);
    refuseRequest(res, code, message);
  }

  /** Bytes that are not HTTP must not be answered in the middle, or in the place, of another answer. */
  #onMalformed(error: unknown): void {
    this.#turnDeaf();
    if (!(error instanceof BadRequest)) {
      this.socket.destroy();
      throw error;
    }
    const res = this.#current;
    this.#current = undefined;
    if (res ? res.closed : this.#pipeline.isOver) return;
    if (this.#pipeline.isEmpty) {
      this.#refuse(res ?? this.#responseTo(NO_REQUEST), error.code, error.message);
    } else if (res?.hasTurn === true && !res.headersSent) {
      this.#pipeline.close();
      this.#host.onRefused(error.code);
      refuseOn(this.socket, error.code, error.message);
      res.req.break();
      res.abandon();
    } else {
      this.socket.destroy();
    }
  }

  #refuseSlow(): void {
    this.#turnDeaf();
    // That it comes too late is no reason to break what was asked for before; it may be we who do not read it.
    if (!this.#pipeline.isEmpty) {
      this.#pipeline.closeBehindAnswers();
      return;
    }
    this.#pipeline.close();
    this.#host.onRefused('body_timeout');
    refuseOn(this.socket, 'body_timeout');
  }

  #turnDeaf(): void {
    this.#deaf = true;
    this.#unread = NOTHING;
    this.#parser.paused = true;
    // What is not read would hide that the client leaves.
    this.socket.resume();
  }

  /** A client that ends its side has left; what it has been given still reaches it. */
  readonly #onLeft = (): void => {
    this.#pipeline.end();
  };

  readonly #onDrain = (): void => {
    (this.#handshake ?? this.#pipeline.first)?.onDrain?.();
  };

  readonly #onClose = (): void => {
    this.#pipeline.abandon();
    this.#current?.req.break();
    this.#handshake?.abandon();
  };
}

/** A WebSocket handshake is a GET of HTTP/1.1 without a body (RFC 6455 4.1); other tokens are no reason to leave HTTP/1.1. */
function asksForWebSocket({ method, minorVersion, framing, upgrade }: RequestHead): boolean {
  const hasBody = framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0);
  return method === 'GET' && minorVersion === 1 && !hasBody && upgrade?.toLowerCase() === 'websocket';
}

function ignore(): void {
  // 'close' follows, and does the work.
}
