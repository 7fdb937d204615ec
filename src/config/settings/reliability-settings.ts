/** What is done about workers that fail, are unwell or fall silent. */

export interface RetrySettings {
  /** Total attempts, the first included. */
  readonly maxAttempts: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly multiplier: number;
  /** Fraction: 0.2 means +/- 20%. */
  readonly jitter: number;
  /** Retries allowed per request of the last 10 s, and the number always allowed. */
  readonly budgetRatio: number;
  readonly budgetFloor: number;
}

export interface BreakerSettings {
  readonly enabled: boolean;
  readonly failureThreshold: number;
  readonly successThreshold: number;
  readonly openMs: number;
  readonly windowMs: number;
  /** Trial requests allowed at once while half-open. */
  readonly halfOpenTrials: number;
}

export interface HealthSettings {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

/** When a worker's silence is out of the ordinary. */
export interface StallSettings {
  readonly enabled: boolean;
  /** Nobody is suspect sooner. */
  readonly minSilenceMs: number;
  /** Whatever was learnt of a worker, streams that are silent for longer make it suspect. */
  readonly maxSilenceMs: number;
}
