import type { PoolColumns } from './stage-columns.ts';
import type { TransferView } from './transfer-rates.ts';
import {
  batchSeconds,
  firstTokenSeconds,
  overflowSeconds,
  roomSeconds,
  stallSeconds,
  type CostAsk,
} from './worker-cost.ts';

/** Where a pair's seconds go; they add up to `seconds`. */
export interface PairParts {
  /** Wait and prefill at P. */
  readonly prefill: number;
  /** Those who will wait behind it there. */
  readonly stall: number;
  /** P's blocks to D, those left out that D has. */
  readonly transfer: number;
  /** The prompts that D computes before it. */
  readonly wait: number;
  /** The place that it takes in D's cache. */
  readonly room: number;
  /** Decoding in D's batch. */
  readonly batch: number;
  /** KV cache that there is no room for, at P and at D. */
  readonly overflow: number;
}

export interface PairChoice {
  /** Index into the prefill pool. */
  readonly prefill: number;
  /** Index into the decode pool. */
  readonly decode: number;
  readonly seconds: number;
  readonly parts: PairParts;
  /** The best pair's seconds of each P with any D, and of each D with the P chosen; NaN of those that may not be chosen. Good until the next choice. */
  readonly prefillScores: Float64Array;
  readonly decodeScores: Float64Array;
}

export interface PairPools {
  readonly prefill: PoolColumns;
  readonly decode: PoolColumns;
  readonly transfers: TransferView;
  /** Turns in which the members were last given a cold prompt, by slot: who was longest ago is first among equals. */
  readonly prefillTurns?: Float64Array;
  readonly decodeTurns?: Float64Array;
  /** What a stage's own policy has chosen. */
  readonly chosen?: { readonly prefill?: number | undefined; readonly decode?: number | undefined };
  /** Whether this pair can hand over now. Asked of few: only of pairs better than all before. */
  readonly may?: (prefill: number, decode: number) => boolean;
}

/** Pairs this close to the best are a tie, as in `least_work`. */
const TIE = 0.05;

/**
 * The prefill and decode worker where a request that is served apart costs least, in seconds:
 *
 *     S(P, D) = (Q_P + U_P) / rate_P  +  theta * n_P * U_P / rate_P  +  M_D * s_PD  +  (Q_D + 1) / rate_D
 *                +  R_D  +  theta * 2 A n_D d  +  O_P + O_D
 *
 * Q: prompt tokens waiting, U: tokens of this prompt not cached at P, M: those that D does not have, s: learnt seconds per token of the
 * pair, n: requests there, R: the place in D's cache (`roomSeconds`), A: tokens of the answer, d: what one request adds to a step, O: KV
 * cache without room. P is scored as `least_work` scores a worker. The transfer and D's wait are the rest of the first token, as Mooncake's
 * conductor counts it; what follows is the answer's, the second stage of DistServe and Splitwise, and keeps a prompt where its beginning is.
 */
export class PairCost {
  #prefillSide = new Float64Array(0);
  #decodeSide = new Float64Array(0);
  #missing = new Float64Array(0);
  #prefillScores = new Float64Array(0);
  #decodeScores = new Float64Array(0);
  /** Above all slots of the decode pool. */
  #end = 0;

  /** Undefined where nobody may be chosen, or no pair can hand over. */
  choosePair(ask: CostAsk, pools: PairPools): PairChoice | undefined {
    this.#weigh(ask, pools);
    const best = this.#lowest(pools);
    if (best === undefined) return undefined;
    const { prefill, decode } = this.#longestNotCold(pools, best);
    return {
      ...{ prefill, decode, ...pairSeconds(ask, pools, prefill, decode) },
      ...{ prefillScores: this.#prefillScores, decodeScores: this.#scoreDecode(pools, prefill) },
    };
  }

  /** What does not depend on the other half. */
  #weigh(ask: CostAsk, { prefill, decode }: PairPools): void {
    const prefills = prefill.slots.length;
    const decodes = decode.slots.length;
    if (this.#prefillSide.length !== prefills) {
      this.#prefillSide = new Float64Array(prefills);
      this.#prefillScores = new Float64Array(prefills);
    }
    if (this.#decodeSide.length !== decodes) {
      this.#decodeSide = new Float64Array(decodes);
      this.#missing = new Float64Array(decodes);
      this.#decodeScores = new Float64Array(decodes);
    }
    for (let index = 0; index < prefills; index++)
      this.#prefillSide[index] = prefillSide(ask, prefill, index);
    this.#end = 0;
    for (let index = 0; index < decodes; index++) {
      this.#end = Math.max(this.#end, decode.slots[index]! + 1);
      this.#decodeSide[index] = waitOf(decode, index) + answerSide(ask, decode, index);
      this.#missing[index] = missingAt(ask, decode, index);
    }
  }

