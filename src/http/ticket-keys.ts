import { createHmac, randomBytes } from 'node:crypto';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { ListenerTls } from '../config/settings/settings.ts';

const SECRET_BYTES = 32;
/** As `tls.createServer` wants them. */
const KEY_BYTES = 48;

/**
 * What the keys are made of with which a client's session is sealed: the client keeps it, and any thread of the router can take it
 * up again.
 */
export class TicketKeys {
  readonly #secret: Uint8Array;

  constructor(memory: ThreadMemory) {
    const shared = new Uint8Array(memory.region('tls:tickets', SECRET_BYTES));
    if (memory.self === 0) shared.set(randomBytes(SECRET_BYTES));
    this.#secret = Uint8Array.from(shared);
  }

  /** Others for other settings: what a client was believed under those it need not be believed under these. */
  of(tls: ListenerTls): Buffer {
    return createHmac('sha512', this.#secret).update(JSON.stringify(tls)).digest().subarray(0, KEY_BYTES);
  }
}
