import { accessLine } from '../../observe/access-line.ts';
import { recordDecision } from '../../observe/record-decision.ts';
import type { Arrival } from '../arrive/arrival.ts';
import { readable, roundMs } from './decision.ts';
import { routerMs } from '../answer/response-headers.ts';
import type { Runtime } from '../runtime.ts';

/** The one exit of every request: gives everything back, completes the record, and shows it to whoever looks. */
export function finish(rt: Runtime, arrival: Arrival): void {
  for (const release of arrival.releases) release();
  const { decision, times, startedAt, endpoint } = arrival;
  const now = rt.clock.now();
  decision.total_ms = roundMs(now - startedAt);
  decision.duration_ms =
    decision.stream && times.head > 0 ? roundMs(times.head - startedAt) : decision.total_ms;
  decision.queue_ms = roundMs(times.queueMs);
  if (times.waitMs > 0) decision.wait_ms = roundMs(times.waitMs);
  if (decision.status === 0) decision.status = arrival.client.gone ? 499 : 500;
  const quiet = endpoint.class === 'local';
  if (times.dispatched > 0) decision.overhead_ms = roundMs(routerMs(arrival, now));
  recordDecision(rt.metrics, decision, boundedModel(rt, decision.model));
  if (!quiet) {
    rt.decisions.push(decision);
    if (rt.decisionLog) rt.decisionLog.push({ ...readable(decision), ...arrival.recordedPrompt });
  }
  const probe = quiet && endpoint.open === true && decision.error === undefined;
  const wanted = probe ? rt.log.isLevelEnabled('debug') : !quiet || decision.status >= 400;
  if (rt.settings.log.accessLog && wanted) {
    const line = accessLine(decision);
    rt.log[probe ? 'debug' : line.level](line.fields, line.message);
  }
  if (!quiet && rt.log.isLevelEnabled('debug')) rt.log.debug({ decision: readable(decision) }, 'decision');
}

/** Clients choose model names; labels only know those that a worker lists or a rule leads to. */
export function boundedModel(rt: Runtime, model: string | undefined): string {
  if (model === undefined) return '';
  if (rt.registry.membersFor(model).listed) return model;
  return rt.settings.modelRules?.targets.has(model) === true ? model : 'other';
}
