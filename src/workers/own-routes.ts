import type { Worker } from './worker.ts';

interface Known {
  /** When the worker was last found healthy: whoever answers after a pause may be another server. */
  readonly since: number;
  readonly version: string | undefined;
  readonly has: Map<string, boolean>;
}

/**
 * Which workers have routes that others of their kind lack, as each has answered; in this thread. What is known of a worker goes with its
 * health: one that comes back after a while, or with another version, is asked anew.
 */
export class OwnRoutes {
  readonly #known = new WeakMap<Worker, Known>();

  /** Undefined while that is not known. */
  has(worker: Worker, route: string, version: string | undefined): boolean | undefined {
    return this.#of(worker, version)?.has.get(route);
  }

  learn(worker: Worker, route: string, version: string | undefined, has: boolean): void {
    let known = this.#of(worker, version);
    if (!known) {
      known = { since: worker.health.changedAt, version, has: new Map() };
      this.#known.set(worker, known);
    }
    known.has.set(route, has);
  }

  #of(worker: Worker, version: string | undefined): Known | undefined {
    const known = this.#known.get(worker);
    const isSame = known?.since === worker.health.changedAt && known.version === version;
    return isSame ? known : undefined;
  }
}
