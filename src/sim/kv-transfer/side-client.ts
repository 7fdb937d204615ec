import { Agent, request, type ClientRequest } from 'node:http';

export interface SideAddress {
  readonly host: string;
  readonly port: number;
}

/** `lost`: the connection ended before an answer came. */
export type SideStatus = number | 'unreachable' | 'lost';

/** Asks the side channels of other simulated workers. */
export class SideClient {
  readonly #agent = new Agent({ keepAlive: true, maxFreeSockets: 64 });

  /** Calls back once, and not at all after the returned function was called: the answer is not wanted any more. */
  post(to: SideAddress, path: string, body: object, done: (status: SideStatus) => void): () => void {
    const text = JSON.stringify(body);
    let asked: ClientRequest;
    let isOver = false;
    let isConnected = false;
    const end = (status: SideStatus): void => {
      if (!isOver) done(status);
      isOver = true;
    };
    const ask = (isAgain: boolean): void => {
      asked = request(
        { host: to.host, port: to.port, path, method: 'POST', agent: this.#agent },
        (response) => {
          response.on('end', () => end(response.statusCode ?? 'lost'));
          response.on('error', () => end('lost'));
          response.resume();
        },
      );
      asked.on('error', () => {
        // A connection that was kept may have been closed before this was sent.
        if (asked.reusedSocket && !isAgain && !isOver) ask(true);
        else end(isConnected ? 'lost' : 'unreachable');
      });
      asked.on('socket', (socket) => {
        if (!socket.connecting) isConnected = true;
        else socket.once('connect', () => (isConnected = true));
      });
      asked.end(text);
    };
    ask(false);
    return () => {
      isOver = true;
      asked.destroy();
    };
  }

  close(): void {
    this.#agent.destroy();
  }
}
