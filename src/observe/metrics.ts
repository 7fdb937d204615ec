import { KeptSeries } from './kept-series.ts';
import { Registry } from './registry.ts';
import type { CounterFamily, GaugeFamily, HistogramFamily, RegistryOptions } from './registry.ts';
import { SERIES_TABLE, type SeriesSpec, type SeriesTable } from './series-table.ts';

export { SERIES } from './series-table.ts';
export type { SeriesSpec } from './series-table.ts';

type FamilyOf<T> = T extends { readonly type: infer K; readonly labels: infer L extends readonly string[] }
  ? K extends 'counter'
    ? CounterFamily<L>
    : K extends 'gauge'
      ? GaugeFamily<L>
      : HistogramFamily<L>
  : never;

type Families = { readonly [K in keyof SeriesTable]: FamilyOf<SeriesTable[K]> };

/**
 * All metrics of one router: one field per series (`vllm_router_requests_total` is `requestsTotal`), used as
 * `metrics.requestsTotal.with(route).inc()`.
 */
export interface Metrics extends Families {
  readonly registry: Registry;
  /** Series that requests have in common. */
  readonly kept: KeptSeries;
  /**
   * A worker was registered: its series may exist from now on. Health and breaker start at 0 (not healthy yet, closed), active_workers follows.
   */
  workerJoined(worker: string): void;
  /** A worker is gone: its series disappear, and requests still ending on it do not bring them back. */
  workerLeft(worker: string): void;
  /** The `route` value for histograms that are kept per worker: empty, which is no label, in large fleets. */
  perWorkerRoute(route: string): string;
}

export interface MetricsOptions {
  readonly version?: string;
  readonly onCollectError?: NonNullable<RegistryOptions['onCollectError']>;
}

/** Above this many workers, routes times workers times buckets would be more lines than a scrape should carry. */
const MAX_WORKERS_WITH_ROUTE = 64;

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry: Registry = new Registry({
    onDropped: (family) => {
      // One series per family name, so this one cannot overflow itself.
      families.metricSeriesDroppedTotal.with(family).inc();
    },
    ...(options.onCollectError && { onCollectError: options.onCollectError }),
  });
  const families = makeFamilies(registry);
  if (options.version !== undefined) families.buildInfo.with(options.version).set(1);

  const workers = new Set<string>();
  return {
    ...families,
    registry,
    kept: new KeptSeries(registry),
    workerJoined(worker) {
      workers.add(worker);
      registry.revive('worker', worker);
      families.workerHealth.with(worker).set(0);
      families.cbState.with(worker).set(0);
      families.workerProgress.with(worker).set(0);
      families.workerAsleep.with(worker).set(0);
      // A counter that begins with its first event hides it from Prometheus' rate() and increase().
      families.brokenStreamsTotal.with(worker);
      families.cbStateTransitionsTotal.with(worker, 'closed', 'open');
      families.workerProgressTransitionsTotal.with(worker, 'suspect');
      families.workerProgressTransitionsTotal.with(worker, 'stalled');
      families.activeWorkers.with().set(workers.size);
    },
    workerLeft(worker) {
      workers.delete(worker);
      registry.retire('worker', worker);
      families.activeWorkers.with().set(workers.size);
    },
    perWorkerRoute: (route) => (workers.size > MAX_WORKERS_WITH_ROUTE ? '' : route),
  };
}

function makeFamilies(registry: Registry): Families {
  const entries = Object.entries(SERIES_TABLE).map(([field, spec]) => [field, makeFamily(registry, spec)]);
  // One family per row, made by the row's own type: what Object.fromEntries cannot express.
  return Object.fromEntries(entries) as Families;
}

function makeFamily(registry: Registry, spec: SeriesSpec): unknown {
  switch (spec.type) {
    case 'counter':
      return registry.counter(spec.name, spec.meaning, spec.labels, spec.rule);
    case 'gauge':
      return registry.gauge(spec.name, spec.meaning, spec.labels, spec.rule);
    case 'histogram':
      return registry.histogram(spec.name, spec.meaning, spec.labels, spec.buckets ?? []);
  }
}

/**
 * Bounds the `model` label: clients may ask for any name, and each would be a series for ever. `known` is read at each
 * call, so a live set may be given.
 */
export function boundedModel(known: { has(name: string): boolean }): (model: string | undefined) => string {
  return (model) => (model !== undefined && known.has(model) ? model : 'other');
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']);

/** Bounds the `method` label. */
export function boundedMethod(method: string): string {
  return METHODS.has(method) ? method : 'OTHER';
}
