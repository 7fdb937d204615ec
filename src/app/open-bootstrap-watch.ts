import { BootstrapWatch } from '../engines/prefill-decode/bootstrap-watch.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { SharedState } from './shared-state.ts';

/** Asks prefill workers with Mooncake for the ids of their engines, and says what comes of it once per change. */
export function openBootstrapWatch(state: SharedState<WorkerRegistry>): BootstrapWatch {
  const { registry, clock, connections, metrics, log } = state;
  return new BootstrapWatch({
    ...{ registry, clock },
    connector: () => state.settings.pd.connector,
    ask: (worker) => connections.askBootstrap(worker),
    onAnswer: ({ id: worker }, answer, isNew) => {
      metrics.pdBootstrapQueriesTotal.with(worker, answer.kind).inc();
      if (!isNew) return;
      if (answer.kind === 'told')
        log.info(
          { worker, engine_ids: answer.engineIds },
          'the bootstrap server of the worker says its engines',
        );
      else
        log.warn(
          { worker, reason: answer.reason },
          'the bootstrap server of the worker does not say its engines: it is asked again, and gets no prompts by Mooncake before',
        );
    },
  });
}
