import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { systemClock } from '../base/system-clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { eventWorkerOf } from '../cache-knowledge/events/event-sources.ts';
import type { ExactCaches } from '../cache-knowledge/exact-caches.ts';
import { EventIndex } from '../cache-knowledge/index-thread/event-index.ts';
import { EventIndexView } from '../cache-knowledge/index-thread/event-index-view.ts';
import { EventWatch, type WorkerEventsView } from '../cache-knowledge/index-thread/event-watch.ts';
import type { Settings } from '../config/settings/settings.ts';
import { startHelper } from '../helper-threads/helper-thread.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Roster } from '../workers/roster.ts';
import type { Worker } from '../workers/worker.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Roster;
  /** Those in force. */
  readonly settings: () => Settings;
}

/** What this thread knows of the caches of workers by the events of their engines. */
export interface OpenEvents {
  /** What policies may ask; undefined while no events are received. */
  readonly caches: () => ExactCaches | undefined;
  /** Of the thread that has them received; undefined in a request thread. */
  readonly index: EventIndex | undefined;
  /** What is known of the worker's events; undefined in a request thread. */
  readonly viewOf: (worker: Worker) => WorkerEventsView | undefined;
  reconfigure(): void;
  close(): Promise<void>;
}

/** Whoever is in control has the events received, in a thread of their own, and tells it of the workers that there are. */
export function openEvents(parts: Parts): OpenEvents {
  const { part, registry, settings, metrics, ...deps } = parts;
  if (part.kind === 'request') {
    const view = new EventIndexView(part.channel);
    return {
      caches: () => view.caches,
      index: undefined,
      viewOf: () => undefined,
      reconfigure: () => undefined,
      close: () => Promise.resolve(),
    };
  }
  const index: EventIndex = new EventIndex({
    ...deps,
    channels: part.kind === 'control' ? part.channels : undefined,
    maxBytes: () => settings().kvEvents.maxIndexBytes,
    following: () => {
      const { kvEvents } = settings();
      return {
        workers: registry.fleet.map((worker) => eventWorkerOf(worker, kvEvents)),
        bind: kvEvents.bind,
      };
    },
    // Whether the thread still moves shows in real time, whatever clock the router goes by.
    startHelper: (helper) => startHelper({ ...helper, ...deps, clock: systemClock, metrics }),
    onReport: (report) => {
      watch.reported(report);
    },
  });
  const watch = new EventWatch(parts, index);
  registry.onFleet(({ type, worker }) => {
    if (type === 'joined') index.joined(worker);
    else if (type === 'left') {
      index.left(worker);
      watch.left(worker);
    } else if (type === 'models' || type === 'traits' || type === 'facts') index.changed();
    if (type === 'facts' || type === 'healthy') watch.look(worker);
  });
  return {
    caches: () => index.caches,
    index,
    viewOf: (worker) => watch.of(worker),
    reconfigure: () => {
      index.changed();
    },
    close: () => index.close(),
  };
}
