import { ownMemory, type ThreadMemory } from '../../base/thread-memory.ts';
import { readable, type Decision, type DecisionQuery, type OpenDecision } from './decision.ts';

export interface RingLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/** Some of what a query finds. */
export interface FoundDecisions {
  /** Oldest first. */
  readonly records: Decision[];
  /** Older ones are below this; 0 where there are none. */
  readonly below: number;
}

/** Records looked at, and given, for one part of an answer: a thread that has many does not stop for all of them. */
const MOST_LOOKED_AT = 4096;
const MOST_GIVEN = 128;

/**
 * Those of the latest decision records of all threads that this one has made. The records of all are numbered together: one leaves
 * when so many have come after it, in whichever thread. Of the (estimated) bytes each thread has its share.
 */
export class DecisionRing {
  readonly #memory: ThreadMemory;
  readonly #counts: RingCounts;
  #limits: RingLimits;
  #entries: (Entry | undefined)[];
  #next = 0;
  #size = 0;
  #bytes = 0;
  /** Records that this thread has ever kept; the latest has the number below. */
  #kept = 0;

  constructor(limits: RingLimits, memory: ThreadMemory = ownMemory()) {
    this.#memory = memory;
    this.#counts = new RingCounts(memory);
    this.#limits = shareOf(limits, memory);
    this.#entries = new Array<undefined>(Math.max(1, this.#limits.maxRecords));
    this.#counts.set(0, 0);
  }

