/** A network of publishers in virtual time: connections come and go, messages are lost, replays are answered or not. */
import type { Clock } from '../../src/base/clock.ts';
import type {
  BoundEvents,
  Closable,
  RequestEvents,
  SubscriptionEvents,
  Transport,
} from '../../src/zmtp/transport.ts';
import { seqFrame, type KvEngine, type Published } from './kv-engine.ts';

const TOPIC = Buffer.from('kv-events');
const EMPTY = Buffer.alloc(0);
const END = Buffer.alloc(8, 0xff);
/** How long a replay's answer is on its way. */
const REPLAY_MS = 20;

export type ReplayManner = 'answers' | 'refuses' | 'hangs' | 'breaks off' | 'tears';

/** So many get through of an answer that is torn, and the last one. */
const UNTORN = 3;

/** What listens at one host. */
export class ScriptedPublisher {
  engine: KvEngine;
  replay: ReplayManner = 'answers';
  /** Frames of older vLLM have no topic in replays. */
  olderFraming = false;
  /** Replays that were asked for: the number from which on. */
  readonly asked: number[] = [];
  readonly subscribers = new Set<SubscriptionEvents>();
  #isUp = false;

  constructor(engine: KvEngine) {
    this.engine = engine;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  up(): void {
    this.#isUp = true;
    for (const subscriber of this.subscribers) subscriber.onReady();
  }

  down(): void {
    this.#isUp = false;
    for (const subscriber of this.subscribers) subscriber.onDown('closed', 'the connection was closed');
  }

  /** Sends a message to whoever listens now. */
  send({ seq, payload }: Published): void {
    this.sendFrames(TOPIC, seqFrame(seq), payload);
  }

  sendFrames(...frames: readonly Buffer[]): void {
    if (!this.#isUp) return;
    // What was read stands in memory that is used again.
    const copies = frames.map((frame) => Buffer.from(frame));
    for (const subscriber of this.subscribers) subscriber.onMessage(copies);
    for (const copy of copies) copy.fill(0xee);
  }
}

export class ScriptedTransport implements Transport {
  /** By endpoint. */
  readonly publishers = new Map<string, ScriptedPublisher>();
  bound: { readonly endpoint: string; readonly events: BoundEvents } | undefined;
  /** Why nobody can listen. */
  bindError: Error | undefined;
  readonly #clock: Clock;
  #open = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Subscriptions, requests and listeners that were not closed and have not ended. */
  get open(): number {
    return this.#open;
  }

  subscribe(endpoint: string, _topic: string, events: SubscriptionEvents): Closable | undefined {
    const publisher = this.publishers.get(endpoint);
    if (!publisher) return undefined;
    this.#open += 1;
    publisher.subscribers.add(events);
    // Not within the call, as a real one.
    this.#clock.after(0, () => {
      if (publisher.isUp && publisher.subscribers.has(events)) events.onReady();
    });
    return this.#closable(() => publisher.subscribers.delete(events));
  }

  request(endpoint: string, frames: readonly Uint8Array[], events: RequestEvents): Closable | undefined {
    const publisher = this.publishers.get(endpoint.replace('replay', 'events'));
    if (!publisher) return undefined;
    const from = Number(Buffer.from(frames[1]!).readBigUInt64BE());
    publisher.asked.push(from);
    this.#open += 1;
    let isOpen = true;
    const closable = this.#closable(() => (isOpen = false));
    this.#clock.after(REPLAY_MS, () => {
      if (!isOpen) return;
      const manner = publisher.isUp ? publisher.replay : 'refuses';
      if (manner === 'hangs') return;
      if (manner !== 'refuses') answer(publisher, from, manner, events, () => isOpen);
      if ((manner === 'refuses' || manner === 'breaks off') && isOpen) {
        closable.close();
        events.onEnd('closed', 'the connection was closed');
      }
    });
    return closable;
  }

  async bind(endpoint: string, _topic: string, events: BoundEvents): Promise<Closable> {
    if (this.bindError) throw this.bindError;
    const bound = { endpoint, events };
    this.bound = bound;
    this.#open += 1;
    return this.#closable(() => {
      if (this.bound === bound) this.bound = undefined;
    });
  }

  #closable(onClose: () => void): Closable {
    let isOpen = true;
    return {
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#open -= 1;
        onClose();
      },
    };
  }
}

function answer(
  publisher: ScriptedPublisher,
  from: number,
  manner: ReplayManner,
  events: RequestEvents,
  isOpen: () => boolean,
): void {
  const all = publisher.engine.buffer.filter(({ seq }) => seq >= from);
  const some = all.filter((_, i) => {
    if (manner === 'breaks off') return i < all.length >> 1;
    return manner === 'answers' || i < UNTORN || i === all.length - 1;
  });
  const head = publisher.olderFraming ? [EMPTY] : [EMPTY, TOPIC];
  for (const { seq, payload } of some)
    if (isOpen()) events.onMessage([...head, seqFrame(seq), Buffer.from(payload)]);
  if (manner !== 'breaks off' && isOpen())
    events.onMessage([...(publisher.olderFraming ? [EMPTY] : [EMPTY, EMPTY]), END, EMPTY]);
}
