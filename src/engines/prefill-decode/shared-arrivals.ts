import type { Channel, Channels, MessageKind } from '../../base/channel.ts';
import type { Expect } from './arrivals.ts';

/** To control: the thread waits for the blocks of `key`. `id` counts its waits. */
const WANTED: MessageKind<{ readonly id: number; readonly key: string; readonly times: number }> = {
  name: 'arrivals:wanted',
};
/** To control: the wait of that id is over for another reason. */
const GIVEN_UP: MessageKind<number> = { name: 'arrivals:given_up' };
/** To the thread: they have arrived. */
const ARRIVED: MessageKind<number> = { name: 'arrivals:arrived' };

/** In control, where announcements are received: lets request threads wait for them. */
export function serveArrivals(expect: Expect, channels: Channels): void {
  /** By row of the thread, and by id: what ends it. */
  const waits = new Map<number, Map<number, () => void>>();
  channels.on(WANTED, (row, { id, key, times }) => {
    const ofThread = waits.get(row) ?? new Map<number, () => void>();
    waits.set(row, ofThread);
    let isOver = false;
    const forget = expect(key, times, () => {
      isOver = true;
      ofThread.delete(id);
      channels.to(row)?.post(ARRIVED, id);
    });
    if (!isOver) ofThread.set(id, forget);
  });
  channels.on(GIVEN_UP, (row, id) => {
    waits.get(row)?.get(id)?.();
    waits.get(row)?.delete(id);
  });
  channels.onEnded((row) => {
    for (const forget of waits.get(row)?.values() ?? []) forget();
    waits.delete(row);
  });
}

/** In a request thread. */
export function arrivalsOfThread(channel: Channel): Expect {
  const waiting = new Map<number, () => void>();
  let count = 0;
  channel.on(ARRIVED, (id) => {
    const onArrived = waiting.get(id);
    waiting.delete(id);
    onArrived?.();
  });
  return (key, times, onArrived) => {
    const id = count;
    count += 1;
    waiting.set(id, onArrived);
    channel.post(WANTED, { id, key, times });
    return () => {
      if (waiting.delete(id)) channel.post(GIVEN_UP, id);
    };
  };
}
