import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { CacheCapacities } from '../cache-knowledge/cache-capacities.ts';
import { PredictedIndex, type IndexBounds } from '../cache-knowledge/predicted-index.ts';
import { PredictedIndexView } from '../cache-knowledge/predicted-index-view.ts';
import type { RoutedBlocks } from '../cache-knowledge/record-ring.ts';
import { ThreadsIndex } from '../cache-knowledge/threads-index.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { PoliciesDeps } from '../request/choose/policies.ts';
import type { Roster } from '../workers/roster.ts';

interface Parts {
  /** Told of what this router has routed. */
  readonly onRouted: (record: RoutedBlocks) => void;
  readonly registry: Roster;
  readonly metrics: Metrics;
  readonly bounds: () => IndexBounds;
}

/** Where the policies of this thread get the predicted index from: its own, or its end of the one that all threads have. */
export function openIndexFor(
  { part, clock }: { readonly part: ThreadPart; readonly clock: Clock },
  { registry, metrics, bounds, onRouted }: Parts,
): Pick<PoliciesDeps, 'openIndex' | 'threadsIndex'> {
  const capacityOf = (): ((slot: number) => number) => {
    const capacities = new CacheCapacities(registry);
    return (slot) => capacities.of(slot);
  };
  switch (part.kind) {
    case 'alone': {
      const known = { clock, onRouted, capacityOf: capacityOf() };
      return { openIndex: () => new PredictedIndex({ ...known, ...bounds() }) };
    }
    case 'request': {
      const view = new PredictedIndexView(part.channel, clock);
      return { openIndex: () => view.open() };
    }
    case 'control': {
      const { memory, channels } = part;
      const isPresent = (slot: number, generation: number): boolean =>
        registry.at({ slot, generation }) !== undefined;
      const index = new ThreadsIndex({
        ...{ memory, channels, clock, bounds, isPresent, onRouted },
        capacityOf: capacityOf(),
      });
      metrics.cacheIndexRecordsDroppedTotal.onCollect((family) => {
        const counter = family.with();
        counter.inc(index.dropped - counter.value);
      });
      return { openIndex: () => index.open(), threadsIndex: () => index.current };
    }
  }
}
