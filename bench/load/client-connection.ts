import { connect, type Socket } from 'node:net';
import { MessageReader } from './message-reader.ts';

export interface Answer {
  readonly ok: boolean;
  /** Why not. */
  readonly problem: string | undefined;
}

/** Filled and read out within one call, so every connection can share it. */
const SHARED_READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

/** One keep-alive connection of the load: one request at a time, answers checked by status and byte count. */
export class ClientConnection {
  /** Bytes of bodies received so far. */
  received = 0;
  readonly #socket: Socket;
  #expected = 0;
  #got = 0;
  #status = 0;
  #onAnswer: ((answer: Answer) => void) | undefined;
  #onFirstByte: (() => void) | undefined;
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Rejects with the system's error when nothing listens there. */
  static open(port: number): Promise<ClientConnection> {
    return new Promise((resolve, reject) => {
      let reader: MessageReader | undefined = undefined;
      const socket = connect({
        host: '127.0.0.1',
        port,
        noDelay: true,
        onread: {
          buffer: SHARED_READ_BUFFER,
          callback: (bytes, buffer) => {
            reader?.push(buffer as Buffer, bytes);
            return true;
          },
        },
      });
      const connection = new ClientConnection(socket);
      reader = connection.#reader();
      socket.once('connect', () => {
        resolve(connection);
      });
      socket.on('error', (error) => {
        reject(error);
        connection.#settle(error.message);
      });
      socket.on('close', () => {
        connection.#closed = true;
        connection.#settle('the connection was closed before the answer was complete');
      });
    });
  }

  get usable(): boolean {
    return !this.#closed && this.#onAnswer === undefined;
  }

  /** `bodyBytes`: what the answer's body must have. */
  send(
    request: Buffer,
    bodyBytes: number,
    onAnswer: (answer: Answer) => void,
    onFirstByte?: () => void,
  ): void {
    this.#expected = bodyBytes;
    this.#got = 0;
    this.#onAnswer = onAnswer;
    this.#onFirstByte = onFirstByte;
    this.#socket.write(request);
  }

  close(): void {
    this.#onAnswer = undefined;
    this.#socket.destroy();
  }

  #reader(): MessageReader {
    return new MessageReader({
      onHead: (head) => {
        this.#status = Number(head.slice(9, 12));
      },
      onBody: (bytes) => {
        if (this.#got === 0) this.#onFirstByte?.();
        this.#got += bytes;
        this.received += bytes;
      },
      onEnd: () => {
        if (this.#status !== 200) this.#settle(`status ${this.#status}`);
        else if (this.#got !== this.#expected)
          this.#settle(`${this.#got} bytes instead of ${this.#expected}`);
        else this.#settle(undefined);
      },
      onError: (reason) => {
        this.#settle(reason);
        this.#socket.destroy();
      },
    });
  }

  #settle(problem: string | undefined): void {
    const onAnswer = this.#onAnswer;
    this.#onAnswer = undefined;
    onAnswer?.({ ok: problem === undefined, problem });
  }
}
