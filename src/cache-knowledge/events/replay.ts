import type { Clock, Timer } from '../../base/clock.ts';
import type { Closable, Transport } from '../../zmtp/transport.ts';
import { isReplayEnd, readMessage, replayRequest, type EventMessage } from './message.ts';

export interface ReplayEvents {
  onMessage(message: EventMessage): void;
  /** Comes once; not after `close`. */
  onEnd(how: 'answered' | 'failed' | 'timeout'): void;
}

const SILENT_MS = 5000;
const LONGEST_MS = 60_000;

/** Asks a publisher for what it sent before. */
export class Replay {
  readonly #events: ReplayEvents;
  readonly #silence: Timer;
  readonly #limit: Timer;
  readonly #request: Closable | undefined;
  #over = false;

  /** @param from the first number that is wanted. */
  constructor(transport: Transport, clock: Clock, endpoint: string, from: number, events: ReplayEvents) {
    this.#events = events;
    this.#silence = clock.after(SILENT_MS, () => this.#end('timeout'));
    this.#limit = clock.after(LONGEST_MS, () => this.#end('timeout'));
    this.#request = transport.request(endpoint, replayRequest(from), {
      onMessage: (frames) => this.#onMessage(frames),
      onEnd: () => this.#end('failed'),
    });
  }

  close(): void {
    this.#over = true;
    this.#silence.cancel();
    this.#limit.cancel();
    this.#request?.close();
  }

  #onMessage(frames: readonly Buffer[]): void {
    if (this.#over) return;
    this.#silence.refresh();
    if (isReplayEnd(frames)) {
      this.#end('answered');
      return;
    }
    const message = readMessage(frames);
    if (message) this.#events.onMessage(message);
    else this.#end('failed');
  }

  #end(how: 'answered' | 'failed' | 'timeout'): void {
    if (this.#over) return;
    this.close();
    this.#events.onEnd(how);
  }
}
