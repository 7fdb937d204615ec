import { Histogram } from '../server/histogram.ts';

/** Bounds of vLLM's `NixlPromMetrics`. */
const XFER_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 5];
const BYTES_BOUNDS = Array.from({ length: 12 }, (_, i) => 2 ** (11 + 2 * i));
const DESCRIPTOR_BOUNDS = [10, 20, 30, 50, 75, 100, 200, 400, 1000, 2000, 4000, 10000, 20000, 50000];

/** What one engine counts of its transfers, under the names of vLLM's `nixl_` metrics. */
export class TransferStats {
  readonly xferTime = new Histogram(XFER_BOUNDS);
  readonly bytes = new Histogram(BYTES_BOUNDS);
  readonly descriptors = new Histogram(DESCRIPTOR_BOUNDS);
  /** Loads that failed, whatever of them: nobody there, another engine, no such blocks. */
  failedTransfers = 0;
  /** Word that blocks were read and may go, which reached nobody. */
  failedNotifications = 0;
  /** At who computed them: blocks that nobody fetched in time. */
  expired = 0;
  /** At who computed them: word of blocks that had gone. */
  lateNotifications = 0;
}
