import { RouterError } from '../../base/errors.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { overLimit } from '../arrive/over-limit.ts';
import type { Call } from '../understand/read-call.ts';
import type { BookEntry } from '../../limits/tenant-books.ts';
import type { Tenant } from '../../limits/tenant.ts';
import type { Runtime } from '../runtime.ts';

/**
 * Sets aside the tokens that the request may take, before it waits for its turn; when it has ended, what it really took
 * is spent and the rest is given back. Where replicas share the limits of tenants, all of these are decided here for all of them
 * together. Throws `tokens_exceeded`, and then `rate_limit_exceeded` and `concurrency_exceeded`, too.
 */
export function reserveTokens(rt: Runtime, arrival: Arrival, call: Call): Promise<void> | undefined {
  const { tenant, endpoint } = arrival;
  if (tenant === undefined || endpoint.class !== 'inference') return undefined;
  const promptTokens = endpoint.tokens === undefined ? 0 : call.ask.promptTokens();
  const tokens = promptTokens + answerTokens(arrival, call);
  const reservation = tenant.reserve(tokens);
  if (reservation.kind === 'over_limit') throw overLimit(tenant.settings, reservation, tokens);
  const book = { leave: (_used: number): void => undefined };
  arrival.releases.push(() => {
    const used =
      arrival.decision.cache_status?.endsWith('-hit') === true
        ? tokensOfHit(rt, arrival)
        : tokensUsed(arrival, promptTokens, tokens);
    arrival.decision.charged_tokens = used;
    reservation.settle(used);
    book.leave(used);
    rt.metrics.tenantTokensTotal.with(tenant.access.name).inc(used);
  });
  if (!rt.tenantBooks.isOpen) return undefined;
  return rt.tenantBooks.enter(tenant.settings, tokens).then((entry) => {
    rt.metrics.sharedLimitsTotal.with(entry.kind).inc();
    book.leave = leaveOf(tenant, entry, tokens);
    if (arrival.client.gone)
      throw new RouterError('client_closed', 'the client left while limits were looked at');
  });
}

/** Throws where all replicas together have refused it. */
function leaveOf(tenant: Tenant, entry: BookEntry, tokens: number): (used: number) => void {
  switch (entry.kind) {
    case 'entered':
      return entry.leave;
    case 'away':
      return () => undefined;
    case 'over_limit': {
      tenant.refused();
      const { limit, retryAfterMs } = entry;
      const retryAfterSecs = Number.isFinite(retryAfterMs)
        ? Math.max(1, Math.ceil(retryAfterMs / 1000))
        : undefined;
      throw overLimit(tenant.settings, { kind: 'over_limit', limit, retryAfterSecs }, tokens);
    }
  }
}

/** A stored answer takes no worker: it costs what the operator says. */
function tokensOfHit(rt: Runtime, { decision }: Arrival): number {
  const { prompt_tokens: prompt = 0, completion_tokens: completion = 0 } = decision;
  return Math.round((prompt + completion) * (rt.settings.answerCache?.charge ?? 0));
}

/** Of what cannot be told beforehand one: enough to keep out a tenant that has none left. */
function answerTokens({ endpoint, method }: Arrival, call: Call): number {
  if (endpoint.tokens === undefined) return method === 'POST' ? 1 : 0;
  return endpoint.tokens === 'prompt_and_answer' ? call.maxTokens : 0;
}

/**
 * What the worker told; else an estimate, never more than was set aside: of a stream as much as came of it, of an answer
 * in one piece, of which nothing is known, all.
 */
function tokensUsed({ decision, endpoint, times }: Arrival, promptTokens: number, reserved: number): number {
  if (decision.attempts.length === 0) return 0;
  if (times.head === 0 && decision.outcome === 'client_abort') {
    // A prompt that a worker was computing when its client left has been paid for by somebody.
    if (promptTokens > 0) decision.tokens_estimated = true;
    return promptTokens;
  }
  if (decision.status < 200 || decision.status > 299) return 0;
  const { prompt_tokens: prompt = 0, completion_tokens: completion, tokens_estimated: guessed } = decision;
  if (!guessed) return prompt + (completion ?? 0);
  if (endpoint.tokens === undefined) return 0;
  return completion === undefined ? reserved : Math.min(reserved, prompt + completion);
}
