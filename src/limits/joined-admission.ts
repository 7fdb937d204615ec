import type { Channel } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { AdmissionSettings } from '../config/settings/settings.ts';
import {
  ANSWERED,
  ASKING,
  Call,
  FINISHED,
  FREED,
  GONE,
  openWaiting,
  type Answered,
} from './admission-messages.ts';
import type { Door, Entry, Newcomer, Ticket, WaitOutcome } from './door.ts';
import type { QueuedFlow } from './fair-queue.ts';
import { PlaceInside } from './place-inside.ts';
import { RateBucket } from './rate-bucket.ts';

/**
 * The door as a request thread has it. While nobody waits, in whichever thread, it takes places by itself. Else the one queue of
 * the router decides, which is in control's `Admission`: the request waits here, and there is a note of it there.
 */
export class JoinedAdmission implements Door {
  readonly queued = 0;
  readonly flowCount = 0;
  readonly #channel: Channel;
  readonly #places: Places;
  readonly #rate: RateBucket;
  readonly #waiting: Places;
  readonly #call: Call;
  readonly #asking = new Map<number, (outcome: WaitOutcome) => void>();
  readonly #giveBack = (): void => {
    this.#places.give();
    // Whoever begins to wait from now on finds the place; who did so before is seen here.
    if (this.#waiting.count > 0 && this.#call.raise()) this.#channel.post(FREED, null);
  };
  #asked = 0;
  #closed = false;

  constructor(
    settings: AdmissionSettings,
    {
      clock,
      memory,
      channel,
    }: { readonly clock: Clock; readonly memory: ThreadMemory; readonly channel: Channel },
  ) {
    this.#channel = channel;
    this.#places = new Places(memory, 'admission:places', settings.maxConcurrent);
    this.#rate = new RateBucket(settings.ratePerSecond, clock, memory);
    this.#waiting = openWaiting(memory);
    this.#call = new Call(memory);
    channel.on(ANSWERED, (answer) => {
      this.#onAnswer(answer);
    });
  }

  get inFlight(): number {
    return this.#places.count;
  }

  enterAtOnce(): Ticket | undefined {
    // Somebody may begin to wait between the look and the place: then they came at the same time.
    if (this.#closed || this.#waiting.count > 0) return undefined;
    if (!this.#rate.ready || !this.#places.take()) return undefined;
    if (this.#rate.take()) return new PlaceInside(this.#giveBack);
    this.#giveBack();
    return undefined;
  }

  enter(newcomer: Newcomer): Entry {
    const ticket = this.enterAtOnce();
    if (ticket) return { kind: 'admitted', ticket };
    if (this.#closed) return { kind: 'closed' };
    const { promise, resolve } = Promise.withResolvers<WaitOutcome>();
    const id = ++this.#asked;
    const { flow, priority } = newcomer;
    this.#asking.set(id, resolve);
    this.#waiting.take();
    this.#channel.post(ASKING, { id, flow, priority, tokens: newcomer.tokens() });
    return { kind: 'waiting', wait: promise, leave: () => this.#leave(id, 'left') };
  }

  /** The limits are in memory that control writes. */
  reconfigure(): void {
    // Nothing of it is this thread's.
  }

  close(): void {
    this.#closed = true;
    for (const id of [...this.#asking.keys()]) this.#leave(id, 'closed');
  }

  queuedOf(): number {
    return 0;
  }

  flows(): readonly QueuedFlow[] {
    return [];
  }

  #leave(id: number, kind: 'left' | 'closed'): boolean {
    const resolve = this.#asking.get(id);
    if (!resolve) return false;
    this.#asking.delete(id);
    this.#channel.post(GONE, { id });
    resolve({ kind });
    return true;
  }

  #onAnswer({ id, outcome }: Answered): void {
    const resolve = this.#asking.get(id);
    this.#asking.delete(id);
    if (outcome.kind !== 'admitted') {
      resolve?.(outcome);
      return;
    }
    const ticket = this.#granted(id);
    if (resolve) {
      resolve({ kind: 'admitted', ticket });
      return;
    }
    // It left while the answer was on its way.
    ticket.settle(0);
    ticket.release();
  }

  /** Back through control, which settles the bill before anybody else has the place. */
  #granted(id: number): Ticket {
    let tokens: number | undefined;
    const bill = {
      settle: (taken: number): void => {
        tokens = taken;
      },
    };
    return new PlaceInside(() => {
      this.#channel.post(FINISHED, { id, tokens });
    }, bill);
  }
}
