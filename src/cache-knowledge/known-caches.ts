import type { CacheKnowledge } from '../config/settings/cache-knowledge.ts';
import { wholeBlocks, type PromptBlocks } from '../routing/blocks.ts';
import type { Ask, CacheMatch, CacheView, MatchColumns } from '../routing/policy.ts';
import type { CacheIndex } from './cache-index.ts';
import type { ExactCaches } from './exact-caches.ts';
import type { FailedSends } from './failed-sends.ts';
import { MatchTable } from './match-table.ts';

/** vLLM's default, for workers that have not told of any block yet. */
const USUAL_BLOCK_SIZE = 16;
const WITH_TOKENS = 0x3c6ef372;
/** Sizes that are told apart in one look: each takes a chain of its own. Workers beyond them are predicted. */
const MOST_BLOCK_SIZES = 8;

/** Whom to ask what workers hold. */
export interface KnownSources {
  /** What was sent where. Absent where nobody keeps it. */
  readonly predicted?: CacheIndex | undefined;
  /** What engines' events say; asked for with each look, as it may come and go. */
  readonly exact?: (() => ExactCaches | undefined) | undefined;
  /** Tokens of a block of the worker in the slot, where its events do not say; 0 where nobody does. */
  readonly blockSize?: ((slot: number) => number) | undefined;
  readonly failed?: Pick<FailedSends, 'since'> | undefined;
  /** How long the worker in the slot is expected to compute what it has been sent, ms: a prompt waits in its queue without an event. */
  readonly waitMs?: ((slot: number) => number) | undefined;
}

export interface KnownOptions {
  readonly knowledge?: CacheKnowledge | undefined;
  /**
   * For so long a prompt that was sent to a worker, and has not to wait there, counts as held, whatever its events say; 0 = not at
   * all.
   */
  readonly speculativeMs?: number | undefined;
}

/** Engines compute a prompt, and tell of it, within seconds of getting it. */
const SPECULATIVE_MS = 2000;

/**
 * What policies see of the workers' caches, put together from the best that is known of each of them: its engine's events where
 * they are received and the prompt's tokens are known, what LMCache's controller has said about the prompt, and else what is
 * predicted from the prompts that were sent there. A worker whose events are lost is predicted from the next look on. Where they are
 * received again, or from later on than it began, they do not tell of all that it holds: until they do, whichever says more counts.
 *
 * LMCache stores chunks beside the engine's own cache, and an engine uses whichever has more of a prompt; so does this.
 *
 * An engine tells of a block when it computes it. The next request with the same beginning may come before that, so what was sent to
 * a worker just now counts as held there until its events have had the time to say so, what waits in its queue included. Where a request has failed there meanwhile,
 * what was sent before that does not.
 */
export class KnownCaches implements CacheView {
  readonly #index: CacheIndex | undefined;
  readonly #predicts: boolean;
  readonly #exact: KnownSources['exact'];
  readonly #failed: KnownSources['failed'];
  readonly #blockSize: NonNullable<KnownSources['blockSize']>;
  readonly goesByHoldings: boolean;
  readonly #speculativeMs: number;
  readonly #waitMs: NonNullable<KnownSources['waitMs']>;
  readonly #table = new MatchTable();
  /** By slot: tokens of the prompt that were sent there, as its chain of tokens says. */
  #sent = new Float64Array(0);
  /** By slot: 1 where the tokens were known of all that was sent there of the prompt. */
  #knownAll = new Uint8Array(0);
  /** Slots of the last look. */
  #end = 0;

  constructor(
    { predicted, exact, blockSize, failed, waitMs }: KnownSources,
    { knowledge = 'auto', speculativeMs = SPECULATIVE_MS }: KnownOptions = {},
  ) {
    this.#index = predicted;
    this.#predicts = knowledge === 'auto' || knowledge === 'predicted';
    this.#exact = knowledge === 'auto' || knowledge === 'events' ? exact : undefined;
    this.#failed = failed;
    this.#blockSize = blockSize ?? (() => 0);
    this.goesByHoldings = knowledge === 'auto' || knowledge === 'lmcache';
    this.#speculativeMs = speculativeMs;
    this.#waitMs = waitMs ?? (() => 0);
  }

