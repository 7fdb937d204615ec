import { RouterError } from '../base/errors.ts';
import type { WaitOutcome, Waiting } from '../limits/admission.ts';
import type { Arrival } from './arrival.ts';
import type { Caller } from './caller.ts';
import type { Deadline } from './deadline.ts';
import type { Call } from './read-call.ts';
import type { Runtime } from './runtime.ts';

/** Takes the request's place among those in flight, after its turn in the queue. Given back when the request ends. */
export function waitForTurn(
  rt: Runtime,
  arrival: Arrival,
  caller: Caller,
  call: Call,
  deadline: Deadline,
): Promise<void> | void {
  void caller;
  void call;
  const entry = rt.admission.enter();
  switch (entry.kind) {
    case 'admitted':
      arrival.releases.push(() => entry.ticket.release());
      return;
    case 'full':
      throw new RouterError('queue_full', 'the router has as many requests in flight and waiting as it may', {
        retryAfterSecs: entry.retryAfterSecs,
      });
    case 'closed':
      throw new RouterError('shutting_down', 'the router is shutting down');
    case 'waiting':
      return queued(rt, arrival, deadline, entry).then((outcome) => settle(rt, arrival, outcome));
  }
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
  const outcome = await entry.wait;
  arrival.client.onGone(undefined);
  deadline.wakes(undefined);
  arrival.times.queueMs = rt.clock.now() - from;
  return late ? { kind: 'late' } : outcome;
}

function settle(rt: Runtime, arrival: Arrival, outcome: WaitOutcome | { readonly kind: 'late' }): void {
  switch (outcome.kind) {
    case 'admitted':
      arrival.releases.push(() => outcome.ticket.release());
      return;
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