  /** Other bounds: the newest records that fit are kept. */
  reconfigure(limits: RingLimits): void {
    const { maxRecords, maxBytes } = shareOf(limits, this.#memory);
    if (maxRecords === this.#limits.maxRecords && maxBytes === this.#limits.maxBytes) return;
    const entries = Array.from({ length: this.#size }, (_, back) =>
      this.#at(this.#kept - 1 - back),
    ).reverse();
    this.#limits = { maxRecords, maxBytes };
    this.#entries = new Array<undefined>(Math.max(1, maxRecords));
    this.#next = 0;
    this.#kept -= entries.length;
    this.#size = 0;
    this.#bytes = 0;
    for (const entry of entries) if (entry) this.#keep(entry);
    this.#dropOld();
    this.#counts.set(this.#size, this.#bytes);
  }

  push(record: OpenDecision): void {
    const { maxRecords, maxBytes } = this.#limits;
    if (maxRecords === 0) return;
    this.#counts.made();
    const bytes = estimateBytes(record);
    if (bytes > maxBytes) return;
    this.#keep({ record, bytes, number: this.#counts.number() });
    this.#dropOld();
    this.#counts.set(this.#size, this.#bytes);
  }

  #keep(entry: Entry): void {
    const { maxRecords, maxBytes } = this.#limits;
    const { bytes } = entry;
    if (maxRecords === 0 || bytes > maxBytes) return;
    while (this.#size === maxRecords || (this.#size > 0 && this.#bytes + bytes > maxBytes))
      this.#dropOldest();
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) % this.#entries.length;
    this.#size += 1;
    this.#bytes += bytes;
    this.#kept += 1;
  }

  /** The last `limit` records of this thread, oldest first. */
  latest(limit: number): Decision[] {
    return this.find({ limit });
  }

  /** The last records of this thread that the query means, oldest first. */
  find(query: DecisionQuery): Decision[] {
    return this.#look(query, Infinity, this.#size).records;
  }

  /** A part of the same, of the records with numbers below `below` (at first Infinity). */
  page({ limit, ...rest }: DecisionQuery, below: number): FoundDecisions {
    return this.#look({ ...rest, limit: Math.min(limit, MOST_GIVEN) }, below, MOST_LOOKED_AT);
  }

  #look(query: DecisionQuery, below: number, mostLookedAt: number): FoundDecisions {
    this.#dropOld();
    const records: Decision[] = [];
    const oldest = this.#kept - this.#size;
    const first = Math.min(below, this.#kept) - 1;
    const last = Math.max(oldest, first - mostLookedAt + 1);
    let at = first;
    for (; at >= last && records.length < query.limit; at -= 1) {
      const record = this.#at(at)?.record;
      if (record && isMeant(record, query)) records.push(readable(record));
    }
    return { records: records.reverse(), below: at < oldest ? 0 : at + 1 };
  }

  #at(number: number): Entry | undefined {
    const back = this.#kept - number;
    return this.#entries[(this.#next - back + this.#entries.length) % this.#entries.length];
  }

  /** Records held, by all threads together. */
  get size(): number {
    // A thread that nobody asks for anything still has some that others have pushed out.
    return Math.min(this.#counts.records, this.#limits.maxRecords);
  }

  /** What they take, estimated. */
  get bytes(): number {
    return this.#counts.bytes;
  }

  /** Records ever made by all threads, those dropped included. */
  get total(): number {
    return this.#counts.total;
  }

  /** A thread has ended, and its records with it; what it made was made. */
  reclaim(row: number): void {
    this.#counts.set(0, 0, row);
  }

  /** What has had as many behind it as are kept. */
  #dropOld(): void {
    const last = this.#counts.kept - this.#limits.maxRecords;
    while (this.#size > 0 && (this.#at(this.#kept - this.#size)?.number ?? Infinity) <= last)
      this.#dropOldest();
  }

  #dropOldest(): void {
    const at = (this.#next - this.#size + this.#entries.length) % this.#entries.length;
    this.#bytes -= this.#entries[at]?.bytes ?? 0;
    this.#entries[at] = undefined;
    this.#size -= 1;
  }
}

interface Entry {
  readonly record: OpenDecision;
  readonly bytes: number;
  /** Among those that all threads have kept. Two that come in the same instant may have the same one. */
  readonly number: number;
}

/** Held records, their bytes, and how many were ever made and kept. */
const COLUMNS = 4;

/** What each thread holds and has made, where all of them see it: four numbers for each, written by it alone while it lives. */
class RingCounts {
  readonly #numbers: Float64Array;
  readonly #own: number;

  constructor(memory: ThreadMemory) {
    const { rows, self } = memory;
    this.#numbers = new Float64Array(
      memory.region('decisions:held', rows * COLUMNS * Float64Array.BYTES_PER_ELEMENT),
    );
    this.#own = COLUMNS * self;
  }

  made(): void {
    this.#countUp(2);
  }

  /** Of one that is kept from now on. */
  number(): number {
    this.#countUp(3);
    return this.kept;
  }

  set(records: number, bytes: number, row = this.#own / COLUMNS): void {
    this.#numbers[COLUMNS * row] = records;
    this.#numbers[COLUMNS * row + 1] = bytes;
  }

  get records(): number {
    return this.#sum(0);
  }

  get bytes(): number {
    return this.#sum(1);
  }

  get total(): number {
    return this.#sum(2);
  }

  get kept(): number {
    return this.#sum(3);
  }

  #countUp(column: number): void {
    const at = this.#own + column;
    this.#numbers[at] = (this.#numbers[at] ?? 0) + 1;
  }

  #sum(column: number): number {
    let sum = 0;
    for (let at = column; at < this.#numbers.length; at += COLUMNS) sum += this.#numbers[at] ?? 0;
    return sum;
  }
}

/** Any thread may have made all of the latest. Control has no requests of its own: the others share the bytes. */
function shareOf({ maxRecords, maxBytes }: RingLimits, { rows }: ThreadMemory): RingLimits {
  return { maxRecords, maxBytes: Math.floor(maxBytes / Math.max(1, rows - 1)) };
}

function isMeant(record: OpenDecision, { worker, model, since }: DecisionQuery): boolean {
  return (
    (worker === undefined ||
      record.worker === worker ||
      record.attempts.some((one) => one.worker === worker)) &&
    (model === undefined || record.model === model || record.requested_model === model) &&
    (since === undefined || Date.parse(record.timestamp) >= since)
  );
}

/** Close enough for a bound: fixed fields, plus what grows with workers and attempts. */
function estimateBytes(record: OpenDecision): number {
  const strings =
    record.request_id.length + (record.requested_model?.length ?? 0) + (record.worker?.length ?? 0);
  const candidates = (record.candidates?.length ?? 0) + (record.prefill_candidates?.length ?? 0);
  return 1_200 + 2 * strings + 220 * candidates + 200 * record.attempts.length;
}
