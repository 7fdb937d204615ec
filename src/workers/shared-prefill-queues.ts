import type { ThreadMemory } from '../base/thread-memory.ts';
import type { ForeignLoads } from './foreign-loads.ts';
import { SHARED_SLOTS } from './ledger-columns.ts';
import { addGap, dropGaps, openLineRow, PrefillLine, type LineRow } from './prefill-line.ts';
import { shareOf, type PromptQueues, type QueuedPrompt } from './prefill-queues.ts';
import type { Rates } from './prefill-rates.ts';

/**
 * The queues of a router with several threads: each keeps its own prompts, and the rules of `PrefillQueues` hold for the line in
 * which those of all threads stand. Nobody waits for anybody: two threads that change a line at the same moment see each other's
 * change a moment later. What they make of the head then is wrong by as much as is computed in that moment, and when the line
 * has been empty even that is over.
 */
export class SharedPrefillQueues implements PromptQueues {
  readonly #rates: Rates;
  readonly #foreign: Pick<ForeignLoads, 'prefillTokens'> | undefined;
  readonly #rows: readonly LineRow[];
  readonly #mine: LineRow;
  readonly #queues: (Queue | undefined)[] = [];
  readonly #outstanding = new Float64Array(SHARED_SLOTS);
  readonly #moving = new Set<number>();
  readonly #line: PrefillLine;

  constructor(memory: ThreadMemory, rates: Rates, foreign?: Pick<ForeignLoads, 'prefillTokens'>) {
    this.#rates = rates;
    this.#foreign = foreign;
    this.#rows = Array.from({ length: memory.rows }, (_, row) => openLineRow(memory, row));
    this.#mine = this.#rows[memory.self]!;
    this.#line = new PrefillLine(this.#rows);
  }

  reserve(): void {
    // There is room for all slots.
  }

  moves(slot: number): boolean {
    for (const { unseen } of this.#rows) if (unseen[slot]! > 0) return true;
    return false;
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
    const { left, head, streamStart } = this.#look(slot, now);
    // A stream counts in full, though part of it may be computed.
    return Math.min(Math.max(left + Math.max(0, head - streamStart), queued - unseen), queued);
  }

  /** Of the slots that `note` was told of, and of those that move. */
  column(now: number): Float64Array {
    const column = this.#outstanding;
    for (const slot of this.#moving) column[slot] = Math.ceil(this.outstanding(slot, now));
    return column;
  }

  /** Some thread has changed the line: `column` is to show it. */
  note(slot: number): void {
    if (this.moves(slot)) {
      this.#moving.add(slot);
      return;
    }
    this.#moving.delete(slot);
    this.#outstanding[slot] = this.outstanding(slot, 0);
  }

  remaining(slot: number, now: number): number {
    return this.#look(slot, now).left;
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
    this.#retire(queue, head);
    queue.push(prompt);
    this.#show(slot, queue, head);
  }

  remove(prompt: QueuedPrompt, now: number): void {
    const { slot } = prompt;
    const queue = this.#queues[slot];
    if (!prompt.queued || !queue) return;
    const { head } = this.#settle(slot, now);
    this.#retire(queue, head);
    // It may have been found computed.
    if (prompt.queued) {
      const start = Math.max(head, prompt.end - prompt.prefill);
      if (start < prompt.end) addGap(this.#mine, slot, start, prompt.end);
      this.#unlink(queue, prompt);
    }
    this.#show(slot, queue, head);
  }

  /** Control: the thread of the row has died. What it had in line is gone. */
  reclaim(row: number, now: number): void {
    const dead = this.#rows[row];
    if (!dead) return;
    for (const [slot, queued] of dead.queued.entries()) {
      if (queued === 0) continue;
      const { left, end } = this.#look(slot, now);
      // Where it stood died with the thread.
      addGap(dead, slot, end - Math.min(queued, left), end);
      dead.queued[slot] = 0;
      dead.unseen[slot] = 0;
      dead.streamEnd[slot] = 0;
    }
  }

  /** The same object each time: this is asked for often. */
  #look(slot: number, now: number): PrefillLine {
    return this.#line.look(slot, now, this.#rates.rate(slot) * this.#share(slot));
  }

  #share(slot: number): number {
    const foreign = this.#foreign?.prefillTokens(slot) ?? 0;
    if (foreign === 0) return 1;
    let own = 0;
    for (const row of this.#rows) own += row.queued[slot]!;
    return shareOf(own, foreign);
  }

  /** Shows the others where the head is before the line changes: from here on it moves by other rules. */
  #settle(slot: number, now: number): PrefillLine {
    const line = this.#look(slot, now);
    this.#mine.head[slot] = line.head;
    this.#mine.headAt[slot] = now;
    return line;
  }

  /** What is not streamed is done when the head is past it. */
  #retire(queue: Queue, head: number): void {
    while (queue.first && !queue.first.stream && queue.first.end <= head) this.#unlink(queue, queue.first);
  }

  #unlink(queue: Queue, prompt: QueuedPrompt): void {
    const { slot, prefill, stream } = prompt;
    queue.unlink(prompt);
    this.#mine.queued[slot]! -= prefill;
    if (!stream) this.#mine.unseen[slot]! -= prefill;
  }

  #show(slot: number, { oldestStream }: Queue, head: number): void {
    const { streamStart, streamEnd } = this.#mine;
    streamStart[slot] = oldestStream ? oldestStream.end - oldestStream.prefill : 0;
    streamEnd[slot] = oldestStream?.end ?? 0;
    dropGaps(this.#mine, slot, head);
  }
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
