import type { Channels } from '../base/channel.ts';
import { METRICS_PIECE, METRICS_TAKEN, METRICS_WANTED, type MetricsPiece } from './metrics-feed.ts';
import type { AnyFamily, Registry } from './registry.ts';

/** What does not come in this time is a second old: see `MetricsFeed`. */
const GATHER_MS = 500;

interface Named {
  readonly family: AnyFamily;
  readonly labelValues: readonly string[];
}

/**
 * The end of control: its registry shows what all threads have counted. It adds what they hand over to its own series, so that a
 * thread that is gone leaves nothing behind that would have to be kept, and no counter ever falls.
 */
export class MergedMetrics {
  readonly #registry: Registry;
  readonly #channels: Channels;
  /** By row: what the numbers of the thread's series stand for. */
  readonly #named = new Map<number, Map<number, Named>>();

  constructor(registry: Registry, channels: Channels) {
    this.#registry = registry;
    this.#channels = channels;
    channels.on(METRICS_PIECE, (row, piece) => {
      this.#take(row, piece);
    });
    channels.answer(METRICS_TAKEN, () => undefined);
    channels.onEnded((row) => {
      this.#forget(row);
    });
  }

  /** Has every thread hand over what it has; those that do not answer soon count with what they had last. */
  async gather(): Promise<void> {
    await this.#channels.askAll(METRICS_WANTED, undefined, GATHER_MS);
  }

  #take(row: number, { named, first, gone, ids, numbers }: MetricsPiece): void {
    let known = this.#named.get(row);
    if (!known) this.#named.set(row, (known = new Map<number, Named>()));
    for (const [index, [name, ...labelValues]] of named.entries()) {
      const family = this.#registry.families.get(name);
      if (family) known.set(first + index, { family, labelValues });
      // It is shown from here on, as it would be in the thread itself.
      family?.with(...labelValues);
    }
    let at = 0;
    for (const id of ids) {
      const series = known.get(id);
      if (!series) throw new Error(`metrics: thread ${row} has not named its series ${id}`);
      // Looked up each time: what is retired here must not be seen, and come back with its name alone.
      const mine = series.family.with(...series.labelValues);
      mine.receive(numbers, at, row);
      at += mine.width;
    }
    for (const id of gone) known.delete(id);
  }

  /** What the thread has counted stays; what it held is gone, and so is what was shown of it alone. */
  #forget(row: number): void {
    this.#named.delete(row);
    for (const family of this.#registry.families.values()) {
      if (family.type === 'gauge') for (const series of family.series) series.forget(row);
      family.removeWhere('thread', String(row));
    }
  }
}
