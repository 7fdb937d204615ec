import type { Endpoint } from './endpoint.ts';
import { Redial, type RedialEvents, type RedialOptions } from './redial.ts';

/** Sends to one PULL or ROUTER, on a connection that is made again when it ends. What is sent while there is none is lost. */
export class Sender {
  readonly #redial: Redial;

  constructor(
    endpoint: Endpoint,
    type: 'PUSH' | 'DEALER',
    options: RedialOptions,
    events: Partial<RedialEvents> = {},
  ) {
    this.#redial = new Redial(endpoint, type, options, { ...NOTHING, ...events });
  }

  /** @returns false where it was lost. */
  send(frames: readonly Uint8Array[]): boolean {
    return this.#redial.peer.send(frames);
  }

  close(): void {
    this.#redial.close();
  }
}

const NOTHING: RedialEvents = {
  onReady: () => undefined,
  onMessage: () => undefined,
  onEnd: () => undefined,
};
