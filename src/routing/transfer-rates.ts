import { nthLowest } from '../base/nth-lowest.ts';

/** Seconds for one token of KV cache before anything was learnt: 128 KiB, as of a model of 8 billion parameters, at 100 Gbit/s. */
const PRIOR_SECONDS = 131_072 / 12.5e9;
/** Samples of fewer tokens measure the way there more than the transfer. */
const LEAST_TOKENS = 256;
/** A sample's weight falls to 1/e when this many further tokens have been seen. */
const MEMORY_TOKENS = 131_072;
/** How far one sample may lie from what was expected. */
const WIDEST_FACTOR = 4;
/** Decode workers that a pair is learnt with, and pairs altogether: beyond, they count as the typical one. */
const MOST_SLOTS = 4096;
const MOST_PAIRS = 1 << 16;

/** Seconds per token from one worker to another, both by slot. */
export interface TransferView {
  /** To all decode workers with slots below `end`. Good until something is learnt or forgotten. */
  rowOf(prefillSlot: number, end: number): Float64Array;
}

interface Row {
  /** Tokens and seconds seen, both fading with further tokens; their quotient is the mean weighted by tokens. */
  tokens: Float64Array;
  seconds: Float64Array;
  /** That quotient, the typical one where nothing was seen. */
  perToken: Float64Array;
}

/** How long KV blocks take from each prefill to each decode worker, learnt from how long transfers took. */
export class TransferRates implements TransferView {
  readonly #rows = new Map<number, Row>();
  /** For prefill workers of which nothing is known. */
  #typical = new Float64Array(16).fill(PRIOR_SECONDS);
  #median = PRIOR_SECONDS;
  #known = 0;
  #pairs = 0;
  #samplesSinceMedian = 0;

  rowOf(prefillSlot: number, end: number): Float64Array {
    const row = this.#rows.get(prefillSlot);
    if (row) {
      if (row.perToken.length < end) this.#widen(row, end);
      return row.perToken;
    }
    if (this.#typical.length < end) this.#typical = new Float64Array(2 * end).fill(this.#median);
    return this.#typical;
  }

  secondsPerToken(prefillSlot: number, decodeSlot: number): number {
    return this.#rows.get(prefillSlot)?.perToken[decodeSlot] ?? this.#median;
  }

  /** `tokens` of KV cache took so many seconds: what the decode worker had before it left out. */
  learn(prefillSlot: number, decodeSlot: number, tokens: number, seconds: number): void {
    if (!(tokens >= LEAST_TOKENS) || !(seconds > 0) || decodeSlot >= MOST_SLOTS) return;
    const row = this.#rows.get(prefillSlot) ?? this.#open(prefillSlot, decodeSlot + 1);
    if (row === undefined) return;
    if (row.tokens.length <= decodeSlot && !this.#lengthen(row, decodeSlot + 1)) return;
    const expected = tokens * row.perToken[decodeSlot]!;
    const taken = Math.min(Math.max(seconds, expected / WIDEST_FACTOR), expected * WIDEST_FACTOR);
    const kept = Math.exp(-tokens / MEMORY_TOKENS);
    if (row.tokens[decodeSlot] === 0) this.#known += 1;
    row.tokens[decodeSlot] = row.tokens[decodeSlot]! * kept + tokens;
    row.seconds[decodeSlot] = row.seconds[decodeSlot]! * kept + taken;
    row.perToken[decodeSlot] = row.seconds[decodeSlot] / row.tokens[decodeSlot];
    this.#samplesSinceMedian += 1;
    if (this.#samplesSinceMedian >= this.#known) this.#refresh();
  }

  /** The worker of that slot has left, whichever its role. */
  forget(slot: number): void {
    const own = this.#rows.get(slot);
    if (own) {
      this.#rows.delete(slot);
      this.#pairs -= own.tokens.length;
      for (const tokens of own.tokens) if (tokens > 0) this.#known -= 1;
    }
    for (const row of this.#rows.values()) {
      if (slot >= row.tokens.length || row.tokens[slot] === 0) continue;
      row.tokens[slot] = row.seconds[slot] = 0;
      row.perToken[slot] = this.#median;
      this.#known -= 1;
    }
  }

  #open(prefillSlot: number, length: number): Row | undefined {
    const row = { tokens: new Float64Array(0), seconds: new Float64Array(0), perToken: new Float64Array(0) };
    if (!this.#lengthen(row, length)) return undefined;
    this.#rows.set(prefillSlot, row);
    return row;
  }

  /** False where there is no room for more pairs. */
  #lengthen(row: Row, least: number): boolean {
    const before = row.tokens.length;
    const length = Math.min(MOST_SLOTS, Math.max(16, 2 * before, 2 ** Math.ceil(Math.log2(least))));
    if (this.#pairs + length - before > MOST_PAIRS) return false;
    this.#pairs += length - before;
    row.tokens = longer(row.tokens, length, 0);
    row.seconds = longer(row.seconds, length, 0);
    if (row.perToken.length < length) this.#widen(row, length);
    return true;
  }

  #widen(row: Row, end: number): void {
    row.perToken = longer(row.perToken, end, this.#median);
  }

  /** Looked for anew only after as many samples as there are pairs that something is known of. */
  #refresh(): void {
    const known: number[] = [];
    for (const { tokens, perToken } of this.#rows.values())
      for (const [slot, seen] of tokens.entries()) if (seen > 0) known.push(perToken[slot]!);
    this.#median = known.length > 0 ? nthLowest(Float64Array.from(known), known.length >> 1) : PRIOR_SECONDS;
    this.#samplesSinceMedian = 0;
    this.#typical.fill(this.#median);
    for (const { tokens, perToken } of this.#rows.values())
      for (let slot = 0; slot < perToken.length; slot++)
        if (!(tokens[slot]! > 0)) perToken[slot] = this.#median;
  }
}

function longer(row: Float64Array, length: number, filler: number): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(length).fill(filler);
  copy.set(row);
  return copy;
}
