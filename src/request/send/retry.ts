import { ERRORS, RouterError } from '../../base/errors.ts';
import { StreamedBody } from '../../http/body.ts';
import { EXCLUDED } from '../../routing/policy.ts';
import { viewPool } from '../../workers/pool-view.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Failure } from './attempt.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/**
 * Whether and when one request is tried again. Exponential backoff with jitter, a worker's `Retry-After` honoured, all
 * requests together under a budget so that retries cannot double an outage.
 */
export class RetryDecision {
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #call: Call;
  readonly #deadline: Deadline;
  /** Attempts made that count as such. */
  #attempts = 0;
  #workersAsked = 0;
  #delayMs = 0;

  constructor(rt: Runtime, arrival: Arrival, call: Call, deadline: Deadline) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#call = call;
    this.#deadline = deadline;
  }

  /** A stored resource whose worker is not known is asked for at one worker after the other. */
  looksElsewhere(status: number): boolean {
    return status === 404 && this.#isSearch();
  }

  /** @param storesNothing Only the prompt was to be computed: that may be asked for again, whatever is to be done with the answer. */
  afterFailure(failure: Failure, storesNothing = false): boolean {
    if (!ERRORS[failure.code].retryable) return false;
    if (failure.sent && !storesNothing && this.#call.retry === 'connect') return false;
    return this.#bodyIsThere() && this.#retry(undefined);
  }

  /** The same of an answer with this status. */
  afterStatus(status: number, retryAfterMs: number | undefined, storesNothing = false): boolean {
    if (this.looksElsewhere(status)) return this.#bodyIsThere() && this.#nextWorker();
    if (!storesNothing && this.#call.retry === 'connect') return false;
    if (retryAfterMs !== undefined && retryAfterMs > this.#rt.settings.retry.maxBackoffMs) return false;
    return this.#retry(retryAfterMs);
  }

  /** Somebody else is to be asked in the place of one that wants to be left alone: that is a retry, but nothing to wait for. */
  elsewhere(): boolean {
    if (this.#call.retry === 'connect' || !this.#bodyIsThere() || !this.#retry(undefined)) return false;
    this.#delayMs = 0;
    return true;
  }

  /** One more attempt, of another kind than those that failed, at once. */
  fallBack(): boolean {
    if (!this.#bodyIsThere() || this.#deadline.leftMs <= 0) return false;
    this.#delayMs = 0;
    return true;
  }

  /** The same once more, at once: nothing has failed. */
  again(): void {
    this.#delayMs = 0;
  }

  /** Waits for the delay that the last decision set. Rejects when the client leaves or time is up. */
  backOff(): Promise<void> {
    const delayMs = this.#delayMs;
    if (delayMs === 0) return Promise.resolve();
    const { metrics, clock } = this.#rt;
    const { client, times } = this.#arrival;
    metrics.retryBackoffDurationSeconds.with(String(this.#attempts)).observe(delayMs / 1000);
    times.backoffMs += delayMs;
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        timer.cancel();
        client.onGone(undefined);
        this.#deadline.wakes(undefined);
      };
      const timer = clock.after(delayMs, () => {
        stop();
        resolve();
      });
      this.#deadline.wakes(() => {
        stop();
        reject(this.#deadline.error());
      });
      client.onGone(() => {
        stop();
        reject(
          new RouterError('client_closed', 'the client left while the request waited for another attempt'),
        );
      });
    });
  }

  /** A streamed body can be sent only as long as nothing of it has been. */
  #bodyIsThere(): boolean {
    const { body } = this.#call;
    return !(body instanceof StreamedBody && (body.consumed || body.destroyed));
  }

  #isSearch(): boolean {
    const { resourceId } = this.#call;
    return (
      this.#arrival.endpoint.resource === 'by_id' &&
      resourceId !== undefined &&
      this.#rt.owners.ownerOf(resourceId) === undefined
    );
  }

  /** Asking around is no retry: nothing failed. */
  #nextWorker(): boolean {
    this.#workersAsked += 1;
    this.#delayMs = 0;
    const { registry, clock, settings } = this.#rt;
    const pool = viewPool(registry.membersFor(this.#call.model), {
      tried: new Set(),
      now: clock.now(),
      slowStartMs: settings.slowStartMs,
    });
    const fit = pool.mask.reduce((count, exclusion) => count + (exclusion === EXCLUDED.no ? 1 : 0), 0);
    return this.#workersAsked < fit;
  }

  #retry(retryAfterMs: number | undefined): boolean {
    this.#attempts += 1;
    const { settings, metrics, retryBudget } = this.#rt;
    const { route } = this.#arrival.endpoint;
    if (settings.retry.maxAttempts === 1) return false;
    if (this.#attempts >= settings.retry.maxAttempts) {
      metrics.retriesExhaustedTotal.with(route).inc();
      return false;
    }
    const delayMs = Math.max(this.#backoffMs(), retryAfterMs ?? 0);
    if (delayMs >= this.#deadline.leftMs) return false;
    if (!retryBudget.tryRetry()) {
      metrics.retryBudgetRefusalsTotal.with(route).inc();
      return false;
    }
    metrics.retriesTotal.with(route).inc();
    this.#delayMs = delayMs;
    return true;
  }

  #backoffMs(): number {
    const { initialBackoffMs, multiplier, maxBackoffMs, jitter } = this.#rt.settings.retry;
    const plain = Math.min(initialBackoffMs * multiplier ** (this.#attempts - 1), maxBackoffMs);
    return plain * (1 + jitter * (2 * this.#rt.random() - 1));
  }
}
