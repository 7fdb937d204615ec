import type { SharedValues } from '../redis/shared-values.ts';

/** A million tokens; longer prompts are tokenised by each router. */
export const MOST_TOKEN_BYTES = 4 * 1024 * 1024;

/** To tokenise a prompt takes longer, and a server nearby answers in one or two ms. */
const WITHIN_MS = 20;

/** What this is not trusted with any more is forgotten by then. */
const MOST_DOUBTED = 1024;

/** Token ids that routers keep for each other: four bytes each, the lowest first. */
export class SharedTokens {
  readonly #values: SharedValues;
  readonly #ttlMs: number;
  readonly #now: () => number;
  /** Until when ids of the model are made anew here. */
  readonly #doubted = new Map<string, number>();

  constructor(values: SharedValues, ttlMs: number, now: () => number) {
    this.#values = values;
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** Never rejects; undefined also where they do not come in time. */
  async get(key: string, model: string): Promise<Uint32Array | undefined> {
    if (this.#now() < (this.#doubted.get(model) ?? -Infinity)) return undefined;
    const bytes = await this.#values.get(key, WITHIN_MS);
    if (!bytes) return undefined;
    if (bytes.length === 0 || bytes.length % Uint32Array.BYTES_PER_ELEMENT !== 0) {
      this.#values.unreadable();
      return undefined;
    }
    const ids = new Uint32Array(bytes.length / Uint32Array.BYTES_PER_ELEMENT);
    for (let at = 0; at < ids.length; at++) ids[at] = bytes.readUInt32LE(4 * at);
    return ids;
  }

  set(key: string, ids: Uint32Array): void {
    if (ids.length === 0) return;
    const bytes = Buffer.allocUnsafe(ids.byteLength);
    for (let at = 0; at < ids.length; at++) bytes.writeUInt32LE(ids[at]!, 4 * at);
    this.#values.set(key, bytes, this.#ttlMs);
  }

  /** A worker counts otherwise: what others have kept of the model is not asked for until it is gone; what is found here takes its place. */
  doubt(model: string): void {
    this.#doubted.delete(model);
    const [oldest] = this.#doubted.keys();
    if (this.#doubted.size >= MOST_DOUBTED && oldest !== undefined) this.#doubted.delete(oldest);
    this.#doubted.set(model, this.#now() + this.#ttlMs);
  }

  close(): Promise<void> {
    return this.#values.link.close();
  }
}
