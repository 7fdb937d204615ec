/** What became of answers that were to be forgotten. */
export interface Flushed {
  readonly count: number;
  /** Why some may be left on the server that keeps them. */
  readonly cutShort?: string | undefined;
}

export function together(one: Flushed, other: Flushed): Flushed {
  return { count: one.count + other.count, cutShort: one.cutShort ?? other.cutShort };
}

/** Keeps answers under keys for a time. Any failure is a miss, counted and said by the store itself. */
export interface AnswerStore {
  /** A promise only where it takes time, which is bounded. It never rejects. */
  get(key: string): Buffer | undefined | Promise<Buffer | undefined>;
  /** Nobody waits for it, and it may not come to pass. `value` belongs to the store from now on. */
  set(key: string, value: Buffer, ttlMs: number): void;
  /** Forgets every key that begins so and has `part` in it. */
  flush(prefix: string, part?: string): Promise<Flushed>;
  /** Undefined where the store does not know. */
  readonly size: { readonly entries: number | undefined; readonly bytes: number | undefined };
  close(): Promise<void>;
}
