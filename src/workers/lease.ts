import type { QueuedPrompt } from './prefill-queues.ts';

/** What one request is expected to cost a worker. Token counts may be estimates; they are rounded to whole tokens. */
export interface LeaseAsk {
  /** Prompt tokens the worker has to compute, those it has cached left out. */
  readonly prefillTokens: number;
  /** Tokens of KV cache it is expected to hold: prompt and answer. */
  readonly kvTokens: number;
  readonly stream: boolean;
}

/** One request's share of a worker's load, from dispatch to its end. */
export interface Lease {
  readonly slot: number;
  readonly generation: number;
  /**
   * The first non-empty data event of a streamed body has come: its prefill is over, and the worker's speed is learnt
   * from how long it took. `uncachedTokens` is the prefill it needed, as well as that is known by now. Does nothing
   * for what is not streamed, the second time, and after `release`.
   */
  firstToken(uncachedTokens: number): void;
  /** The answer grew by `count` tokens that `kvTokens` did not foresee. */
  tokens(count: number): void;
  /** Gives everything back. Only the first call does so and returns true. */
  release(): boolean;
}

/** What a lease may do to the ledger. */
export interface Book {
  firstToken(lease: BookedLease, uncachedTokens: number): void;
  grow(slot: number, tokens: number): void;
  close(lease: BookedLease): void;
}

/** For a request whose worker has left, and whose slot is another worker's by now: it is nobody's load. */
export const NO_BOOK: Book = {
  firstToken: () => undefined,
  grow: () => undefined,
  close: () => undefined,
};

/** Keeps sums finite and exact whatever a caller's estimate yields. */
const MOST_TOKENS = 2 ** 40;

export class BookedLease implements Lease, QueuedPrompt {
  readonly slot: number;
  readonly generation: number;
  readonly stream: boolean;
  readonly prefill: number;
  readonly dispatchedAt: number;
  /** Tokens that the worker had to compute before this prompt. */
  ahead = 0;
  kv: number;
  queued = false;
  previous: QueuedPrompt | undefined = undefined;
  next: QueuedPrompt | undefined = undefined;
  end = 0;
  readonly #book: Book;
  #begun = false;
  #open = true;

  constructor(book: Book, slot: number, generation: number, ask: LeaseAsk, now: number) {
    this.#book = book;
    this.slot = slot;
    this.generation = generation;
    this.stream = ask.stream;
    this.prefill = whole(ask.prefillTokens);
    this.kv = whole(ask.kvTokens);
    this.dispatchedAt = now;
  }

  firstToken(uncachedTokens: number): void {
    if (!this.stream || this.#begun || !this.#open) return;
    this.#begun = true;
    this.#book.firstToken(this, uncachedTokens);
  }

  tokens(count: number): void {
    if (!this.#open) return;
    const grown = whole(count);
    this.kv += grown;
    this.#book.grow(this.slot, grown);
  }

  release(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    this.#book.close(this);
    return true;
  }
}

export function whole(tokens: number): number {
  return tokens > 0 ? Math.min(Math.round(tokens), MOST_TOKENS) : 0;
}
