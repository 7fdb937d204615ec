import type { ThreadPart } from '../base/thread-part.ts';
import type { OpenLog } from '../observe/log.ts';
import { PRIORITY_CLASSES } from '../limits/fair-queue.ts';
import { BREAKER_STATE_CODES } from '../workers/breaker.ts';
import { PROGRESS_STATE_CODES, type ProgressState } from '../workers/progress.ts';
import type { RegistryEvent } from '../workers/roster.ts';
import type { Worker } from '../workers/worker.ts';
import type { Runtime } from './runtime.ts';

/** What becomes of the lines of the log. */
export type LogCounts = Pick<OpenLog, 'dropped' | 'reopened'>;

/**
 * Feeds the series that show state rather than requests: at each scrape, and when a worker changes. All of it is of the whole
 * router, and said by control.
 */
export function observeRuntime(
  rt: Runtime,
  log: LogCounts | undefined,
  kind: ThreadPart['kind'] = 'alone',
): void {
  if (kind === 'request') {
    // Its series of a worker come and go as those of control do.
    rt.registry.on(({ type, worker }) => {
      if (type === 'joined') rt.metrics.workerJoined(worker.id);
      else if (type === 'left') rt.metrics.workerLeft(worker.id);
    });
    return;
  }
  rt.registry.on((event) => {
    onWorkerEvent(rt, event);
  });
  observeWorkers(rt);
  observeRequests(rt);
  observeLogs(rt, log);
}

/** Out of the registry, the ledger, the breakers and the index, which are of the whole process. */
function observeWorkers(rt: Runtime): void {
  const { metrics, registry } = rt;
  metrics.workerLoad.onCollect((family) => {
    for (const worker of registry.workers) family.with(worker.id).set(rt.ledger.running(worker.slot));
  });
  metrics.runningRequests.onCollect((family) => {
    for (const worker of registry.workers) family.with(worker.id).set(rt.ledger.own(worker.slot));
  });
  metrics.treeSize.onCollect((family) => {
    if (rt.cacheIndex)
      for (const worker of registry.workers) family.with(worker.id).set(rt.cacheIndex.entriesOf(worker.slot));
  });
  metrics.cbState.onCollect((family) => {
    const now = rt.clock.now();
    for (const worker of registry.workers)
      family.with(worker.id).set(BREAKER_STATE_CODES[worker.breaker.state(now)]);
  });
  metrics.maxLoad.onCollect((family) => {
    family.with().set(Math.max(0, ...loads(rt)));
  });
  metrics.minLoad.onCollect((family) => {
    const all = loads(rt);
    family.with().set(all.length === 0 ? 0 : Math.min(...all));
  });
}

/** Control writes the logs, and is told what request threads gave up. */
function observeLogs(rt: Runtime, log: LogCounts | undefined): void {
  const { metrics } = rt;
  metrics.decisionLogRecordsTotal.onCollect((family) => {
    const { decisionLog } = rt;
    if (!decisionLog) return;
    const written = family.with('written');
    written.inc(decisionLog.written - written.value);
    const dropped = family.with('dropped');
    dropped.inc(decisionLog.dropped - dropped.value);
  });
  metrics.logLinesDroppedTotal.onCollect((family) => {
    const counter = family.with();
    counter.inc((log?.dropped() ?? 0) - counter.value);
  });
  metrics.logFilesReopenedTotal.onCollect((family) => {
    const files = family.with('log_dir');
    files.inc((log?.reopened() ?? 0) - files.value);
    if (!rt.decisionLog) return;
    const decisions = family.with('decision_log');
    decisions.inc(rt.decisionLog.reopened - decisions.value);
  });
}

