import type { Channel } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import { InFlightList, type InFlight } from './in-flight.ts';
import type { SlotId } from './ledger.ts';
import type { PartsAsk, PartsMaker, WorkerParts } from './make-worker.ts';
import { CIRCUIT_OUTCOME, CIRCUIT_WOKE, CUT_REQUESTS, GAVE_UP, PROGRESS_NEWS } from './parts-messages.ts';
import { slotIdOf } from './registry-messages.ts';
import { ThreadCircuit } from './thread-circuit.ts';
import { sharedCounts, type SharedCounts } from './shared-parts.ts';
import type { Tally } from './shared-slots.ts';
import { ThreadProgress } from './thread-progress.ts';

const TELL_EVERY_MS = 1_000;

interface Kept {
  readonly at: SlotId;
  readonly progress: ThreadProgress;
  readonly inFlight: InFlightList;
}

/** What a request thread counts and learns of each worker, and tells control. */
export class ThreadParts implements PartsMaker {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #counts: SharedCounts;
  readonly #bySlot = new Map<number, Kept>();
  #timer: Timer | undefined;

  constructor(deps: { readonly memory: ThreadMemory; readonly channel: Channel; readonly clock: Clock }) {
    this.#channel = deps.channel;
    this.#clock = deps.clock;
    this.#counts = sharedCounts(deps.memory);
    deps.channel.on(CUT_REQUESTS, (at) => {
      this.#kept(at)?.inFlight.cutAll();
    });
  }

  make(ask: PartsAsk): WorkerParts {
    const at = slotIdOf(ask.at);
    const { slot } = at;
    const { breakers, signs, inFlight, sent } = this.#counts;
    const channel = this.#channel;
    const parts = {
      breaker: new ThreadCircuit(breakers, slot, {
        ...ask,
        reports: {
          tell: (outcome, epoch, now) => {
            channel.post(CIRCUIT_OUTCOME, { at, outcome, epoch, now });
          },
          woke: () => {
            channel.post(CIRCUIT_WOKE, at);
          },
        },
      }),
      progress: new ThreadProgress(signs.of(slot), (request, now) => {
        channel.post(GAVE_UP, { at, request, now });
      }),
      inFlight: new CountedInFlight(inFlight.of(slot)),
      sent: sent.of(slot),
    };
    this.#bySlot.set(slot, { at, ...parts });
    this.#timer ??= this.#tellLater();
    return parts;
  }

  drop(at: SlotId): void {
    if (this.#kept(at)) this.#bySlot.delete(at.slot);
  }

  /** Tells control nothing more by itself. */
  stop(): void {
    this.#timer?.cancel();
    this.#bySlot.clear();
  }

  #kept({ slot, generation }: SlotId): Kept | undefined {
    const kept = this.#bySlot.get(slot);
    return kept?.at.generation === generation ? kept : undefined;
  }

  #tellLater(): Timer {
    return this.#clock.after(TELL_EVERY_MS, () => {
      this.#tell();
      this.#timer?.refresh();
    });
  }

  #tell(): void {
    const told = [...this.#bySlot.values()].flatMap(({ at, progress, inFlight }) => {
      const news = progress.news(inFlight);
      return news ? [{ at, ...news }] : [];
    });
    if (told.length > 0) this.#channel.post(PROGRESS_NEWS, told);
  }
}

/** A list whose length control can see. */
class CountedInFlight extends InFlightList {
  readonly #count: Tally;

  constructor(count: Tally) {
    super();
    this.#count = count;
  }

  override add(part: InFlight): void {
    super.add(part);
    this.#count.own = this.size;
  }

  override delete(part: InFlight): void {
    super.delete(part);
    this.#count.own = this.size;
  }
}
