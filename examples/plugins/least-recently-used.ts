// A policy: the worker that was given a request longest ago, of those that are not busy already.
//
//   plugins: [./least-recently-used.ts]
//   policy:
//     type: least_recently_used
//     max_running: 32
import {
  definePlugin,
  definePolicy,
  ParameterError,
  type Choice,
  type PolicyDeps,
  type PolicyEvent,
  type Pool,
} from 'vllm-router';

interface Parameters {
  /** Requests running on a worker from which on it counts as busy. */
  readonly maxRunning: number;
}

/** Lifts the score of a busy worker above that of every other. */
const BUSY = 2 ** 40;

class LeastRecentlyUsed {
  readonly #parameters: Parameters;
  readonly #deps: PolicyDeps;
  /** When each worker was given a request last, by slot: a counter, because only the order matters. */
  readonly #lastUse = new Map<number, number>();
  #uses = 0;

  constructor(parameters: Parameters, deps: PolicyDeps) {
    this.#parameters = parameters;
    this.#deps = deps;
  }

  /** Changes nothing: the same request may be asked about twice, or not be sent at all. */
  choose(_ask: unknown, pool: Pool): Choice {
    // Lower is better. NaN stands for "not looked at", which is so for workers that may not be chosen.
    const scores = new Float64Array(pool.members.length).fill(NaN);
    let best = -1;
    for (const [index, { slot }] of pool.members.entries()) {
      if (pool.mask[index] !== 0) continue;
      const busy = this.#deps.loads.running(slot) >= this.#parameters.maxRunning;
      const score = (this.#lastUse.get(slot) ?? 0) + (busy ? BUSY : 0);
      scores[index] = score;
      if (best < 0 || score < (scores[best] ?? Infinity)) best = index;
    }
    if (best < 0) return { kind: 'none', reason: 'nobody' };
    const allBusy = (scores[best] ?? 0) >= BUSY;
    return { kind: 'chosen', index: best, reason: allBusy ? 'all_busy' : 'least_recently_used', scores };
  }

  /** What was really sent, retries included, and who has left: slots are given to other workers later. */
  observe(event: PolicyEvent): void {
    if (event.type === 'dispatched') this.#lastUse.set(event.slot, ++this.#uses);
    else this.#lastUse.delete(event.slot);
  }
}

export default definePlugin({
  apiVersion: 1,
  policies: {
    least_recently_used: definePolicy({
      parameters(raw): Parameters {
        const { max_running: maxRunning = 64, ...unknown } = raw;
        const [name] = Object.keys(unknown);
        if (name !== undefined) throw new ParameterError(name, 'unknown key; there is max_running');
        if (typeof maxRunning !== 'number' || maxRunning < 1)
          throw new ParameterError('max_running', 'expected a number of at least 1');
        return { maxRunning };
      },
      create: (parameters, deps) => new LeastRecentlyUsed(parameters, deps),
    }),
  },
});
