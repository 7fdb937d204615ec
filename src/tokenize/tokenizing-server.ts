import type { Clock } from '../base/clock.ts';
import { SizeBrake } from './size-brake.ts';

/** Questions under way on one server, so that the tokenising of prompts does not keep it from its answers. */
export const MOST_UNDER_WAY = 4;

/** Failures in a row after which a server is left alone. */
const FAILURES = 3;
const FIRST_REST_MS = 1_000;
const LONGEST_REST_MS = 60_000;
/** A prompt below this, members of the body in bytes, takes no server that is well longer than it may. */
const SHORT_BYTES = 32 * 1024;
/** A route that a server did not have is tried again then: it may have been updated. */
const UNOFFERED_MS = 600_000;

/** How one server does at tokenising. Its ranks are one server. */
export class TokenizingServer {
  readonly #clock: Clock;
  #underWay = 0;
  #failures = 0;
  #restMs = FIRST_REST_MS;
  /** Monotonic ms. */
  #restsUntil = -Infinity;
  #brake: SizeBrake;
  readonly #unofferedUntil = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#brake = new SizeBrake(clock);
  }

  get underWay(): number {
    return this.#underWay;
  }

  /** Whether it may be asked now as far as its failures go. */
  get isWell(): boolean {
    return this.#clock.now() >= this.#restsUntil;
  }

  /** Whether it may be asked about a prompt of so many bytes. */
  takes(bytes: number): boolean {
    return this.#brake.admits(bytes);
  }

  offers(path: string): boolean {
    return this.#clock.now() >= (this.#unofferedUntil.get(path) ?? -Infinity);
  }

  begin(): void {
    this.#underWay += 1;
  }

  /** How what `begin` began has ended; `refused`: it did not like the request, which says nothing against the server. */
  end(outcome: 'ids' | 'unoffered' | 'refused' | 'failed'): void {
    this.#underWay -= 1;
    if (outcome !== 'failed') {
      this.#failures = 0;
      this.#restMs = FIRST_REST_MS;
      return;
    }
    this.#failures += 1;
    if (this.#failures < FAILURES) return;
    this.#restsUntil = this.#clock.now() + this.#restMs;
    this.#restMs = Math.min(LONGEST_REST_MS, 2 * this.#restMs);
  }

  /** What `begin` began took too long. That a long prompt does says nothing against the server: only its like are kept from it. */
  late(bytes: number): void {
    if (bytes < SHORT_BYTES) {
      this.end('failed');
      return;
    }
    this.#underWay -= 1;
    this.#brake.slow(bytes);
  }

  /** @param path One of the few that are asked. */
  lacks(path: string): void {
    this.#unofferedUntil.set(path, this.#clock.now() + UNOFFERED_MS);
  }

  /** It has begun anew, or is another version. */
  reset(): void {
    this.#unofferedUntil.clear();
    this.#brake = new SizeBrake(this.#clock);
    this.#failures = 0;
    this.#restMs = FIRST_REST_MS;
    this.#restsUntil = -Infinity;
  }
}
