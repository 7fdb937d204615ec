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
 * The latest decision records of this thread, bounded in number and in (estimated) bytes: of both it has its share of what the
 * process may have.
 */
export class DecisionRing {
  readonly #memory: ThreadMemory;
  readonly #counts: RingCounts;
  #limits: RingLimits;
  #entries: ({ record: OpenDecision; bytes: number } | undefined)[];
  #next = 0;
  #size = 0;
  #bytes = 0;
  /** Records that have ever been kept; the latest has the number below. */
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
    const records = this.latest(this.#size);
    this.#limits = { maxRecords, maxBytes };
    this.#entries = new Array<undefined>(Math.max(1, maxRecords));
    this.#next = 0;
    this.#kept -= records.length;
    this.#size = 0;
    this.#bytes = 0;
    for (const record of records) this.#keep(record);
    this.#counts.set(this.#size, this.#bytes);
  }

  push(record: OpenDecision): void {
    if (this.#limits.maxRecords === 0) return;
    this.#counts.made();
    this.#keep(record);
    this.#counts.set(this.#size, this.#bytes);
  }

  #keep(record: OpenDecision): void {
    const { maxRecords, maxBytes } = this.#limits;
    const bytes = estimateBytes(record);
    if (maxRecords === 0 || bytes > maxBytes) return;
    while (this.#size === maxRecords || (this.#size > 0 && this.#bytes + bytes > maxBytes))
      this.#dropOldest();
    this.#entries[this.#next] = { record, bytes };
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
    const records: Decision[] = [];
    const oldest = this.#kept - this.#size;
    const first = Math.min(below, this.#kept) - 1;
    const last = Math.max(oldest, first - mostLookedAt + 1);
    let at = first;
    for (; at >= last && records.length < query.limit; at -= 1) {
      const record = this.#at(at);
      if (record && isMeant(record, query)) records.push(readable(record));
    }
    return { records: records.reverse(), below: at < oldest ? 0 : at + 1 };
  }

  #at(number: number): OpenDecision | undefined {
    const back = this.#kept - number;
    return this.#entries[(this.#next - back + this.#entries.length) % this.#entries.length]?.record;
  }

  /** Records held, by all threads together. */
  get size(): number {
    return this.#counts.records;
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

  #dropOldest(): void {
    const at = (this.#next - this.#size + this.#entries.length) % this.#entries.length;
    this.#bytes -= this.#entries[at]?.bytes ?? 0;
    this.#entries[at] = undefined;
    this.#size -= 1;
  }
}

/** What each thread holds and has made, where all of them see it: three numbers for each, written by it alone while it lives. */
class RingCounts {
  readonly #numbers: Float64Array;
  readonly #own: number;

  constructor(memory: ThreadMemory) {
    const { rows, self } = memory;
    this.#numbers = new Float64Array(
      memory.region('decisions:held', rows * 3 * Float64Array.BYTES_PER_ELEMENT),
    );
    this.#own = self;
  }

  made(): void {
    const at = 3 * this.#own + 2;
    this.#numbers[at] = (this.#numbers[at] ?? 0) + 1;
  }

  set(records: number, bytes: number, row = this.#own): void {
    this.#numbers[3 * row] = records;
    this.#numbers[3 * row + 1] = bytes;
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

  #sum(column: number): number {
    let sum = 0;
    for (let at = column; at < this.#numbers.length; at += 3) sum += this.#numbers[at] ?? 0;
    return sum;
  }
}

/** Control has no requests of its own: the others share what there may be. */
function shareOf({ maxRecords, maxBytes }: RingLimits, { rows }: ThreadMemory): RingLimits {
  const threads = Math.max(1, rows - 1);
  return { maxRecords: Math.ceil(maxRecords / threads), maxBytes: Math.floor(maxBytes / threads) };
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
  return 1_200 + 2 * strings + 220 * (record.candidates?.length ?? 0) + 200 * record.attempts.length;
}
