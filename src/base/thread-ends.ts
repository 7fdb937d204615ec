/** Between the end of a thread and the next one in its place; doubled while they end soon after their start. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 10_000;
const SOON_MS = 10_000;

/** How long the place of a thread that has ended stays empty. */
export class RestartPause {
  #nextMs = FIRST_PAUSE_MS;

  /** @param livedMs How long the thread that has ended was there. */
  after(livedMs: number): number {
    const pauseMs = livedMs < SOON_MS ? this.#nextMs : FIRST_PAUSE_MS;
    this.#nextMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs);
    return pauseMs;
  }
}

/** Whether a thread ended over the limit of its heap. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
}