  /** The events of some worker are received. */
  get goesByTokens(): boolean {
    const exact = this.#exact?.();
    if (exact === undefined) return false;
    // Before the first look nobody knows which slots there are.
    if (this.#end === 0) return true;
    for (let slot = 0; slot < this.#end; slot++) if (exact.isLive(slot)) return true;
    return false;
  }

  match(ask: Ask, slot: number): CacheMatch {
    if (this.#isPredictedAlone(ask)) return this.#index?.match(ask.blocks(), slot) ?? NOT_KNOWN;
    this.#look(ask, slot, slot + 1);
    return this.#table.at(slot);
  }

  matchAll(ask: Ask, end: number): MatchColumns {
    this.#end = end;
    if (this.#index && this.#isPredictedAlone(ask)) return this.#index.matchAll(ask.blocks(), end);
    this.#look(ask, 0, end);
    return this.#table.columns();
  }

  /** There is nothing else to know of the prompt than where its text was sent. */
  #isPredictedAlone(ask: Ask): boolean {
    if (!this.#predicts) return false;
    return ask.tokenIds() === undefined && (!this.goesByHoldings || ask.holdings === undefined);
  }

  /** Enters what is known of the slots from `from` up to `end` into the table, the best last. */
  #look(ask: Ask, from: number, end: number): void {
    this.#table.begin(end);
    const exact = this.#exact?.();
    if (this.#predicts) this.#enterText(ask, from, end);
    if (ask.tokenIds() !== undefined)
      for (const blockSize of this.#sizes(exact, from, end)) {
        const chain = ask.chain({ blockSize });
        if (chain === undefined) continue;
        this.#enterSent(chain, exact, from, end);
        if (exact) this.#enterEvents(chain, exact, from, end);
      }
    if (this.goesByHoldings && ask.holdings) this.#enterHoldings(ask, from, end);
  }

  #enterText(ask: Ask, from: number, end: number): void {
    if (this.#index === undefined) return;
    const { rows, tokens } = this.#index.matchAll(ask.blocks(), end);
    for (let slot = from; slot < end; slot++) this.#table.set(slot, tokens[rows[slot]!]!, 'predicted');
    if (ask.tokenIds() !== undefined) this.#compareText(ask, from, end);
  }

  /** Finds out of which workers the tokens of all that the text matches were known when it was sent there. */
  #compareText(ask: Ask, from: number, end: number): void {
    if (this.#index === undefined) return;
    if (this.#knownAll.length < end) this.#knownAll = new Uint8Array(2 * end);
    const blocks = ask.blocks();
    const { rows, tokens } = this.#index.matchAll(withTokens(blocks), end);
    const answerer = blocks.beginning?.expectsAnswer === true ? blocks.beginning.answer?.slot : undefined;
    for (let slot = from; slot < end; slot++) {
      const matched = this.#table.tokens[slot]!;
      this.#knownAll[slot] = Number(matched === tokens[rows[slot]!]! && slot !== answerer);
    }
  }

  /**
   * What was sent to workers as its tokens say, which is to the block. Where a prompt was noted as text alone, as its tokens were not
   * known in time, or where an answer is expected behind it, the text may know of more: a look that knows the tokens finds no less
   * than one that does not.
   */
  #enterSent(chain: PromptBlocks, exact: ExactCaches | undefined, from: number, end: number): void {
    if (this.#index === undefined) return;
    if (this.#sent.length < end) this.#sent = new Float64Array(2 * end);
    const { rows, tokens } = this.#index.matchAll(chain, end);
    const { totalTokens, tokensPerBlock } = chain;
    for (let slot = from; slot < end; slot++) {
      if (this.#sizeIn(exact, slot) !== tokensPerBlock) continue;
      const sent = (this.#sent[slot] = wholeBlocks(tokens[rows[slot]!]!, totalTokens, tokensPerBlock));
      if (!this.#predicts) continue;
      const byText = wholeBlocks(this.#table.tokens[slot]!, totalTokens, tokensPerBlock);
      this.#table.set(slot, this.#knownAll[slot] === 1 ? sent : Math.max(sent, byText), 'predicted');
    }
  }

  #enterEvents(chain: PromptBlocks, exact: ExactCaches, from: number, end: number): void {
    const held = exact.matchAll(chain, end);
    const { totalTokens, tokensPerBlock } = chain;
    for (let slot = from; slot < end; slot++) {
      const blocks = held[slot]!;
      if (blocks < 0 || this.#sizeIn(exact, slot) !== tokensPerBlock) continue;
      const tokens = wholeBlocks(blocks * tokensPerBlock, totalTokens, tokensPerBlock);
      const predicted = exact.isWhole(slot) ? 0 : this.#table.tokens[slot]!;
      const expected = Math.max(predicted, this.#speculated(chain, slot, tokens));
      if (expected > tokens) this.#table.set(slot, expected, 'predicted');
      else this.#table.set(slot, tokens, 'events');
      if (blocks === 0 || !exact.isAway(slot)) continue;
      const away = exact.tiers(chain, slot);
      const cpu = Math.min(tokens, away.cpu * tokensPerBlock);
      this.#table.setTiers(slot, cpu, Math.min(tokens - cpu, away.disk * tokensPerBlock));
    }
  }

  /** Tokens that the worker in the slot holds or is about to: those it was sent within the time that events may take. */
  #speculated(chain: PromptBlocks, slot: number, held: number): number {
    if (this.#index === undefined || this.#speculativeMs === 0 || this.#sent[slot]! <= held) return held;
    const mayWaitMs = this.#speculativeMs + this.#waitMs(slot);
    const withinMs = Math.min(mayWaitMs, this.#failed?.since(slot) ?? Infinity);
    const { totalTokens, tokensPerBlock } = chain;
    return wholeBlocks(this.#index.recent(chain, slot, withinMs), totalTokens, tokensPerBlock);
  }

  #enterHoldings({ holdings }: Ask, from: number, end: number): void {
    for (const { slot, tokens, tier } of holdings?.held ?? []) {
      if (slot < from || slot >= end) continue;
      const known = this.#table.at(slot);
      if (tokens < known.tokens) continue;
      const { cpu = 0, disk = 0 } = known.tiers ?? {};
      // What the engine itself has on its GPU it does not load.
      const away = tokens - (known.source === 'events' ? known.tokens - cpu - disk : 0);
      this.#table.set(slot, tokens, 'lmcache');
      this.#table.setTiers(slot, tier === 'cpu' ? away : 0, tier === 'disk' ? away : 0);
    }
  }

  #sizeIn(exact: ExactCaches | undefined, slot: number): number {
    return blockSizeIn(exact, slot, this.#blockSize(slot));
  }

  /** Sizes of the blocks of these slots, those of the first ones where there are too many. */
  #sizes(exact: ExactCaches | undefined, from: number, end: number): readonly number[] {
    const sizes: number[] = [];
    for (let slot = from; slot < end && sizes.length < MOST_BLOCK_SIZES; slot++) {
      const size = this.#sizeIn(exact, slot);
      if (!sizes.includes(size)) sizes.push(size);
    }
    return sizes;
  }
}

const NOT_KNOWN: CacheMatch = { tokens: 0, source: 'none' };

/**
 * Notes that a prompt goes to the worker in `slot`, whose cache will then hold it: as text, which is there for every prompt, and where
 * its tokens are known in the worker's own blocks, too, and that they were.
 */
export function noteDispatch(
  index: CacheIndex,
  ask: Ask,
  {
    slot,
    generation,
    blockSize,
  }: { readonly slot: number; readonly generation: number; readonly blockSize: number },
): void {
  index.record(ask.blocks(), slot, generation);
  const chain = ask.chain({ blockSize });
  if (chain === undefined) return;
  index.record(withTokens(ask.blocks()), slot, generation, true);
  index.record(chain, slot, generation, true);
}

/** The text of a prompt whose tokens were known when it was sent: blocks of their own, beside those of all text. */
function withTokens(blocks: PromptBlocks): PromptBlocks {
  const hashes = blocks.hashes.slice();
  for (let at = 1; at < hashes.length; at += 2) hashes[at]! ^= WITH_TOKENS;
  return { ...blocks, hashes };
}

/** Tokens of a block of the worker in the slot; `told`: what it said of its cache, 0 for nothing. */
export function blockSizeIn(exact: ExactCaches | undefined, slot: number, told: number): number {
  return exact?.blockSize(slot) || told || USUAL_BLOCK_SIZE;
}
