import type { SharedState } from './shared-state.ts';

/** The connections to a server end with the last worker there. */
export function dropClientsOfLeft({
  registry,
  connections,
}: Pick<SharedState, 'registry' | 'connections'>): void {
  registry.on(({ type, worker: { spec } }) => {
    if (type !== 'left') return;
    if (!registry.workers.some((worker) => worker.spec.baseUrl === spec.baseUrl)) connections.drop(spec);
  });
}
