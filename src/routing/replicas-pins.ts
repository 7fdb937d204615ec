import { LRUCache } from 'lru-cache';
import type { Clock, Timer } from '../base/clock.ts';

/** One session of a policy's scope, and the id of its worker. */
export type ReplicaPin = readonly [scope: string, key: number, worker: string];

/** What routers that share their pins say to each other; what comes from elsewhere may be anything. */
export interface PinsBus {
  publish(message: Buffer): void;
  hear(onMessage: (message: Buffer) => void, onReady: () => void): void;
}

/** Pins wait so long for others to go along with. */
const GATHER_MS = 10;
const MOST_IN_MESSAGE = 1024;
/** Known of all scopes together, to tell those that begin. */
const MOST_PINS = 65_536;
const LONGEST_NAME = 2048;

/** Tells other routers which sessions are pinned here, and says what they have pinned. A router that begins asks for what there is. */
export class PinsOfReplicas {
  readonly #bus: PinsBus;
  readonly #clock: Clock;
  readonly #onPin: (pin: ReplicaPin) => void;
  readonly #onUnreadable: () => void;
  readonly #known = new LRUCache<string, ReplicaPin>({ max: MOST_PINS });
  #gathered: ReplicaPin[] = [];
  #timer: Timer | undefined;

  constructor(
    bus: PinsBus,
    {
      clock,
      onPin,
      onUnreadable,
    }: {
      readonly clock: Clock;
      readonly onPin: (pin: ReplicaPin) => void;
      readonly onUnreadable: () => void;
    },
  ) {
    this.#bus = bus;
    this.#clock = clock;
    this.#onPin = onPin;
    this.#onUnreadable = onUnreadable;
    bus.hear(
      (message) => {
        this.#take(message);
      },
      () => {
        bus.publish(Buffer.from(JSON.stringify({ wanted: true })));
      },
    );
  }

  get size(): number {
    return this.#known.size;
  }

  /** Pinned here. */
  tell(pin: ReplicaPin): void {
    this.#keep(pin);
    this.#gathered.push(pin);
    if (this.#gathered.length >= MOST_IN_MESSAGE) this.#flush();
    else
      this.#timer ??= this.#clock.after(GATHER_MS, () => {
        this.#flush();
      });
  }

  /** What is known of a scope, the one pinned last at the end. */
  of(scope: string): readonly ReplicaPin[] {
    return [...this.#known.values()].filter((pin) => pin[0] === scope).toReversed();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #keep(pin: ReplicaPin): void {
    this.#known.set(`${pin[1]}\n${pin[0]}`, pin);
  }

  #take(message: Buffer): void {
    const said = readMessage(message);
    if (!said) this.#onUnreadable();
    else if (said.kind === 'wanted') this.#tellAll();
    else
      for (const pin of said.pins) {
        const known = this.#known.get(`${pin[1]}\n${pin[0]}`);
        if (known?.[2] !== pin[2]) this.#onPin(pin);
        this.#keep(pin);
      }
  }

  #tellAll(): void {
    const pins = [...this.#known.values()].toReversed();
    for (let from = 0; from < pins.length; from += MOST_IN_MESSAGE)
      this.#publish(pins.slice(from, from + MOST_IN_MESSAGE));
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const pins = this.#gathered;
    this.#gathered = [];
    this.#publish(pins);
  }

  #publish(pins: readonly ReplicaPin[]): void {
    this.#bus.publish(Buffer.from(JSON.stringify({ pins })));
  }
}

type Said = { readonly kind: 'wanted' } | { readonly kind: 'pins'; readonly pins: readonly ReplicaPin[] };

function readMessage(message: Buffer): Said | undefined {
  let value: unknown;
  try {
    value = JSON.parse(message.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if ('wanted' in value) return { kind: 'wanted' };
  if (!('pins' in value) || !Array.isArray(value.pins) || value.pins.length > MOST_IN_MESSAGE)
    return undefined;
  const pins: readonly unknown[] = value.pins;
  return pins.every(isPin) ? { kind: 'pins', pins } : undefined;
}

function isPin(value: unknown): value is ReplicaPin {
  if (!Array.isArray(value) || value.length !== 3) return false;
  const parts: readonly unknown[] = value;
  const [scope, key, worker] = parts;
  const isName = (text: unknown): boolean => typeof text === 'string' && text.length <= LONGEST_NAME;
  return isName(scope) && typeof key === 'number' && Number.isFinite(key) && isName(worker);
}