  /** Writes the best seconds of each P. */
  #lowest({ prefill, decode, transfers, chosen, may }: PairPools): Pair | undefined {
    const sums = { slots: decode.slots, missing: this.#missing, rest: this.#decodeSide };
    const range = rangeOf(decode, chosen?.decode);
    const { from, to } = rangeOf(prefill, chosen?.prefill);
    let best: Pair | undefined;
    this.#prefillScores.fill(NaN);
    for (let p = from; p < to; p++) {
      const first = this.#prefillSide[p]!;
      const row = transfers.rowOf(prefill.slots[p]!, this.#end);
      let d = lowest(row, sums, range);
      if (d >= 0 && may?.(p, d) === false) d = lowestOfThose(row, sums, range, (index) => may(p, index));
      const seconds = d < 0 ? NaN : first + row[decode.slots[d]!]! * this.#missing[d]! + this.#decodeSide[d]!;
      this.#prefillScores[p] = seconds;
      if (seconds < (best?.seconds ?? Infinity)) best = { prefill: p, decode: d, seconds };
    }
    return best;
  }

  #longestNotCold(pools: PairPools, best: Pair): Pair {
    const { prefill, decode, prefillTurns, decodeTurns, chosen, may } = pools;
    const atMost = best.seconds * (1 + TIE);
    let pick = best;
    if (prefillTurns && chosen?.prefill === undefined) {
      let turn = prefillTurns[prefill.slots[best.prefill]!] ?? 0;
      for (let p = 0; p < prefill.slots.length; p++) {
        const own = prefillTurns[prefill.slots[p]!] ?? 0;
        if (own >= turn || prefill.saved[p] !== prefill.saved[best.prefill]) continue;
        if (!(this.#secondsOf(pools, p, best.decode) <= atMost) || (may && !may(p, best.decode))) continue;
        turn = own;
        pick = { ...pick, prefill: p };
      }
    }
    if (!decodeTurns || chosen?.decode !== undefined) return pick;
    let turn = decodeTurns[decode.slots[best.decode]!] ?? 0;
    for (let d = 0; d < decode.slots.length; d++) {
      const own = decodeTurns[decode.slots[d]!] ?? 0;
      if (own >= turn || decode.saved[d] !== decode.saved[best.decode]) continue;
      if (!(this.#secondsOf(pools, pick.prefill, d) <= atMost) || (may && !may(pick.prefill, d))) continue;
      turn = own;
      pick = { ...pick, decode: d };
    }
    return pick;
  }

  #secondsOf({ prefill, decode, transfers }: PairPools, p: number, d: number): number {
    const slot = decode.slots[d]!;
    const perToken = transfers.rowOf(prefill.slots[p]!, slot + 1)[slot]!;
    return this.#prefillSide[p]! + perToken * this.#missing[d]! + this.#decodeSide[d]!;
  }

  #scoreDecode(pools: PairPools, p: number): Float64Array {
    for (let d = 0; d < this.#decodeScores.length; d++) this.#decodeScores[d] = this.#secondsOf(pools, p, d);
    return this.#decodeScores;
  }
}

interface Pair {
  readonly prefill: number;
  readonly decode: number;
  readonly seconds: number;
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** The whole pool, or the one member that was chosen. */
function rangeOf({ slots }: PoolColumns, chosen: number | undefined): Range {
  return chosen === undefined ? { from: 0, to: slots.length } : { from: chosen, to: chosen + 1 };
}

/** By decode worker: what it lacks of the prompt, and all that it costs beside the transfer. */
interface DecodeSums {
  readonly slots: Int32Array;
  readonly missing: Float64Array;
  readonly rest: Float64Array;
}

/** Where the transfer and the rest cost least; -1 where nobody may be chosen. */
function lowest(perToken: Float64Array, { slots, missing, rest }: DecodeSums, { from, to }: Range): number {
  let best = -1;
  let least = Infinity;
  for (let index = from; index < to; index++) {
    const seconds = perToken[slots[index]!]! * missing[index]! + rest[index]!;
    if (seconds < least) {
      best = index;
      least = seconds;
    }
  }
  return best;
}

/** The same of those that pass. A loop of its own, as the other one, which is nearly always enough, calls nothing. */
function lowestOfThose(
  perToken: Float64Array,
  { slots, missing, rest }: DecodeSums,
  { from, to }: Range,
  passes: (index: number) => boolean,
): number {
  let best = -1;
  let least = Infinity;
  for (let index = from; index < to; index++) {
    const seconds = perToken[slots[index]!]! * missing[index]! + rest[index]!;
    if (!(seconds < least) || !passes(index)) continue;
    best = index;
    least = seconds;
  }
  return best;
}

/** What one pair costs, whoever chose it. */
export function pairSeconds(
  ask: CostAsk,
  { prefill, decode, transfers }: Pick<PairPools, 'prefill' | 'decode' | 'transfers'>,
  p: number,
  d: number,
): Pick<PairChoice, 'seconds' | 'parts'> {
  const slot = decode.slots[d]!;
  const parts = {
    prefill: firstTokenSeconds(prefill, p, ask),
    transfer: missingAt(ask, decode, d) * transfers.rowOf(prefill.slots[p]!, slot + 1)[slot]!,
    stall: stallSeconds(prefill, p, ask),
    wait: waitOf(decode, d),
    room: roomSeconds(decode, d, ask),
    batch: batchSeconds(decode, d, ask),
    overflow:
      overflowSeconds(prefill, p, ask.promptTokens) +
      overflowSeconds(decode, d, ask.promptTokens + ask.answerTokens),
  };
  const first = parts.prefill + parts.stall + parts.transfer + parts.wait;
  return { seconds: first + parts.room + parts.batch + parts.overflow, parts };
}

function prefillSide(ask: CostAsk, columns: PoolColumns, index: number): number {
  return (
    firstTokenSeconds(columns, index, ask) +
    stallSeconds(columns, index, ask) +
    overflowSeconds(columns, index, ask.promptTokens)
  );
}

function answerSide(ask: CostAsk, columns: PoolColumns, index: number): number {
  const kept = ask.promptTokens + ask.answerTokens;
  return (
    roomSeconds(columns, index, ask) +
    batchSeconds(columns, index, ask) +
    overflowSeconds(columns, index, kept)
  );
}

/** D computes the last token of a prompt itself, behind those that it has before it. NaN where D may not be chosen. */
function waitOf(columns: PoolColumns, index: number): number {
  return (columns.prefillTokens[index]! + 1) / columns.prefillRate[index]! + 0 * columns.saved[index]!;
}

function missingAt({ promptTokens }: CostAsk, { saved }: PoolColumns, index: number): number {
  return Math.max(0, promptTokens - saved[index]!);
}
