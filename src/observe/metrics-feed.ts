import type { Channel, MessageKind, QuestionKind } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { turn, type AnyFamily, type Registry } from './registry.ts';
import type { Series } from './series.ts';

/** A part of what a thread has counted since the part before. */
export interface MetricsPiece {
  /** Series that come for the first time, numbered from `first` on: the name of the family, then its label values. */
  readonly named: readonly (readonly [family: string, ...labelValues: readonly string[]])[];
  readonly first: number;
  /** Numbers of series that are no more. */
  readonly gone: readonly number[];
  /** The series that have something to tell... */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** ...and what: `width` numbers of each, one after the other. */
  readonly numbers: Float64Array<ArrayBuffer>;
}

/** From a request thread to control. */
export const METRICS_PIECE: MessageKind<MetricsPiece> = { name: 'metrics:piece' };
/** Answered by control when it has taken the pieces before. */
export const METRICS_TAKEN: QuestionKind<undefined, undefined> = { name: 'metrics:taken' };
/** Answered by a request thread when it has posted all that it has. */
export const METRICS_WANTED: QuestionKind<undefined, undefined> = { name: 'metrics:wanted' };

/** So often control hears what has been counted: a thread that dies by a fault takes no more than that with it. */
const PUSH_MS = 1_000;
/** Series that are looked at before the event loop has its turn: a tenth of a millisecond, some more where they have names to tell. */
const MOST_SERIES = 512;
/** Numbers that a piece holds at most, and those of one more series. */
const MOST_NUMBERS = 8_192;
/** Pieces that are under way at most: control would take whatever has come by then in one turn of its event loop. */
const MOST_UNDER_WAY = 4;

/** The end of a request thread: hands over to control what its registry has counted. */
export class MetricsFeed {
  readonly #registry: Registry;
  readonly #channel: Channel;
  readonly #numbers = new Map<AnyFamily, Map<Series, number>>();
  readonly #timer: Timer;
  #piece = new OpenPiece(0);
  #latestId = 0;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #underWay = 0;
  #untaken = false;

  constructor(registry: Registry, { channel, clock }: { readonly channel: Channel; readonly clock: Clock }) {
    this.#registry = registry;
    this.#channel = channel;
    channel.answer(METRICS_WANTED, async () => {
      await this.#collect();
      await this.flush();
      return undefined;
    });
    this.#timer = clock.after(PUSH_MS, () => {
      this.#timer.refresh();
      void this.#push();
    });
  }

  /** Resolves when all that had been counted when it was called has been posted. */
  flush(): Promise<void> {
    if (this.#running) {
      // It may have passed what has changed since.
      this.#next ??= this.#running.then(() => {
        this.#next = undefined;
        return this.flush();
      });
      return this.#next;
    }
    this.#running = this.#handOver().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Hands over what is left, for a thread that ends. */
  async close(): Promise<void> {
    this.#timer.cancel();
    await this.flush().catch(() => undefined);
  }

  /** A control that takes nothing is not sent more and more. */
  async #push(): Promise<void> {
    if (this.#untaken) return;
    this.#untaken = true;
    try {
      await this.flush();
      await this.#taken();
    } catch {
      // Nobody is there any more who could show them.
    } finally {
      this.#untaken = false;
    }
  }

  async #taken(): Promise<void> {
    await this.#channel.ask(METRICS_TAKEN, undefined);
    this.#underWay = 0;
  }

  /** Values that are read are read for a scrape alone. */
  async #collect(): Promise<void> {
    for (const family of this.#registry.families.values())
      if (family.rule !== 'control') await this.#registry.collect(family);
  }

  async #handOver(): Promise<void> {
    let looked = 0;
    for (const family of this.#registry.families.values()) {
      if (family.rule === 'control') continue;
      let known = this.#numbers.get(family);
      if (!known) this.#numbers.set(family, (known = new Map<Series, number>()));
      for (const series of family.series) {
        this.#add(family, series, known);
        looked += 1;
        if (looked % MOST_SERIES !== 0 && !this.#piece.isFull) continue;
        this.#post();
        if (this.#underWay < MOST_UNDER_WAY) await turn();
        else await this.#taken();
      }
      if (known.size > family.series.size) this.#forgetGone(family, known);
    }
    this.#post();
  }

  #add(family: AnyFamily, series: Series, known: Map<Series, number>): void {
    const id = known.get(series);
    if (id !== undefined) {
      this.#piece.add(id, series);
      return;
    }
    known.set(series, this.#latestId);
    this.#piece.name(family, series);
    this.#piece.add(this.#latestId, series);
    this.#latestId += 1;
  }

  #forgetGone({ series: present }: AnyFamily, known: Map<Series, number>): void {
    for (const [series, id] of known) {
      if (present.has(series)) continue;
      known.delete(series);
      this.#piece.gone.push(id);
    }
  }

  #post(): void {
    const piece = this.#piece;
    if (piece.isEmpty) return;
    this.#piece = new OpenPiece(this.#latestId);
    this.#underWay += 1;
    const { body, transfer } = piece.close();
    this.#channel.post(METRICS_PIECE, body, transfer);
  }
}

class OpenPiece {
  readonly gone: number[] = [];
  readonly #first: number;
  readonly #named: [string, ...string[]][] = [];
  readonly #ids: number[] = [];
  #numbers = new Float64Array(256);
  #used = 0;

  constructor(first: number) {
    this.#first = first;
  }

  get isEmpty(): boolean {
    return this.#ids.length === 0 && this.#named.length === 0 && this.gone.length === 0;
  }

  get isFull(): boolean {
    return this.#used >= MOST_NUMBERS;
  }

  name({ name }: AnyFamily, { labelValues }: Series): void {
    this.#named.push([name, ...labelValues]);
  }

  add(id: number, series: Series): void {
    if (this.#used + series.width > this.#numbers.length) this.#grow(series.width);
    if (!series.handOver(this.#numbers, this.#used)) return;
    this.#used += series.width;
    this.#ids.push(id);
  }

  close(): { readonly body: MetricsPiece; readonly transfer: readonly ArrayBuffer[] } {
    const ids = new Uint32Array(this.#ids);
    const numbers = this.#numbers.slice(0, this.#used);
    const body = { named: this.#named, first: this.#first, gone: this.gone, ids, numbers };
    return { body, transfer: [ids.buffer, numbers.buffer] };
  }

  #grow(width: number): void {
    const more = new Float64Array(2 * this.#numbers.length + width);
    more.set(this.#numbers);
    this.#numbers = more;
  }
}
