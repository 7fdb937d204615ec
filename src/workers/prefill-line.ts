import type { ThreadMemory } from '../base/thread-memory.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';

/** What a thread shows of its prompts, by slot. Places are in tokens from the beginning of the line. */
const FIELDS = [
  /** Tokens of its queued prompts, each in full. */
  'queued',
  /** Those of them that are not streamed. */
  'unseen',
  /** Tokens that it ever put into the line, which ends where those of all threads add up to. */
  'pushed',
  /** Where the head was at `headAt`, as far as this thread knew. The latest of all threads' is good. */
  'head',
  'headAt',
  /** Where its oldest queued stream lies; `streamEnd` is 0 where there is none. */
  'streamStart',
  'streamEnd',
  /** How many gaps it has in the line. */
  'gapCount',
] as const;

/** Where prompts left before they were computed, from and to; so many of a slot that the head has not passed. */
const MOST_GAPS = 16;

export type LineRow = Readonly<Record<(typeof FIELDS)[number] | 'gaps', Float64Array>>;

export function openLineRow(memory: ThreadMemory, row: number): LineRow {
  const column = (name: string, entries: number): Float64Array =>
    new Float64Array(memory.region(`ledger:prefill-${name}:${row}`, 8 * entries));
  const columns = FIELDS.map((field): [string, Float64Array] => [field, column(field, SHARED_SLOTS)]);
  const gaps = column('gaps', 2 * MOST_GAPS * SHARED_SLOTS);
  // One entry for each field.
  return { ...(Object.fromEntries(columns) as unknown as LineRow), gaps };
}

/** The head passes over it. They are kept in order, and those that touch are one. */
export function addGap(row: LineRow, slot: number, from: number, to: number): void {
  const { gaps, gapCount } = row;
  if (gapCount[slot] === MOST_GAPS) joinLastTwo(row, slot);
  const first = 2 * MOST_GAPS * slot;
  const end = first + 2 * gapCount[slot]!;
  let at = first;
  while (at < end && gaps[at]! < from) at += 2;
  const touchesLast = at > first && gaps[at - 1] === from;
  const touchesNext = at < end && gaps[at] === to;
  if (touchesLast && touchesNext) {
    gaps[at - 1] = gaps[at + 1]!;
    gaps.copyWithin(at, at + 2, end);
    gapCount[slot]! -= 1;
  } else if (touchesLast) gaps[at - 1] = to;
  else if (touchesNext) gaps[at] = from;
  else {
    gaps.copyWithin(at + 2, at, end);
    gaps[at] = from;
    gaps[at + 1] = to;
    gapCount[slot]! += 1;
  }
}

/** What stands between the two furthest from the head is taken to stand before both: the sum stays right. */
function joinLastTwo({ gaps, gapCount }: LineRow, slot: number): void {
  const last = 2 * MOST_GAPS * slot + 2 * gapCount[slot]! - 2;
  gaps[last - 2] = gaps[last]! - (gaps[last - 1]! - gaps[last - 2]!);
  gaps[last - 1] = gaps[last + 1]!;
  gapCount[slot]! -= 1;
}

/** Those behind the head are of no interest any more. */
export function dropGaps(row: LineRow, slot: number, head: number): void {
  const count = row.gapCount[slot]!;
  if (count === 0) return;
  const { gaps } = row;
  const first = 2 * MOST_GAPS * slot;
  let kept = first;
  for (let at = first; at < first + 2 * count; at += 2) {
    if (gaps[at + 1]! <= head) continue;
    gaps[kept] = gaps[at]!;
    gaps[kept + 1] = gaps[at + 1]!;
    kept += 2;
  }
  row.gapCount[slot] = (kept - first) / 2;
}

/** The line of one slot, in which the prompts of all threads stand in the order of their dispatch. */
export class PrefillLine {
  readonly #rows: readonly LineRow[];
  end = 0;
  head = 0;
  /** Tokens behind the head that are still to be computed. */
  left = 0;
  /** The oldest stream: the head waits at its end. `Infinity` where there is none. */
  streamStart = Infinity;
  streamEnd = Infinity;

  constructor(rows: readonly LineRow[]) {
    this.#rows = rows;
  }

  /** Looks at the line as it is now. `rate` is in tokens per second. */
  look(slot: number, now: number, rate: number): this {
    let [end, queued, gaps, head, headAt] = [0, 0, 0, 0, -1];
    this.streamEnd = this.streamStart = Infinity;
    for (const row of this.#rows) {
      end += row.pushed[slot]!;
      queued += row.queued[slot]!;
      gaps += row.gapCount[slot]!;
      const at = row.headAt[slot]!;
      const known = row.head[slot]!;
      if (at > headAt || (at === headAt && known > head)) {
        headAt = at;
        head = known;
      }
      const streamEnd = row.streamEnd[slot]!;
      if (streamEnd > 0 && streamEnd < this.streamEnd) {
        this.streamEnd = streamEnd;
        this.streamStart = row.streamStart[slot]!;
      }
    }
    const computed = (Math.max(0, now - headAt) * rate) / 1000;
    const limit = Math.min(this.streamEnd, end);
    this.end = end;
    if (queued === 0) this.head = end;
    else if (gaps === 0) this.head = Math.min(head + computed, limit);
    else this.head = Math.min(this.#walk(slot, head, computed), limit);
    this.left = end - this.head - (gaps === 0 ? 0 : this.#gapsAhead(slot));
    return this;
  }

  /** Where the head is when so many tokens have been computed: gaps take no time. */
  #walk(slot: number, from: number, computed: number): number {
    let head = from;
    let budget = computed;
    for (;;) {
      let next = Infinity;
      let passed = head;
      this.#eachGap(slot, (begin, end) => {
        if (begin > head) next = Math.min(next, begin);
        else passed = Math.max(passed, end);
      });
      if (passed > head) head = passed;
      else if (next === Infinity || !(head + budget >= next)) return head + budget;
      else {
        budget -= next - head;
        head = next;
      }
    }
  }

  #gapsAhead(slot: number): number {
    let sum = 0;
    this.#eachGap(slot, (begin, end) => {
      sum += Math.max(0, end - Math.max(begin, this.head));
    });
    return sum;
  }

  #eachGap(slot: number, visit: (begin: number, end: number) => void): void {
    const first = 2 * MOST_GAPS * slot;
    for (const { gaps, gapCount } of this.#rows) {
      const end = first + 2 * gapCount[slot]!;
      for (let at = first; at < end; at += 2) visit(gaps[at]!, gaps[at + 1]!);
    }
  }
}
