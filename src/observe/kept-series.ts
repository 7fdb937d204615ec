import type { Counter, Histogram, Registry } from './registry.ts';

/** Far more than routes, models and statuses make; beyond it all begin anew. */
const MOST_KEPT = 4096;

/** What the series of a request are labelled with, beside its method and model, which are bounded. */
export interface RequestLabels {
  readonly route: string;
  readonly status: number;
  readonly tenant?: string;
  readonly priority_class?: string;
}

/** The series of requests with the same labels: each is found at its first use, since it is shown from then on. */
export class RequestSeries {
  httpRequests: Counter | undefined;
  httpDuration: Histogram | undefined;
  duration: Histogram | undefined;
  requests: Counter | undefined;
  queueDuration: Histogram | undefined;
  tenantRequests: Counter | undefined;
  tenantDuration: Histogram | undefined;
  promptTokens: Counter | undefined;
  completionTokens: Counter | undefined;
  timeToFirstToken: Histogram | undefined;
  timePerOutputToken: Histogram | undefined;
  cachedTokenRatio: Histogram | undefined;
  readonly #route: string;
  readonly #method: string;
  readonly #status: number;
  readonly #model: string;
  readonly #tenant: string | undefined;
  readonly #priority: string | undefined;

  constructor(labels: RequestLabels, method: string, model: string) {
    this.#route = labels.route;
    this.#method = method;
    this.#status = labels.status;
    this.#model = model;
    this.#tenant = labels.tenant;
    this.#priority = labels.priority_class;
  }

  isOf(labels: RequestLabels, method: string, model: string): boolean {
    return (
      this.#route === labels.route &&
      this.#status === labels.status &&
      this.#model === model &&
      this.#method === method &&
      this.#tenant === labels.tenant &&
      this.#priority === labels.priority_class
    );
  }
}

/** The same of attempts on one worker. */
export class AttemptSeries {
  requests: Counter | undefined;
  duration: Histogram | undefined;
  processed: Counter | undefined;
  decisions: Counter | undefined;
  predictedTokens: Counter | undefined;
  actualTokens: Counter | undefined;
  predictionError: Histogram | undefined;
  readonly #route: string;
  readonly #method: string;
  readonly #policy: string | undefined;

  constructor(route: string, method: string, policy: string | undefined) {
    this.#route = route;
    this.#method = method;
    this.#policy = policy;
  }

  isOf(route: string, method: string, policy: string | undefined): boolean {
    return this.#route === route && this.#policy === policy && this.#method === method;
  }
}

/**
 * Spares a request most of the look-ups of its series: what comes next mostly has the labels of what came before. All is
 * looked up anew when a series has been removed or let in again, and as long as there are some that may not be shown.
 */
export class KeptSeries {
  readonly #registry: Registry;
  readonly #requests = new Map<string, RequestSeries>();
  #latest: RequestSeries | undefined;
  readonly #attempts = new Map<string, AttemptSeries>();
  readonly #latestOf = new Map<string, AttemptSeries>();
  #version = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  ofRequest(labels: RequestLabels, method: string, model: string): RequestSeries {
    this.#forgetOld();
    if (this.#latest?.isOf(labels, method, model) === true) return this.#latest;
    const { route, status, tenant = '', priority_class: priority = '' } = labels;
    const key = [route, method, status, tenant, priority, model].join('\0');
    let series = this.#requests.get(key);
    if (!series) this.#requests.set(key, (series = new RequestSeries(labels, method, model)));
    this.#latest = series;
    return series;
  }

  ofAttempt(worker: string, route: string, method: string, policy: string | undefined): AttemptSeries {
    this.#forgetOld();
    const latest = this.#latestOf.get(worker);
    if (latest?.isOf(route, method, policy) === true) return latest;
    const key = [worker, route, method, policy ?? ''].join('\0');
    let series = this.#attempts.get(key);
    if (!series) this.#attempts.set(key, (series = new AttemptSeries(route, method, policy)));
    this.#latestOf.set(worker, series);
    return series;
  }

  #forgetOld(): void {
    const { changes } = this.#registry;
    const few = this.#requests.size <= MOST_KEPT && this.#attempts.size <= MOST_KEPT;
    if (changes === this.#version && few) return;
    this.#version = changes;
    this.#latest = undefined;
    this.#requests.clear();
    this.#attempts.clear();
    this.#latestOf.clear();
  }
}
