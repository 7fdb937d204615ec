import type { EdgeServer } from '../http/server.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { Front } from './front.ts';

/** The front of a router with one thread: its own listener. */
export class EdgeFront implements Front {
  readonly threads = { configured: 1, serving: 1 };
  readonly #edge: EdgeServer;

  constructor(edge: EdgeServer) {
    this.#edge = edge;
  }

  listen(): Promise<number> {
    return this.#edge.listen();
  }

  prepare({ listen }: Settings): () => void {
    return () => {
      this.#edge.reconfigure(listen);
    };
  }

  announceStop(): void {
    // Requests ask for it themselves.
  }

  stop(): Promise<void> {
    return this.#edge.stop();
  }

  cut(): void {
    this.#edge.cut();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
