import type { Clock, Timer } from '../../base/clock.ts';
import type { ThreadPart } from '../../base/thread-part.ts';
import { collect } from '../../engines/collect.ts';
import { probeHeaders } from '../../engines/http/probe.ts';
import type { WorkerConnections } from '../../engines/http/worker-connections.ts';
import type { Log } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import { SHARED_SLOTS } from '../../workers/ledger-columns.ts';
import type { Roster } from '../../workers/roster.ts';
import type { Worker } from '../../workers/worker.ts';

/** To switch a profile on; ending it writes the profile down, which takes as long as it takes. */
const START_MS = 1_000;
const STOP_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export interface ProfileDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'pdProfileErrorsTotal'>;
  readonly registry: Pick<Roster, 'workers'>;
  readonly part: Pick<ThreadPart, 'memory'>;
  readonly connections: Pick<WorkerConnections, 'clientOf'>;
}

/** A server's profile while requests of this thread want it. */
interface Session {
  readonly worker: Worker;
  readonly started: Promise<void>;
  readonly timer: Timer;
  requests: number;
}

/** One request's part in the profile of the worker that it was sent to. */
export interface Profiled {
  /** Resolves when the profile runs, or it is clear that it will not. */
  readonly started: Promise<void>;
  /** Only the first call does something. */
  end(): void;
}

/**
 * The profilers of workers, which run from the first of some requests until the last one has ended. Each thread counts its own
 * requests where the others see it: an engine that profiles already ignores that it is to begin, but not that it is to end.
 */
export class Profiles {
  readonly #deps: ProfileDeps;
  /** By the server's URL: its ranks are profiled together. */
  readonly #sessions = new Map<string, Session>();
  /** Servers whose trouble was told. */
  readonly #told = new Set<string>();
  readonly #counts: Int32Array;

  constructor(deps: ProfileDeps) {
    this.#deps = deps;
    const { memory } = deps.part;
    this.#counts = new Int32Array(memory.region('profiles', 4 * SHARED_SLOTS * memory.rows));
  }

  /** Servers whose profile this thread wants now. */
  get size(): number {
    return this.#sessions.size;
  }

  /** @param timeoutMs After which the profile is ended whatever happens. */
  begin(worker: Worker, timeoutMs: number): Profiled {
    const session = this.#sessions.get(worker.spec.baseUrl) ?? this.#open(worker, timeoutMs);
    session.requests += 1;
    let isOver = false;
    return {
      started: session.started,
      end: () => {
        if (isOver) return;
        isOver = true;
        session.requests -= 1;
        if (session.requests === 0) this.#close(session);
      },
    };
  }

  /** A thread has died: nobody else waits for its requests. */
  reclaim(row: number): void {
    this.#counts.fill(0, row * SHARED_SLOTS, (row + 1) * SHARED_SLOTS);
  }

  #open(worker: Worker, timeoutMs: number): Session {
    const { clock, part } = this.#deps;
    const session: Session = {
      worker,
      requests: 0,
      started: this.#post(worker, '/start_profile', START_MS),
      timer: clock.after(timeoutMs, () => {
        this.#close(session, true);
      }),
    };
    Atomics.store(this.#counts, part.memory.self * SHARED_SLOTS + worker.slot, 1);
    this.#sessions.set(worker.spec.baseUrl, session);
    return session;
  }

  #close(session: Session, isLate = false): void {
    const { worker, timer } = session;
    const { baseUrl } = worker.spec;
    // Requests that outlast the time for a profile have no part in the next one.
    if (this.#sessions.get(baseUrl) !== session) return;
    this.#sessions.delete(baseUrl);
    timer.cancel();
    Atomics.store(this.#counts, this.#deps.part.memory.self * SHARED_SLOTS + worker.slot, 0);
    if (!isLate && this.#isWantedElsewhere(baseUrl)) return;
    void session.started.then(() => this.#post(worker, '/stop_profile', STOP_MS));
  }

  #isWantedElsewhere(baseUrl: string): boolean {
    const { part, registry } = this.#deps;
    for (const { spec, slot } of registry.workers) {
      if (spec.baseUrl !== baseUrl) continue;
      for (let row = 0; row < part.memory.rows; row++)
        if (Atomics.load(this.#counts, row * SHARED_SLOTS + slot) !== 0) return true;
    }
    return false;
  }

  async #post(worker: Worker, path: string, timeoutMs: number): Promise<void> {
    const { clock, log, metrics, connections } = this.#deps;
    const headers = probeHeaders(worker.spec);
    const request = { method: 'POST', path, headers, body: undefined, upgrade: undefined };
    const limits = { timeoutMs, maxBytes: MAX_ANSWER_BYTES };
    const answer = await collect(connections.clientOf(worker.spec), request, clock, limits);
    if (answer.kind === 'response' && answer.status < 300) return;
    metrics.pdProfileErrorsTotal.with(worker.id).inc();
    if (this.#told.has(worker.id) || this.#told.size >= SHARED_SLOTS) return;
    this.#told.add(worker.id);
    const reason = answer.kind === 'failed' ? answer.message : `status ${answer.status}`;
    log.warn({ worker: worker.id, path, reason }, 'a worker cannot be profiled; told once for each');
  }
}
