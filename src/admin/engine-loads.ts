import type { Clock } from '../base/clock.ts';
import type { WorkerClient } from '../engines/client.ts';
import { collect } from '../engines/collect.ts';
import { probeHeaders } from '../engines/http/probe.ts';
import type { Worker } from '../workers/worker.ts';
import { readEngineMetrics, metricsOf, type EngineMetrics } from '../engines/engine-metrics.ts';
import { byServer, fanOut } from './fan-out.ts';

export interface EngineLoad {
  readonly metrics: EngineMetrics | undefined;
  /** Since the metrics were read. */
  readonly ageMs: number | undefined;
  /** Why the last try to read them failed. */
  readonly error: string | undefined;
}

interface Sample {
  engines: ReadonlyMap<number, EngineMetrics> | undefined;
  takenAt: number;
  error: string | undefined;
}

const MAX_METRICS_BYTES = 4 * 1024 * 1024;
/** Samples younger than this are shown again: looking often must not cost the engines. */
const FRESH_MS = 1_000;
const TIMEOUT_MS = 2_000;

/** What the engines themselves say about their load: read from `/metrics` when somebody looks. */
export class EngineLoads {
  readonly #clock: Clock;
  readonly #clientOf: (worker: Worker) => WorkerClient;
  /** By server; those that have left are dropped at the next look. */
  #samples = new Map<string, Sample>();

  constructor(clock: Clock, clientOf: (worker: Worker) => WorkerClient) {
    this.#clock = clock;
    this.#clientOf = clientOf;
  }

  /** Reads what is not fresh; resolves to how to look a worker up. */
  async refresh(workers: readonly Worker[]): Promise<(worker: Worker) => EngineLoad> {
    const samples = new Map<string, Sample>();
    await fanOut(byServer(workers), async ([worker]) => {
      if (worker) samples.set(worker.spec.baseUrl, await this.#sample(worker));
    });
    this.#samples = samples;
    return (worker) => this.#loadOf(worker, samples.get(worker.spec.baseUrl));
  }

  async #sample(worker: Worker): Promise<Sample> {
    const known = this.#samples.get(worker.spec.baseUrl);
    if (known?.engines && this.#clock.now() - known.takenAt < FRESH_MS) return known;
    const answer = await collect(
      this.#clientOf(worker),
      {
        method: 'GET',
        path: '/metrics',
        headers: probeHeaders(worker.spec),
        body: undefined,
        upgrade: undefined,
        reserved: true,
      },
      this.#clock,
      { timeoutMs: TIMEOUT_MS, maxBytes: MAX_METRICS_BYTES },
    );
    if (answer.kind === 'response' && answer.status === 200) {
      const engines = readEngineMetrics(answer.body.toString('utf8'));
      return { engines, takenAt: this.#clock.now(), error: undefined };
    }
    const error = answer.kind === 'failed' ? `${answer.code}: ${answer.message}` : `status ${answer.status}`;
    return { engines: known?.engines, takenAt: known?.takenAt ?? 0, error };
  }

  #loadOf(worker: Worker, sample: Sample | undefined): EngineLoad {
    const metrics = sample?.engines && metricsOf(sample.engines, worker.spec.rank);
    return {
      metrics,
      ageMs: metrics && sample ? this.#clock.now() - sample.takenAt : undefined,
      error: sample?.error,
    };
  }
}
