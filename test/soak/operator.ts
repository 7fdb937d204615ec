import { setTimeout as pause } from 'node:timers/promises';
import type { SoakedRouter } from './soaked-router.ts';
import type { Tally } from './tally.ts';

const RELOAD_EVERY_MS = 3_000;
/** In reloads: 21 s. */
const FATAL_EVERY = 7;

/** Longer than the answer to a drain may take while a thread begins, so that no stream is cut before the drain is taken back. */
const DRAIN_SECS = 10;

/** Whoever runs the router: reloads it, drains a worker and takes the drain back, while clients are at work. */
export class Operator {
  readonly #router: SoakedRouter;
  readonly #tally: Tally;
  readonly #workerUrl: string;
  #turns = 0;

  constructor(router: SoakedRouter, tally: Tally, workerUrl: string) {
    this.#router = router;
    this.#tally = tally;
    this.#workerUrl = workerUrl;
  }

  get turns(): number {
    return this.#turns;
  }

  /** Until `signal` is aborted. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(RELOAD_EVERY_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      this.#turns += 1;
      this.#expect('reload', await this.#router.reload(this.#turns), [200]);
      if (this.#turns % 2 === 0) await this.#drainAndTakeBack();
      if (this.#router.threads > 1 && this.#turns % FATAL_EVERY === 0) await this.#endThread();
    }
  }

  /** Either the drain is taken back while it lasts, or the worker is registered anew. */
  async #drainAndTakeBack(): Promise<void> {
    const drained = await this.#router.admin('POST', '/admin/drain', {
      url: this.#workerUrl,
      timeout_secs: DRAIN_SECS,
    });
    this.#expect('drain', drained.status, [202]);
    for (;;) {
      const { status } = await this.#router.admin('POST', '/workers', { url: this.#workerUrl });
      if (status !== 409) {
        this.#expect('add again', status, [200, 202]);
        return;
      }
      await pause(50);
    }
  }

  /** Meets a fault that ends the thread; its own exchange ends with it. */
  async #endThread(): Promise<void> {
    this.#tally.threadDies();
    await this.#router.meetFault();
    this.#tally.threadDied();
  }

  #expect(what: string, status: number, fine: readonly number[]): void {
    if (!fine.includes(status)) this.#tally.find(`${what}: answered ${status}`);
  }
}
