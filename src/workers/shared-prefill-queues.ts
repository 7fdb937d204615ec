import type { ThreadMemory } from '../base/thread-memory.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';
import type { PromptQueues, QueuedPrompt } from './prefill-queues.ts';
import type { Rates } from './prefill-rates.ts';

/**
 * What a thread shows of its queues, by slot. The prompts of all threads stand in one line, measured in tokens: it ends where
 * the `pushed` of all threads add up to, and what lies behind its head is still to be computed.
 */
const FIELDS = [
  /** Tokens of its queued prompts, each in full. */
  'queued',
  /** Those of them that are not streamed. */
  'unseen',
  /** Tokens that it has put into the line, less those that left it from the midst. */
  'pushed',
  /** Tokens that left at the head before they were computed. */
  'skipped',
  /** Tokens computed, as it reckoned them at `headAt`. The latest of all threads' is good. */
  'head',
  'headAt',
  /** Where its oldest queued stream lies; `streamEnd` is 0 where there is none. */
  'streamStart',
  'streamEnd',
] as const;
type Row = Readonly<Record<(typeof FIELDS)[number], Float64Array>>;

/**
 * The queues of a router with several threads: each keeps its own prompts, and the rules of `PrefillQueues` hold for the line in
 * which those of all threads stand. Nobody waits for anybody: two threads that change a line at the same moment see each other's
 * change a moment later, and what that makes of the head is over when the line has been empty, or its next stream begins.
 */
export class SharedPrefillQueues implements PromptQueues {
  readonly #rates: Rates;
  readonly #rows: readonly Row[];
  readonly #mine: Row;
  readonly #queues: (Queue | undefined)[] = [];
  readonly #outstanding = new Float64Array(SHARED_SLOTS);
  readonly #line = new Line();

  constructor(memory: ThreadMemory, rates: Rates) {
    this.#rates = rates;
    this.#rows = Array.from({ length: memory.rows }, (_, row) => rowOf(memory, row));
    this.#mine = this.#rows[memory.self]!;
  }

  reserve(): void {
    // There is room for all slots.
  }

  moves(slot: number): boolean {
    return this.#rows.some(({ unseen }) => unseen[slot]! > 0);
  }

  outstanding(slot: number, now: number): number {
    let queued = 0;
    let unseen = 0;
    for (const row of this.#rows) {
      queued += row.queued[slot]!;
      unseen += row.unseen[slot]!;
    }
    // Sums of whole tokens, whatever the line says.
    if (unseen === 0) return queued;
    const { end, head, streamStart } = this.#look(slot, now);
    return Math.min(Math.max(end - Math.min(head, streamStart), queued - unseen), queued);
  }

