import { histogramLines, type Histogram } from '../server/histogram.ts';
import type { SimState } from '../server/sim-state.ts';
import type { TransferStats } from './transfer-stats.ts';

const HISTOGRAMS: readonly (readonly [
  name: string,
  help: string,
  read: (stats: TransferStats) => Histogram,
])[] = [
  ['xfer_time_seconds', 'Duration of NIXL KV cache transfers.', (stats) => stats.xferTime],
  ['bytes_transferred', 'Bytes of NIXL KV cache transfers.', (stats) => stats.bytes],
  ['num_descriptors', 'Descriptors of NIXL KV cache transfers.', (stats) => stats.descriptors],
];

const COUNTERS: readonly (readonly [name: string, help: string, read: (stats: TransferStats) => number])[] = [
  // As in vLLM, where one of them includes the other.
  [
    'num_failed_transfers',
    'Failed NIXL KV cache transfers, notifications included.',
    (stats) => stats.failedTransfers + stats.failedNotifications,
  ],
  ['num_failed_notifications', 'Failed NIXL KV cache notifications.', (stats) => stats.failedNotifications],
  ['num_kv_expired_reqs', 'Requests whose KV expired here.', (stats) => stats.expired],
  [
    'num_notifications_after_expiry',
    'Notifications of requests that were no longer tracked.',
    (stats) => stats.lateNotifications,
  ],
];

/** Where lines of `/metrics` are put together. */
export interface MetricText {
  readonly lines: string[];
  readonly family: (name: string, type: string, help: string) => void;
  /** By rank. */
  readonly label: (engine: number, more?: string) => string;
}

/** vLLM has metrics of its NIXL connectors alone. */
export function transferLines({ kvTransfer, engines }: SimState, { lines, family, label }: MetricText): void {
  if (kvTransfer?.settings.connector !== 'nixl' && kvTransfer?.settings.connector !== 'nixl-push') return;
  for (const [name, help, read] of HISTOGRAMS) {
    family(`nixl_${name}`, 'histogram', help);
    for (const [i, engine] of engines.entries())
      histogramLines(lines, `nixl_${name}`, (more) => label(i, more), read(kvTransfer.statsOf(engine)));
  }
  for (const [name, help, read] of COUNTERS) {
    family(`nixl_${name}`, 'counter', help);
    for (const [i, engine] of engines.entries())
      lines.push(`vllm:nixl_${name}_total${label(i)} ${read(kvTransfer.statsOf(engine))}`);
  }
}