/** Out of admission, tenants and the bounds of the process, which are counted for all threads together. */
function observeRequests(rt: Runtime): void {
  const { metrics } = rt;
  metrics.inflightRequests.onCollect((family) => {
    family.with().set(rt.admission.inFlight);
  });
  metrics.queuedRequests.onCollect((family) => {
    for (const priority of PRIORITY_CLASSES) family.with(priority).set(rt.admission.queuedOf(priority));
  });
  metrics.queueFlows.onCollect((family) => {
    family.with().set(rt.admission.flowCount);
  });
  metrics.tenantInflightRequests.onCollect((family) => {
    for (const tenant of rt.clients.tenants.all()) family.with(tenant.access.name).set(tenant.inFlight);
  });
  metrics.engineWaitingRequests.onCollect((family) => {
    family.with().set(rt.workerWait.size);
  });
  metrics.sockets.onCollect((family) => {
    family.with('client').set(rt.seats.taken);
    family.with('worker').set(rt.sockets.open);
  });
  metrics.socketsLimit.onCollect((family) => {
    for (const [side, { limit }] of [
      ['client', rt.seats],
      ['worker', rt.sockets],
    ] as const)
      if (Number.isFinite(limit)) family.with(side).set(limit);
  });
  metrics.decisionRingRecords.onCollect((family) => {
    family.with().set(rt.decisions.size);
  });
  metrics.decisionRingBytes.onCollect((family) => {
    family.with().set(rt.decisions.bytes);
  });
  metrics.inflightBodyBytes.onCollect((family) => {
    family.with().set(rt.bodyBytes.held);
  });
}

function loads(rt: Runtime): number[] {
  return rt.registry.fleet
    .filter((worker) => worker.health.healthy)
    .map((worker) => rt.ledger.running(worker.slot));
}

function onWorkerEvent(rt: Runtime, event: RegistryEvent): void {
  const { metrics, log } = rt;
  const { id } = event.worker;
  switch (event.type) {
    case 'joined':
      metrics.workerJoined(id);
      return;
    case 'left':
      metrics.workerLeft(id);
      rt.cacheIndex?.forget(event.worker.slot);
      return;
    case 'waiting':
      log.warn({ worker: id, reason: event.worker.health.reason }, 'worker is not healthy yet');
      return;
    case 'healthy':
      metrics.workerHealth.with(id).set(1);
      log.info({ worker: id }, 'worker is healthy');
      return;
    case 'unhealthy':
      metrics.workerHealth.with(id).set(0);
      // An engine that was gone comes back with an empty cache.
      rt.cacheIndex?.forget(event.worker.slot);
      log.warn({ worker: id, reason: event.worker.health.reason }, 'worker is unhealthy');
      return;
    case 'models':
      onModels(rt, event.worker);
      return;
    case 'asleep':
    case 'awake':
      metrics.workerAsleep.with(id).set(event.type === 'asleep' ? 1 : 0);
      log.info(
        { worker: id, engine: event.worker.engine },
        `the engine of the worker is ${event.worker.engine}`,
      );
      return;
    case 'moving':
    case 'suspect':
    case 'stalled':
      onProgress(rt, event.worker, event.type);
      return;
    case 'traits':
    case 'facts':
    case 'undrained':
    case 'unreachable':
    case 'models_doubted':
    case 'transfer_failed':
      return;
    case 'breaker':
      metrics.cbStateTransitionsTotal.with(id, event.from, event.to).inc();
      log.warn({ worker: id, from: event.from, to: event.to }, 'circuit breaker changed');
  }
}

function onProgress({ metrics, log, clock }: Runtime, { id, progress }: Worker, to: ProgressState): void {
  metrics.workerProgress.with(id).set(PROGRESS_STATE_CODES[to]);
  metrics.workerProgressTransitionsTotal.with(id, to).inc();
  const silent_secs = Math.round(progress.silentMs(clock.now()) / 1000);
  if (to === 'moving') log.info({ worker: id }, 'the worker moves again');
  else if (to === 'suspect')
    log.warn({ worker: id, silent_secs }, 'nothing comes from the worker: it is suspect, and is probed');
  else log.warn({ worker: id, silent_secs }, 'the worker has stalled: it did not answer a probe either');
}

function onModels({ log }: Runtime, { id, models, traits }: Worker): void {
  log.info({ worker: id, models: [...models] }, 'worker serves these models');
  if (traits.modelId !== undefined && !models.has(traits.modelId))
    log.warn(
      { worker: id, model_id: traits.modelId, models: [...models] },
      'the worker does not list the model it was registered for, and gets no requests for it',
    );
}
