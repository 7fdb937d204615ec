import { createServer, IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** What a server made of a request; undefined trailers: it had no end. */
export interface ServedRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[] | undefined;
}

/** A request that keeps its body where nobody has to read it, and a connection may break. */
class Kept extends IncomingMessage {
  body = '';

  override push(chunk: Buffer | null): boolean {
    if (chunk !== null) this.body += chunk.toString('latin1');
    return super.push(chunk);
  }
}

/** A `node:http` server as this router had it: it is shown that the parser which the fuzz talks to refuses what this one does. */
export class NodeServer implements AsyncDisposable {
  readonly #server: Server<typeof Kept>;
  #requests: Kept[] = [];
  #refused = false;

  static async listen(maxHeaderSize: number): Promise<NodeServer> {
    const server = new NodeServer(maxHeaderSize);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  private constructor(maxHeaderSize: number) {
    const options = { IncomingMessage: Kept, maxHeaderSize, requireHostHeader: false };
    this.#server = createServer({ ...options, shouldUpgradeCallback: () => false });
    this.#server.maxHeadersCount = 0;
    for (const event of ['request', 'checkContinue', 'checkExpectation'] as const)
      this.#server.on(event, (req: Kept) => this.#requests.push(req));
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // That the bytes end in the middle is no objection to what there is.
      if (error.code !== 'HPE_INVALID_EOF_STATE') this.#refused = true;
      socket.destroy();
    });
  }

  /** What it makes of the bytes of one connection. */
  async read(
    bytes: Buffer,
  ): Promise<{ readonly requests: readonly ServedRequest[]; readonly refused: boolean }> {
    this.#requests = [];
    this.#refused = false;
    // A listener on TCP has an address that is no string.
    const { port } = this.#server.address() as AddressInfo;
    const socket: Socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('close', resolve));
    const requests = this.#requests.map((req) => ({
      method: req.method ?? '',
      target: req.url ?? '',
      version: req.httpVersion,
      headers: req.rawHeaders,
      body: req.body,
      trailers: req.complete ? req.rawTrailers : undefined,
    }));
    return { requests, refused: this.#refused };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        resolve();
      });
      this.#server.closeAllConnections();
    });
  }
}
