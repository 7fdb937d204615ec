import { RouterError } from '../../base/errors.ts';
import type { PriorityClass } from '../../config/settings/settings.ts';
import type { Full, Ticket, WaitOutcome, Waiting } from '../../limits/door.ts';
import type { TenantAccess } from '../../limits/tenant.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { canGoOut } from '../choose/external.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** `max_tokens` is a bound that clients set far above what they expect; what an answer really took is settled at its end. */
const MOST_EXPECTED_TOKENS = 1024;
/** What a request counts that has no tokens to be told, or was answered with an error: it occupies a worker, too. */
const UNTOLD_TOKENS = 64;

/** Requests without a tenant wait in one line. */
const EVERYBODY_ELSE: Pick<TenantAccess, 'name' | 'priorityClass'> = { name: '', priorityClass: 'normal' };

/** Takes the request's place among those in flight, after its turn in the queue. Given back when the request ends. */
export function waitForTurn(
  rt: Runtime,
  arrival: Arrival,
  caller: Caller,
  call: Call,
  deadline: Deadline,
): Promise<void> | void {
  const { name: flow, priorityClass: priority } = caller.tenant ?? EVERYBODY_ELSE;
  if (priority !== 'normal') arrival.decision.priority_class = priority;
  const ticket = rt.admission.enterAtOnce();
  if (ticket) {
    arrival.releases.push(() => ticket.release());
    return;
  }
  if (goesRound(rt, call)) return;
  const entry = rt.admission.enter({ flow, priority, tokens: () => expectedTokens(arrival, call) });
  switch (entry.kind) {
    case 'admitted':
      hold(arrival, entry.ticket);
      return;
    case 'full':
      throw overfull(rt, entry);
    case 'closed':
      throw new RouterError('shutting_down', 'the router is shutting down');
    case 'waiting':
      return queued(rt, arrival, deadline, entry).then((outcome) => settle(rt, arrival, priority, outcome));
  }
}

/** Where a rule lets a request leave the fleet when that is full, it does so instead of waiting; the rate of all holds for it, too. */
function goesRound(rt: Runtime, call: Call): boolean {
  const { external } = call;
  if (external?.when !== 'saturated' || rt.admission.inFlight < rt.settings.admission.maxConcurrent)
    return false;
  if (!canGoOut(rt, call)) return false;
  external.overflows = true;
  return true;
}

function overfull(rt: Runtime, { limit, retryAfterSecs }: Full): RouterError {
  const { ratePerSecond = 0 } = rt.settings.admission;
  return limit === 'rate'
    ? new RouterError(
        'router_rate_exceeded',
        `more than ${ratePerSecond} requests per second come to the router`,
        { retryAfterSecs },
      )
    : new RouterError('queue_full', 'the router has as many requests in flight and waiting as it may', {
        retryAfterSecs,
      });
}

async function queued(
  rt: Runtime,
  arrival: Arrival,
  deadline: Deadline,
  entry: Waiting,
): Promise<WaitOutcome | { readonly kind: 'late' }> {
  const from = rt.clock.now();
  let late = false;
  arrival.client.onGone(() => entry.leave());
  deadline.wakes(() => {
    late = entry.leave();
  });
  // It may have passed before somebody was there to be woken.
  if (deadline.leftMs <= 0) late = entry.leave();
  const outcome = await entry.wait;
  arrival.client.onGone(undefined);
  deadline.wakes(undefined);
  arrival.times.queueMs = rt.clock.now() - from;
  return late ? { kind: 'late' } : outcome;
}

function settle(
  rt: Runtime,
  arrival: Arrival,
  priority: PriorityClass,
  outcome: WaitOutcome | { readonly kind: 'late' },
): void {
  switch (outcome.kind) {
    case 'admitted':
      hold(arrival, outcome.ticket);
      // It left in the moment it was let in: no worker need hear of it.
      if (arrival.client.gone) throw new RouterError('client_closed', 'the client left the queue');
      return;
    case 'full':
      throw overfull(rt, outcome);
    case 'pushed_out':
      rt.metrics.queuePushedOutTotal.with(priority).inc();
      throw new RouterError(
        'queue_full',
        'the queue is full, and the place in it went to a request that had more right to it',
        { retryAfterSecs: outcome.retryAfterSecs },
      );
    case 'timeout':
      throw new RouterError(
        'queue_timeout',
        `no turn came within ${rt.settings.admission.queueTimeoutMs / 1000} s`,
      );
    case 'left':
      throw new RouterError('client_closed', 'the client left the queue');
    case 'late':
      throw new RouterError('deadline_exceeded', 'the time for the request ran out in the queue');
    case 'closed':
      throw new RouterError('shutting_down', 'the router is shutting down');
  }
}

/** Keeps the ticket to the end of the request; by then the record knows what it took. */
function hold(arrival: Arrival, ticket: Ticket): void {
  arrival.releases.push(() => {
    const tokens = tokensTaken(arrival);
    if (tokens !== undefined) ticket.settle(tokens);
    ticket.release();
  });
}

function expectedTokens({ endpoint }: Arrival, { ask, maxTokens }: Call): number {
  if (endpoint.tokens === undefined) return UNTOLD_TOKENS;
  const answer = endpoint.tokens === 'prompt_and_answer' ? Math.min(maxTokens, MOST_EXPECTED_TOKENS) : 0;
  return ask.promptTokens() + answer;
}

/** Undefined when nothing is known of it, although a worker has had the request: then the estimate stands. */
function tokensTaken({ decision, endpoint }: Arrival): number | undefined {
  const { attempts, status, prompt_tokens: prompt, completion_tokens: completion } = decision;
  if (attempts.length === 0) return 0;
  if (status >= 400) return UNTOLD_TOKENS;
  if (endpoint.tokens === undefined || (prompt === undefined && completion === undefined)) return undefined;
  if (decision.tokens_estimated && completion === undefined) return undefined;
  return (prompt ?? 0) + (completion ?? 0);
}
