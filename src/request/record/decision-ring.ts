import { readable, type Decision, type OpenDecision } from './decision.ts';

/** The latest decision records, bounded in number and in (estimated) bytes. */
export class DecisionRing {
  #maxRecords: number;
  #maxBytes: number;
  #entries: ({ record: OpenDecision; bytes: number } | undefined)[];
  #next = 0;
  #size = 0;
  #bytes = 0;
  #total = 0;

  constructor(limits: { maxRecords: number; maxBytes: number }) {
    this.#maxRecords = limits.maxRecords;
    this.#maxBytes = limits.maxBytes;
    this.#entries = new Array<undefined>(Math.max(1, limits.maxRecords));
  }

  /** Other bounds: the newest records that fit are kept. */
  reconfigure(limits: { readonly maxRecords: number; readonly maxBytes: number }): void {
    if (limits.maxRecords === this.#maxRecords && limits.maxBytes === this.#maxBytes) return;
    const records = this.latest(this.#size);
    this.#maxRecords = limits.maxRecords;
    this.#maxBytes = limits.maxBytes;
    this.#entries = new Array<undefined>(Math.max(1, limits.maxRecords));
    this.#next = 0;
    this.#size = 0;
    this.#bytes = 0;
    for (const record of records) this.#keep(record);
  }

  push(record: OpenDecision): void {
    if (this.#maxRecords === 0) return;
    this.#total += 1;
    this.#keep(record);
  }

  #keep(record: OpenDecision): void {
    const bytes = estimateBytes(record);
    if (this.#maxRecords === 0 || bytes > this.#maxBytes) return;
    while (this.#size === this.#maxRecords || (this.#size > 0 && this.#bytes + bytes > this.#maxBytes))
      this.#dropOldest();
    this.#entries[this.#next] = { record, bytes };
    this.#next = (this.#next + 1) % this.#entries.length;
    this.#size += 1;
    this.#bytes += bytes;
  }

  /** The last `limit` records, oldest first. */
  latest(limit: number): Decision[] {
    const records: Decision[] = [];
    for (let back = Math.min(limit, this.#size); back >= 1; back -= 1) {
      const entry = this.#entries[(this.#next - back + this.#entries.length) % this.#entries.length];
      if (entry) records.push(readable(entry.record));
    }
    return records;
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Records ever made, those dropped included. */
  get total(): number {
    return this.#total;
  }

  #dropOldest(): void {
    const at = (this.#next - this.#size + this.#entries.length) % this.#entries.length;
    this.#bytes -= this.#entries[at]?.bytes ?? 0;
    this.#entries[at] = undefined;
    this.#size -= 1;
  }
}

/** Close enough for a bound: fixed fields, plus what grows with workers and attempts. */
function estimateBytes(record: OpenDecision): number {
  const strings =
    record.request_id.length + (record.requested_model?.length ?? 0) + (record.worker?.length ?? 0);
  return 1_200 + 2 * strings + 220 * (record.candidates?.length ?? 0) + 200 * record.attempts.length;
}
