/** Time is handed in, never read: the same code runs in the server, in tests and in virtual time. */
export interface Timer {
  cancel(): void;
  /** Starts the same delay again from now, also after it has fired; does nothing after `cancel`. */
  refresh(): void;
}

export interface Clock {
  /** Monotonic, in ms with fractions; only differences mean anything. */
  now(): number;
  /** Wall clock, ms since the Unix epoch. */
  wall(): number;
  /** Calls `callback` once after `delayMs`. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}
