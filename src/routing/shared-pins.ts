import { LRUCache } from 'lru-cache';
import type { Channel, Channels, MessageKind } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { PinLink } from './policy.ts';

/** One session of a policy's scope, and the id of its worker. */
type ToldPin = readonly [scope: string, key: number, worker: string];

/** To control: made in this thread. To a thread: these hold, in this order. */
export const PINS: MessageKind<readonly ToldPin[]> = { name: 'pins:told' };
/** To control: a policy of this scope begins in this thread, and wants those that there are. */
export const PINS_WANTED: MessageKind<string> = { name: 'pins:wanted' };

const MOST_PINS = 65_536;
const MOST_IN_MESSAGE = 2048;
/** Pins wait so long for others to go along with. */
const GATHER_MS = 1;
const MOST_SCOPES = 2048;

/** Gives each policy its end, by scope. */
export interface SharedPins {
  link(scope: string): PinLink;
}

/** In a request thread: what is pinned here goes to control, and what control says holds. */
export class PinsOfThread implements SharedPins {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #listeners = new LRUCache<string, (key: number, worker: string) => void>({ max: MOST_SCOPES });
  #gathered: ToldPin[] = [];
  #timer: Timer | undefined;

  constructor(channel: Channel, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
    channel.on(PINS, (pins) => {
      for (const [scope, key, worker] of pins) this.#listeners.get(scope)?.(key, worker);
    });
  }

  link(scope: string): PinLink {
    return {
      tell: (key, worker) => {
        this.#tell([scope, key, worker]);
      },
      hear: (listener) => {
        this.#listeners.set(scope, listener);
        this.#channel.post(PINS_WANTED, scope);
      },
    };
  }

  #tell(pin: ToldPin): void {
    this.#gathered.push(pin);
    if (this.#gathered.length >= MOST_IN_MESSAGE) this.#flush();
    else
      this.#timer ??= this.#clock.after(GATHER_MS, () => {
        this.#flush();
      });
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const pins = this.#gathered;
    this.#gathered = [];
    this.#channel.post(PINS, pins);
  }
}

/** In control: says to all threads, its author among them, what has been pinned, in one order, and to new ones what holds. */
export class PinsOfThreads implements SharedPins {
  readonly #pins = new LRUCache<string, ToldPin>({ max: MOST_PINS });

  readonly #channels: Channels;

  /** @param onTold Hears what is pinned in this router. */
  constructor(channels: Channels, onTold: (pin: ToldPin) => void = () => undefined) {
    this.#channels = channels;
    channels.on(PINS, (_row, pins) => {
      for (const pin of pins) {
        this.#pins.set(`${pin[1]}\n${pin[0]}`, pin);
        onTold(pin);
      }
      channels.broadcast(PINS, pins);
    });
    channels.on(PINS_WANTED, (row, scope) => {
      const channel = channels.to(row);
      const wanted = [...this.#pins.values()].filter((pin) => pin[0] === scope).toReversed();
      for (let from = 0; from < wanted.length; from += MOST_IN_MESSAGE)
        channel?.post(PINS, wanted.slice(from, from + MOST_IN_MESSAGE));
    });
  }

  /** Another router has pinned it. */
  hear(pin: ToldPin): void {
    this.#pins.set(`${pin[1]}\n${pin[0]}`, pin);
    this.#channels.broadcast(PINS, [pin]);
  }

  /** Control routes nothing. Where it makes a policy anew, those in the threads begin anew as well. */
  link(scope: string): PinLink {
    for (const [at, pin] of this.#pins) if (pin[0] === scope) this.#pins.delete(at);
    return { tell: () => undefined, hear: () => undefined };
  }
}
