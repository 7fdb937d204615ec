import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { PredictedIndex, type IndexBounds } from '../cache-knowledge/predicted-index.ts';
import { PredictedIndexView } from '../cache-knowledge/predicted-index-view.ts';
import { ThreadsIndex } from '../cache-knowledge/threads-index.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { PoliciesDeps } from '../request/choose/policies.ts';
import type { WorkerRegistry } from '../workers/registry.ts';

interface Parts {
  readonly registry: WorkerRegistry;
  readonly metrics: Metrics;
  readonly bounds: () => IndexBounds;
}

/** Where the policies of this thread get the predicted index from: its own, or its end of the one that all threads have. */
export function openIndexFor(
  { part, clock }: { readonly part: ThreadPart; readonly clock: Clock },
  { registry, metrics, bounds }: Parts,
): Pick<PoliciesDeps, 'openIndex' | 'threadsIndex'> {
  switch (part.kind) {
    case 'alone':
      return { openIndex: () => new PredictedIndex({ clock, ...bounds() }) };
    case 'request': {
      const view = new PredictedIndexView(part.channel);
      return { openIndex: () => view.open() };
    }
    case 'control': {
      const { memory, channels } = part;
      const generationOf = generations(registry);
      const index = new ThreadsIndex({ memory, channels, clock, bounds, generationOf });
      metrics.cacheIndexRecordsDroppedTotal.onCollect((family) => {
        const counter = family.with();
        counter.inc(index.dropped - counter.value);
      });
      return { openIndex: () => index.open(), threadsIndex: () => index.current };
    }
  }
}

/** The generation of the worker that is in a slot, kept by slot: it is asked for with every prompt. */
function generations(registry: WorkerRegistry): (slot: number) => number | undefined {
  const bySlot: (number | undefined)[] = [];
  for (const { slot, generation } of registry.workers) bySlot[slot] = generation;
  registry.on(({ type, worker: { slot, generation } }) => {
    if (type === 'joined') bySlot[slot] = generation;
    else if (type === 'left' && bySlot[slot] === generation) bySlot[slot] = undefined;
  });
  return (slot) => bySlot[slot];
}
