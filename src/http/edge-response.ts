import { ServerResponse, type OutgoingHttpHeader, type OutgoingHttpHeaders } from 'node:http';
import { announcedLength } from './body.ts';
import type { Incoming } from './incoming.ts';
import { linger } from './linger.ts';

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/** The answers of one connection. */
export interface Neighbours {
  /** Told when one is given up while others are before it. */
  broken(res: EdgeResponse): void;
  /** Whether the connection may end behind this one: no request came after it. From then on none counts. */
  mayEndBehind(res: EdgeResponse): boolean;
}

/** An answer on a client's connection, whoever gives it. */
export class EdgeResponse extends ServerResponse<Incoming> {
  neighbours: Neighbours | undefined;
  #endsConnection = false;

  /** Whether the connection may end behind it, which it then has to say: what came after it is answered, too. */
  static mayEnd(res: ServerResponse): boolean {
    // That of a tunnel is alone.
    return !(res instanceof EdgeResponse) || res.neighbours?.mayEndBehind(res) !== false;
  }

  /** The connection ends behind this answer, which says so unless its head is out. */
  endConnection(): void {
    if (this.#endsConnection) return;
    this.#endsConnection = true;
    this.neighbours?.mayEndBehind(this);
    const { req } = this;
    const { socket } = req;
    this.shouldKeepAlive = false;
    // Node would close both directions. Not before its turn: an answer before it may be the one that ends everything.
    this.once('prefinish', () => {
      socket.destroySoon = () => undefined;
    });
    this.once('finish', () => {
      req.resume();
      linger(socket);
    });
  }

  /**
   * An answer may begin before the request has ended. What is still to come of that is dropped then, so the connection
   * cannot be used again, and a client that looks only when it has sent everything has to get the answer all the same.
   */
  override writeHead(status: number, text?: string | Headers, headers?: Headers): this {
    if (!this.headersSent && !this.req.complete && announcedLength(this.req) !== 0) this.endConnection();
    return typeof text === 'string' ? super.writeHead(status, text, headers) : super.writeHead(status, text);
  }

  /** Behind other answers it has no socket that could be destroyed; by itself Node would send what there is of it. */
  override destroy(error?: Error): this {
    const isBehind = !this.destroyed && !this.writableFinished && this.socket === null;
    super.destroy(error);
    if (!isBehind) return this;
    this.once('socket', linger);
    this.neighbours?.broken(this);
    return this;
  }
}
