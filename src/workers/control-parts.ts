import type { Channels } from '../base/channel.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import { InFlightList, type Awaited, type Elsewhere, type InFlight } from './in-flight.ts';
import type { SlotId } from './ledger.ts';
import type { PartsAsk, PartsMaker, WorkerParts } from './make-worker.ts';
import { CIRCUIT_OUTCOME, CIRCUIT_WOKE, CUT_REQUESTS, GAVE_UP, PROGRESS_NEWS } from './parts-messages.ts';
import { Progress } from './progress.ts';
import { slotIdOf } from './registry-messages.ts';
import { ControlCircuit } from './control-circuit.ts';
import { sharedCounts, type SharedCounts } from './shared-parts.ts';
import type { RowTallies, Tally } from './shared-slots.ts';

interface Kept {
  readonly at: SlotId;
  readonly breaker: ControlCircuit;
  readonly progress: Progress;
  readonly elsewhere: InThreads;
}

/** What control knows of each worker by what all request threads count and tell. */
export class ControlParts implements PartsMaker {
  readonly #channels: Channels;
  readonly #counts: SharedCounts;
  readonly #bySlot = new Map<number, Kept>();

  constructor(memory: ThreadMemory, channels: Channels) {
    this.#channels = channels;
    this.#counts = sharedCounts(memory);
    channels.on(CIRCUIT_OUTCOME, (_, { at, outcome, epoch, now }) => {
      this.#kept(at)?.breaker.count(outcome, epoch, now);
    });
    channels.on(CIRCUIT_WOKE, (_, at) => {
      this.#kept(at)?.breaker.follow();
    });
    channels.on(GAVE_UP, (_, { at, request, now }) => {
      this.#kept(at)?.progress.gaveUp(request, now);
    });
    channels.on(PROGRESS_NEWS, (row, told) => {
      for (const { at, stream, whole, firstTokensMs, longestWholeMs } of told) {
        const kept = this.#kept(at);
        kept?.elsewhere.await(row, [stream, whole]);
        for (const tookMs of firstTokensMs) kept?.progress.firstToken(tookMs);
        if (longestWholeMs !== undefined) kept?.progress.wholeAnswer(longestWholeMs);
      }
    });
    channels.onEnded((row) => {
      this.reclaim(row);
    });
  }

  make(ask: PartsAsk): WorkerParts {
    const at = slotIdOf(ask.at);
    const { slot } = at;
    const { breakers, signs, inFlight, sent } = this.#counts;
    for (const tallies of [signs, inFlight, sent]) tallies.forget(slot);
    const elsewhere = new InThreads(inFlight, slot, () => {
      this.#channels.broadcast(CUT_REQUESTS, at);
    });
    const breaker = new ControlCircuit(breakers, slot, ask);
    const progress = new Progress(signs.of(slot));
    this.#bySlot.set(slot, { at, breaker, progress, elsewhere });
    return { breaker, progress, inFlight: new InFlightList(elsewhere), sent: totalOf(sent.of(slot)) };
  }

  drop(at: SlotId): void {
    if (this.#kept(at)) this.#bySlot.delete(at.slot);
  }

  /** The thread has ended: its requests with it, and the trials among them. What it has sent remains counted. */
  reclaim(row: number): void {
    const { breakers, inFlight } = this.#counts;
    breakers.reclaim(row);
    inFlight.forgetRow(row);
    for (const { breaker, elsewhere } of this.#bySlot.values()) {
      breaker.follow();
      breaker.recount();
      elsewhere.forget(row);
    }
  }

  #kept({ slot, generation }: SlotId): Kept | undefined {
    const kept = this.#bySlot.get(slot);
    return kept?.at.generation === generation ? kept : undefined;
  }
}

/** Control sends nothing itself. */
function totalOf(tally: Tally): Tally {
  return {
    get own() {
      return tally.total;
    },
    set own(_) {
      throw new Error('control sends no requests');
    },
    get total() {
      return tally.total;
    },
  };
}

/** The requests that threads have on one worker: how many, and which each of them has been waiting for longest. */
class InThreads implements Elsewhere {
  readonly #counts: RowTallies;
  readonly #slot: number;
  readonly #cut: () => void;
  readonly #byRow = new Map<number, readonly InFlight[]>();

  constructor(counts: RowTallies, slot: number, cut: () => void) {
    this.#counts = counts;
    this.#slot = slot;
    this.#cut = cut;
  }

  get size(): number {
    return this.#counts.of(this.#slot).total;
  }

  /** As of the last second, but for threads that have none left. */
  get oldest(): Iterable<InFlight> {
    return [...this.#byRow].flatMap(([row, parts]) => (this.#counts.at(row, this.#slot) > 0 ? parts : []));
  }

  await(row: number, requests: readonly (Awaited | undefined)[]): void {
    const parts = requests.flatMap((awaited) =>
      awaited ? [{ awaited, place: -1, cut: () => undefined }] : [],
    );
    if (parts.length > 0) this.#byRow.set(row, parts);
    else this.#byRow.delete(row);
  }

  forget(row: number): void {
    this.#byRow.delete(row);
  }

  cut(): void {
    this.#cut();
  }
}
