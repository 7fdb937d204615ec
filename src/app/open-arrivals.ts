import type { Clock } from '../base/clock.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { Settings } from '../config/settings/settings.ts';
import { Announcements } from '../engines/prefill-decode/announcements.ts';
import { AwaitedArrivals, type Arrivals, type Expect } from '../engines/prefill-decode/arrivals.ts';
import { listenForNotices, type NoticeListener } from '../engines/prefill-decode/lmcache-notices.ts';
import { arrivalsOfThread, serveArrivals } from '../engines/prefill-decode/shared-arrivals.ts';
import type { Metrics } from '../observe/metrics.ts';
import { listenAt } from './start-error.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Those in force. */
  readonly settings: () => Settings;
}

/** Blocks that LMCache brings from one worker to another, and says so. */
export interface OpenArrivals {
  readonly knowledge: Arrivals;
  /** Takes notices, where that is configured. Rejects with a `StartError` where nobody can listen there; for control alone. */
  listen(): Promise<void>;
  close(): Promise<void>;
}

/** Whoever is in control takes the notices; every thread may wait for one. */
export function openArrivals({ part, clock, metrics, settings }: Parts): OpenArrivals {
  const awaited = (expect: Expect): Arrivals =>
    new AwaitedArrivals({
      ...{ clock, expect, timeoutMs: () => settings().pd.notices.timeoutMs },
      onEnd: (end) => {
        metrics.pdArrivalWaitsTotal.with(end).inc();
      },
    });
  if (part.kind === 'request') {
    const nothing = (): Promise<void> => Promise.resolve();
    return { knowledge: awaited(arrivalsOfThread(part.channel)), listen: nothing, close: nothing };
  }
  const count = (end: string, by = 1): void => {
    metrics.pdArrivalNoticesTotal.with(end).inc(by);
  };
  const announcements = new Announcements({ clock, onEnd: count });
  if (part.kind === 'control') serveArrivals(announcements.expect, part.channels);
  let listener: NoticeListener | undefined;
  return {
    knowledge: awaited(announcements.expect),
    async listen() {
      const { address } = settings().pd.notices;
      if (address === undefined) return;
      listener = await listenAt(address, '--pd-lmcache-notices', (endpoint) =>
        listenForNotices(
          endpoint,
          { clock },
          {
            onNotice: (id) => {
              announcements.announced(id);
            },
            onMalformed: () => {
              count('malformed');
            },
            onRefused: () => {
              count('refused');
            },
          },
        ),
      );
    },
    async close() {
      await listener?.close();
      announcements.close();
    },
  };
}