  column(now: number, end: number): Float64Array {
    const column = this.#outstanding.fill(0, 0, end);
    for (const { queued } of this.#rows)
      for (let slot = 0; slot < end; slot++) if (queued[slot] !== 0) column[slot] = -1;
    for (let slot = 0; slot < end; slot++)
      if (column[slot] !== 0) column[slot] = Math.ceil(this.outstanding(slot, now));
    return column;
  }

  remaining(slot: number, now: number): number {
    const { end, head, queued } = this.#look(slot, now);
    return Math.min(end - head, queued);
  }

  push(prompt: QueuedPrompt, now: number): void {
    if (prompt.prefill === 0) return;
    const { slot } = prompt;
    const { head, end } = this.#settle(slot, now);
    const mine = this.#mine;
    prompt.end = end + prompt.prefill;
    mine.pushed[slot]! += prompt.prefill;
    mine.queued[slot]! += prompt.prefill;
    if (!prompt.stream) mine.unseen[slot]! += prompt.prefill;
    const queue = (this.#queues[slot] ??= new Queue());
    queue.push(prompt);
    this.#retire(queue, { head, end: prompt.end });
    this.#show(slot, queue);
  }

  remove(prompt: QueuedPrompt, now: number): void {
    const { slot } = prompt;
    const queue = this.#queues[slot];
    if (!prompt.queued || !queue) return;
    const { head, end, streamEnd } = this.#settle(slot, now);
    this.#retire(queue, { head, end });
    // It may have been found computed.
    if (prompt.queued) {
      const left = Math.min(Math.max(0, prompt.end - head), prompt.prefill);
      const start = prompt.end - prompt.prefill;
      if (start < head || (start === head && head < streamEnd)) this.#mine.skipped[slot]! += left;
      else {
        this.#mine.pushed[slot]! -= left;
        for (let behind = prompt.next; behind; behind = behind.next) behind.end -= left;
      }
      this.#unlink(queue, prompt);
    }
    this.#show(slot, queue);
  }

  /** Control: the thread of the row has died. What it had in line is gone. */
  reclaim(row: number, now: number): void {
    const dead = this.#rows[row];
    if (!dead) return;
    for (const [slot, queued] of dead.queued.entries()) {
      if (queued === 0) continue;
      const { head, end } = this.#look(slot, now);
      dead.pushed[slot]! -= Math.min(queued, end - head);
      dead.queued[slot] = 0;
      dead.unseen[slot] = 0;
      dead.streamEnd[slot] = 0;
    }
  }

  /** Where the line stands. The same object each time: this is asked for often. */
  #look(slot: number, now: number): Line {
    const line = this.#line;
    let [end, skipped, queued, head, headAt] = [0, 0, 0, 0, -1];
    line.streamEnd = line.streamStart = Infinity;
    for (const row of this.#rows) {
      end += row.pushed[slot]!;
      skipped += row.skipped[slot]!;
      queued += row.queued[slot]!;
      const at = row.headAt[slot]!;
      const reckoned = row.head[slot]!;
      // Within one instant it can only be found to be less far.
      if (at > headAt || (at === headAt && reckoned < head)) {
        headAt = at;
        head = reckoned;
      }
      const streamEnd = row.streamEnd[slot]!;
      if (streamEnd > 0 && streamEnd < line.streamEnd) {
        line.streamEnd = streamEnd;
        line.streamStart = row.streamStart[slot]!;
      }
    }
    const computed = (Math.max(0, now - headAt) * this.#rates.rate(slot)) / 1000;
    line.end = end;
    line.queued = queued;
    line.skipped = skipped;
    line.head = queued === 0 ? end : Math.min(head + skipped + computed, line.streamEnd, end);
    return line;
  }

  /** Shows the others where the head is before the line changes: from here on it moves by other rules. */
  #settle(slot: number, now: number): Line {
    const line = this.#look(slot, now);
    this.#mine.head[slot] = line.head - line.skipped;
    this.#mine.headAt[slot] = now;
    return line;
  }

  /** What is not streamed is done when the head is past it. */
  #retire(queue: Queue, { head, end }: { readonly head: number; readonly end: number }): void {
    // Where another thread's prompt has left from the midst, those behind it stand nearer to the head than they know.
    let furthest = end;
    for (let prompt = queue.last; prompt && prompt.end > furthest; prompt = prompt.previous) {
      prompt.end = furthest;
      furthest -= prompt.prefill;
    }
    while (queue.first && !queue.first.stream && queue.first.end <= head) this.#unlink(queue, queue.first);
  }

  #unlink(queue: Queue, prompt: QueuedPrompt): void {
    const { slot, prefill, stream } = prompt;
    queue.unlink(prompt);
    this.#mine.queued[slot]! -= prefill;
    if (!stream) this.#mine.unseen[slot]! -= prefill;
  }

  #show(slot: number, { oldestStream }: Queue): void {
    const { streamStart, streamEnd } = this.#mine;
    streamStart[slot] = oldestStream ? oldestStream.end - oldestStream.prefill : 0;
    streamEnd[slot] = oldestStream?.end ?? 0;
  }
}

function rowOf(memory: ThreadMemory, row: number): Row {
  const columns = FIELDS.map((field): [string, Float64Array] => [
    field,
    new Float64Array(memory.region(`ledger:prefill-${field}:${row}`, 8 * SHARED_SLOTS)),
  ]);
  // One entry for each field.
  return Object.fromEntries(columns) as unknown as Row;
}

class Line {
  end = 0;
  head = 0;
  queued = 0;
  skipped = 0;
  streamStart = Infinity;
  streamEnd = Infinity;
}

/** This thread's prompts of one slot, oldest first. */
class Queue {
  first: QueuedPrompt | undefined;
  last: QueuedPrompt | undefined;
  oldestStream: QueuedPrompt | undefined;

  push(prompt: QueuedPrompt): void {
    const { last } = this;
    if (last) last.next = prompt;
    else this.first = prompt;
    prompt.previous = last;
    this.last = prompt;
    prompt.queued = true;
    if (prompt.stream) this.oldestStream ??= prompt;
  }

  unlink(prompt: QueuedPrompt): void {
    const { previous, next } = prompt;
    if (previous) previous.next = next;
    else this.first = next;
    if (next) next.previous = previous;
    else this.last = previous;
    if (prompt === this.oldestStream) {
      let stream = next;
      while (stream && !stream.stream) stream = stream.next;
      this.oldestStream = stream;
    }
    prompt.previous = undefined;
    prompt.next = undefined;
    prompt.queued = false;
  }
}
