/** What the index thread does: follows the events of all workers, and keeps what they say in the memory that it was handed. */
import type { Channel } from '../../base/channel.ts';
import type { Clock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { systemClock } from '../../base/system-clock.ts';
import { zmtpTransport } from '../../zmtp/transport.ts';
import { EventSubscriptions } from '../events/event-subscriptions.ts';
import { ExactIndex } from '../exact/exact-index.ts';
import type { ExactRow } from '../exact/row-table.ts';
import { ReportTurns } from './report-turns.ts';
import { EVENTS_REPORT, FOLLOW, type IndexThreadStart } from './thread-messages.ts';

const REPORT_EVERY_MS = 250;

export function serve({ memory }: IndexThreadStart, channel: Channel): void {
  const clock = systemClock;
  const index = new ExactIndex(memory);
  const transport = zmtpTransport({ clock, random: systemRandom });
  const subscriptions = new EventSubscriptions<ExactRow>({ sink: index, transport, clock });
  channel.on(FOLLOW, ({ workers, bind }) => {
    subscriptions.apply(workers);
    subscriptions.bind(bind);
  });
  reportTo(channel, { clock, index, subscriptions });
}

function reportTo(
  channel: Channel,
  of: {
    readonly clock: Clock;
    readonly index: ExactIndex;
    readonly subscriptions: EventSubscriptions<ExactRow>;
  },
): void {
  const { clock, index, subscriptions } = of;
  const turns = new ReportTurns();
  let isSweeping = false;
  // In pieces, so that no message waits for it.
  const sweep = (): void => {
    isSweeping = index.sweep();
    if (isSweeping) setImmediate(sweep);
  };
  const timer = clock.after(REPORT_EVERY_MS, () => {
    if (!isSweeping) sweep();
    const { workers, ...report } = subscriptions.report;
    const { entries, bytes, counts } = index;
    channel.post(EVENTS_REPORT, {
      ...report,
      workers: turns.choose(workers),
      index: { entries, bytes, ...counts },
    });
    timer.refresh();
  });
}
