import type { Channel } from '../base/channel.ts';
import type { Clock } from '../base/clock.ts';
import type { PromptBlocks } from '../routing/blocks.ts';
import type { CacheMatch, MatchColumns } from '../routing/policy.ts';
import type { CacheIndex } from './cache-index.ts';
import { INDEX_IS, INDEX_RECORDS, INDEX_WANTED, type ShownIndex } from './index-messages.ts';
import { matchOf, tokensOf } from './predicted-index.ts';
import { RecordRing, type CacheFinding } from './record-ring.ts';
import { usedAt } from './table-memory.ts';
import { IndexReader, TableReader } from './table-reader.ts';

/** A policy that is made for a request has the index shown within milliseconds; hardly so many are routed meanwhile. */
const MOST_EARLY = 64;

interface Early {
  readonly blocks: PromptBlocks;
  readonly slot: number;
  readonly generation: number;
  readonly tokens: number;
}

/**
 * The predicted index as a request thread sees it: it looks at the tables that control writes, and what it routes it notes in a
 * ring, from which control takes it over within milliseconds. There is one per thread; while nobody needs the index, and until
 * control has shown it, nothing is known to be held.
 */
export class PredictedIndexView implements CacheIndex {
  readonly #channel: Channel;
  readonly #clock: Clock;
  #reader: IndexReader | undefined;
  #records: RecordRing | undefined;
  /** Routed since a policy wanted the index, and before control has shown it. */
  #early: Early[] = [];
  #wanted = false;
  /** By row: nothing. */
  readonly #nothing = new Float64Array(1);
  #noRows = new Int32Array(0);

  constructor(channel: Channel, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
    channel.on(INDEX_IS, (shown) => {
      this.#show(shown);
    });
  }

  /** A policy needs it. */
  open(): this {
    this.#wanted = true;
    this.#channel.post(INDEX_WANTED, true);
    return this;
  }

  close(): void {
    this.#wanted = false;
    this.#early = [];
    this.#channel.post(INDEX_WANTED, false);
  }

  match(blocks: PromptBlocks, slot: number): CacheMatch {
    return matchOf(this.#reader?.match(blocks, slot) ?? 0);
  }

  matchAll(blocks: PromptBlocks, end: number): MatchColumns {
    if (this.#reader) return this.#reader.matchAll(blocks, end);
    if (this.#noRows.length < end) this.#noRows = new Int32Array(2 * end);
    return { rows: this.#noRows, tokens: this.#nothing };
  }

  recent(blocks: PromptBlocks, slot: number, withinMs: number): number {
    return this.#reader?.match(blocks, slot, usedAt(this.#clock.now() - withinMs)) ?? 0;
  }

  /** Where control is so far behind that the ring is full, the prompt is not noted, and counted. */
  record(blocks: PromptBlocks, slot: number, generation: number, isAgain = false): void {
    const early = { blocks, slot, generation, tokens: isAgain ? 0 : tokensOf(blocks) };
    if (this.#records) this.#note(this.#records, early);
    else if (this.#wanted && this.#early.length < MOST_EARLY) this.#early.push(early);
  }

  lastUse(blocks: PromptBlocks, slot: number): number | undefined {
    return this.#reader?.lastUse(blocks, slot);
  }

  learn(finding: CacheFinding, slot: number, generation: number): void {
    if (this.#records?.appendFinding(finding, slot, generation) === true)
      this.#channel.post(INDEX_RECORDS, null);
  }

  #note(records: RecordRing, { blocks, ...to }: Early): void {
    if (records.append(blocks, to)) this.#channel.post(INDEX_RECORDS, null);
  }

  hear(): void {
    // Control hears it, for all threads.
  }

  forget(): void {
    // Control does, for all threads.
  }

  sweep(): boolean {
    return false;
  }

  reconfigure(): void {
    // Control does, and shows the tables of the new size.
  }

  get entries(): number {
    return 0;
  }

  get bytes(): number {
    return 0;
  }

  entriesOf(): number {
    return 0;
  }

  #show(shown: ShownIndex): void {
    this.#reader =
      shown && new IndexReader(new TableReader(shown.current), shown.former && new TableReader(shown.former));
    this.#records = shown && new RecordRing(shown.records);
    if (!this.#records) return;
    for (const record of this.#early) this.#note(this.#records, record);
    this.#early = [];
  }
}
