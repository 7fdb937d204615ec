import type { Clock, Timer } from '../../base/clock.ts';

/** One link from a prefill to a decode engine, which all transfers between the two share alike. */
class KvLink {
  readonly #clock: Clock;
  readonly #tokensPerMs: number;
  readonly #open = new Set<Transfer>();
  #settledAt = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, tokensPerMs: number) {
    this.#clock = clock;
    this.#tokensPerMs = tokensPerMs;
  }

  begin(tokens: number, done: (arrived: boolean) => void): void {
    this.#settle();
    this.#open.add({ left: tokens, done });
    this.#arm();
  }

  /** Nothing that is under way arrives. */
  cut(): void {
    this.#timer?.cancel();
    const lost = [...this.#open];
    this.#open.clear();
    for (const { done } of lost) done(false);
  }

  #settle(): void {
    const now = this.#clock.now();
    if (now === this.#settledAt) return;
    const each = ((now - this.#settledAt) * this.#tokensPerMs) / Math.max(1, this.#open.size);
    for (const transfer of this.#open) transfer.left -= each;
    this.#settledAt = now;
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#open.size === 0) return;
    let least = Infinity;
    for (const { left } of this.#open) least = Math.min(least, left);
    const delay = (Math.max(0, least) * this.#open.size) / this.#tokensPerMs;
    this.#timer = this.#clock.after(delay, () => {
      this.#finish(least);
    });
  }

  /** Those that had as little left as the next one: to compare with 0 would leave them open for what rounding left of them. */
  #finish(least: number): void {
    this.#settledAt = this.#clock.now();
    const ended: Transfer[] = [];
    for (const transfer of this.#open) {
      transfer.left -= least;
      if (transfer.left > SMALLEST_TOKENS) continue;
      this.#open.delete(transfer);
      ended.push(transfer);
    }
    this.#arm();
    for (const { done } of ended) done(true);
  }
}

interface Transfer {
  /** Tokens. */
  left: number;
  readonly done: (arrived: boolean) => void;
}

const SMALLEST_TOKENS = 1e-6;

/** The links between all engines of a fleet, each as fast as the others. */
export class KvLinks {
  readonly #clock: Clock;
  readonly #tokensPerMs: number;
  readonly #links = new Map<string, KvLink>();

  constructor(clock: Clock, tokensPerSecond: number) {
    this.#clock = clock;
    this.#tokensPerMs = tokensPerSecond / 1000;
  }

  /** `done` comes once: when they have arrived, or with `false` when one of the engines has died. */
  send(tokens: number, from: number, to: number, done: (arrived: boolean) => void): void {
    const key = `${String(from)}>${String(to)}`;
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, (link = new KvLink(this.#clock, this.#tokensPerMs)));
    link.begin(tokens, done);
  }

  /** An engine has died. */
  cut(engine: number): void {
    for (const [key, link] of this.#links)
      if (key.split('>').includes(String(engine))) {
        this.#links.delete(key);
        link.cut();
      }
  }
}
