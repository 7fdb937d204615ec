/** Keeps answers under keys for a time. Any failure is a miss, counted and said by the store itself. */
export interface AnswerStore {
  /** A promise only where it takes time, which is bounded. It never rejects. */
  get(key: string): Buffer | undefined | Promise<Buffer | undefined>;
  /** Nobody waits for it, and it may not come to pass. `value` belongs to the store from now on. */
  set(key: string, value: Buffer, ttlMs: number): void;
  /** Forgets every key that begins so and has `part` in it; how many. */
  flush(prefix: string, part?: string): Promise<number>;
  /** Undefined where the store does not know. */
  readonly size: { readonly entries: number | undefined; readonly bytes: number | undefined };
  close(): Promise<void>;
}
