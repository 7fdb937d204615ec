import { connect, type Socket } from 'node:net';
import { systemClock } from '../../src/base/system-clock.ts';
import { ClientSeats } from '../../src/http/client-seats.ts';
import type { EdgeRequest } from '../../src/http/edge-request.ts';
import { EdgeServer } from '../../src/http/server.ts';

/** A request as it was served; what comes of its body afterwards is added. */
export interface EdgeServed {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly string[];
  body: string;
  ended: boolean;
}

const HOUR_MS = 3_600_000;

/** The router's own listener, with nobody behind it who would answer. */
export class EdgeListener implements AsyncDisposable {
  readonly #edge: EdgeServer;
  #port = 0;
  #served: EdgeServed[] = [];
  #refused = 0;

  static async listen(maxHeaderSize: number): Promise<EdgeListener> {
    const listener = new EdgeListener(maxHeaderSize);
    listener.#port = await listener.#edge.listen();
    return listener;
  }

  private constructor(maxHeaderSize: number) {
    const ignore = (): void => undefined;
    this.#edge = new EdgeServer(
      {
        ...{ host: '127.0.0.1', port: 0, maxHeaderSize, headerTimeoutMs: HOUR_MS, keepAliveMs: HOUR_MS },
        ...{ bodyIdleTimeoutMs: HOUR_MS, maxPayloadSize: 1, maxInflightBodyBytes: 1, corsAllowedOrigins: [] },
        tls: undefined,
      },
      (req, _res, tunnel) => {
        this.#serve(req);
        if (tunnel) req.socket.destroy();
        return Promise.resolve();
      },
      {
        onRefused: () => (this.#refused += 1),
        onHandshakeFailure: ignore,
        onCertificate: ignore,
        onShortage: ignore,
      },
      { seats: new ClientSeats(Infinity, systemClock), standing: Infinity },
    );
  }

  /** What it makes of the bytes of one connection, written in these pieces. */
  async read(
    cut: readonly Buffer[],
  ): Promise<{ readonly served: readonly EdgeServed[]; readonly refused: boolean }> {
    this.#served = [];
    this.#refused = 0;
    const socket: Socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true }, () => {
      for (const piece of cut) socket.write(piece);
      socket.end();
    });
    socket.on('error', () => undefined).resume();
    await new Promise((resolve) => socket.once('close', resolve));
    return { served: this.#served, refused: this.#refused > 0 };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#edge.stop();
  }

  #serve(req: EdgeRequest): void {
    const { method, url, httpVersion, rawHeaders } = req;
    const served = { method, target: url, version: httpVersion, headers: rawHeaders, body: '', ended: false };
    this.#served.push(served);
    req.read({
      onBytes: (bytes) => (served.body += bytes.toString('latin1')),
      onEnd: () => (served.ended = true),
      onBroken: () => undefined,
    });
  }
}
