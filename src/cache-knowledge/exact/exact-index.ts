import type { StoredEvent, Tier } from '../events/kv-event.ts';
import { chainBlocks, chainRoot, type ChainLink } from '../../routing/token-chain.ts';
import { AT_ONCE, EntryTable } from './entry-table.ts';
import { MOST_ROWS, type Coverage, type EventsState, type ExactMemory } from './exact-memory.ts';
import { RowTable, type ExactRow } from './row-table.ts';
import { COPY, isAway, withoutTier, withTier } from './tiers.ts';

/** Entries that are looked at to make room for one; more, where none of them can go, as in one prompt of a million tokens. */
const LOOKED_AT = 4096;
const MOST_LOOKED_AT = 65_536;

/**
 * What came of it. `unknown_parent`: nobody told of the block before, so these cannot be placed; `unknown_block`: nor of these.
 * `malformed`: names and tokens do not belong together. `block_size`: another one than the row began with. `full`: no room for all.
 */
export type Stored = 'stored' | 'unknown_parent' | 'unknown_block' | 'malformed' | 'block_size' | 'full';

/** What has been done since the beginning; counts of blocks. */
export interface ExactCounts {
  stored: number;
  removed: number;
  /** Removed though nobody told that it was stored, or it was dropped for want of room. */
  unknown: number;
  /** Dropped for want of room. */
  evicted: number;
}

/**
 * Which blocks the workers hold, as their engines' events say it: a set of (block, row) of a fixed size, as the one thread writes it
 * that may; an `ExactReader` looks at it.
 *
 * An engine's name for a block says nothing of what is in it, so each entry has both: the name, by which the next event speaks of it,
 * and the hash of the block with all before it, by which requests ask. An entry knows its parent, and how many have it as theirs: a
 * block that goes while such as follow it stay leaves a hole, and is kept until they go as well. Rows without holes are closed under
 * prefixes, and are searched in few steps.
 *
 * Where there is no room, a block goes that nothing follows, of a worker that has more than its share.
 */
export class ExactIndex {
  readonly memory: ExactMemory;
  readonly counts: ExactCounts = { stored: 0, removed: 0, unknown: 0, evicted: 0 };
  readonly #table: EntryTable;
  readonly #rows: RowTable;
  readonly #hashes = new Uint32Array(2 * AT_ONCE);
  /** Where the look for entries to be dropped, and for those of rows that are gone, goes on. */
  #evictAt = 0;
  #evictNext = 0;
  #sweepAt = 0;

  /** @param memory As `allocateExact` made it. */
  constructor(memory: ExactMemory) {
    this.memory = memory;
    this.#table = new EntryTable(memory);
    this.#rows = new RowTable(memory);
  }

  /** Entries of rows that are there, holes included. */
  get entries(): number {
    let entries = 0;
    for (let number = 1; number < MOST_ROWS; number++) entries += this.#rows.at(number)?.entries ?? 0;
    return entries;
  }

  /** Entries that somebody has, those of rows that are gone included until they were swept. */
  get taken(): number {
    return this.#table.taken;
  }

  /** Memory in use, bytes. */
  get bytes(): number {
    return this.#table.bytes;
  }

  /** How many entries it has room for. */
  get capacity(): number {
    return this.#table.capacity;
  }

  /** A rank of the worker in the slot tells of its blocks from now on. Undefined: there is no room for it. */
  open(slot: number, rank: number): ExactRow | undefined {
    this.#makeNumber();
    return this.#rows.add(slot, rank);
  }

  /** Nothing of it is held any more; what it stores from now on is. */
  clear(row: ExactRow): void {
    if (row.entries === 0) return;
    this.#makeNumber();
    this.#rows.empty(row);
  }

  /** It has left. */
  forget(row: ExactRow): void {
    if (row.number !== 0) this.#rows.remove(row);
  }

  /** @param generation Of the slot: for another worker in it this does not count. */
  setState(slot: number, generation: number, state: EventsState, coverage: Coverage): void {
    this.#rows.setState(slot, generation, state, coverage);
  }

  store(row: ExactRow, blocks: StoredEvent): Stored {
    const { names, parent, tokens, blockSize, extras } = blocks;
    const count = names.length >>> 1;
    if (row.number === 0) return 'unknown_block';
    if (tokens.length === 0) return this.#addTier(row, blocks);
    if (blockSize < 1 || tokens.length !== count * blockSize) return 'malformed';
    if (row.blockSize !== 0 && row.blockSize !== blockSize) return 'block_size';
    const before = parent === undefined ? 0 : this.#table.find(row.number, parent.low | 0, parent.high | 0);
    if (parent !== undefined && before === 0) return 'unknown_parent';
    if (row.blockSize === 0) this.#rows.learnBlockSize(row, blockSize);
    let link = parent === undefined ? rootOf(row, blocks) : this.#table.link(before);
    let entry = before;
    for (let first = 0; first < count; first += AT_ONCE) {
      const end = Math.min(count, first + AT_ONCE);
      chainBlocks(this.#hashes, link, tokens, blockSize, { first, end, extras });
      this.#table.prepareToStore(row.number, names, this.#hashes, first, end);
      entry = this.#storeHashed(row, blocks, { first, end, before: entry });
      if (entry === 0) return 'full';
      link = this.#table.link(entry);
    }
    return 'stored';
  }

  remove(row: ExactRow, names: Uint32Array, tier: Tier): void {
    if (row.number === 0) return;
    const table = this.#table;
    const count = names.length >>> 1;
    for (let first = 0; first < count; first += AT_ONCE) {
      const end = Math.min(count, first + AT_ONCE);
      table.prepareToRemove(row.number, names, first, end);
      for (let at = first; at < end; at++) {
        const entry = table.prepared(at - first, row.number, names[2 * at]! | 0, names[2 * at + 1]! | 0);
        const before = entry === 0 ? 0 : table.tiers(entry);
        const tiers = withoutTier(before, tier);
        if (tiers === before) this.counts.unknown++;
        else {
          this.counts.removed++;
          if (tiers === 0 && table.children(entry) === 0) this.#releasePrepared(entry, row, at - first);
          else this.#setTiers(entry, row, tiers);
        }
      }
    }
  }

  /**
   * Takes back entries of rows that are gone, looking at so many of all at most.
   *
   * @returns whether there are more of them.
   */
  sweep(budget = 20_000): boolean {
    for (let left = budget; left > 0 && this.#rows.goneEntries > 0; left--) {
      this.#sweepAt = this.#sweepAt >= this.#table.used ? 1 : this.#sweepAt + 1;
      this.#takeBack(this.#sweepAt);
    }
    return this.#rows.goneEntries > 0;
  }

  #takeBack(entry: number): boolean {
    const number = this.#table.row(entry);
    if (number === 0 || this.#rows.at(number) !== undefined) return false;
    this.#table.release(entry);
    this.#rows.tookBack(number);
    return true;
  }

  /** Rows that came and went faster than they were swept have used up the numbers. */
  #makeNumber(): void {
    while (!this.#rows.hasNumber && this.sweep(this.#table.capacity));
  }

  /** Stores blocks whose hashes were just computed. Gives the last one's entry; 0 where there is no room. */
  #storeHashed(
    row: ExactRow,
    { names, tier }: StoredEvent,
    { first, end, before }: { readonly first: number; readonly end: number; readonly before: number },
  ): number {
    const table = this.#table;
    const hashes = this.#hashes;
    const tiers = withTier(0, tier);
    let parent = before;
    for (let at = first; at < end; at++) {
      const low = hashes[2 * (at - first)]! | 0;
      const high = hashes[2 * (at - first) + 1]! | 0;
      const nameLow = names[2 * at]! | 0;
      const nameHigh = names[2 * at + 1]! | 0;
      const known = table.findPrepared(at - first, row.number, nameLow, nameHigh);
      if (known !== 0 && table.isBlock(known, low, high)) {
        this.#setTiers(known, row, withTier(table.tiers(known), tier));
        parent = known;
      } else {
        const entry = this.#takeUnder(parent, row, known);
        if (entry === 0) return 0;
        if (!table.write(entry, row.number | tiers, low, high, nameLow, nameHigh, at - first)) {
          this.#leave(parent, row);
          return 0;
        }
        table.setParent(entry, parent);
        if (tiers !== COPY) this.#rows.addAway(row, 1);
        row.entries++;
        parent = entry;
      }
      this.counts.stored++;
    }
    return parent;
  }

  /** Blocks that are known are in another tier, too. */
  #addTier(row: ExactRow, { names, tier }: StoredEvent): Stored {
    let outcome: Stored = 'stored';
    for (let at = 0; at < names.length; at += 2) {
      const entry = this.#table.find(row.number, names[at]! | 0, names[at + 1]! | 0);
      if (entry === 0) outcome = 'unknown_block';
      else {
        this.#setTiers(entry, row, withTier(this.#table.tiers(entry), tier));
        this.counts.stored++;
      }
    }
    return outcome;
  }

  #setTiers(entry: number, row: ExactRow, tiers: number): void {
    const table = this.#table;
    const before = table.tiers(entry);
    if (tiers === before) return;
    const away = Number(isAway(tiers)) - Number(isAway(before));
    if (away !== 0) this.#rows.addAway(row, away);
    table.setTiers(entry, tiers);
    if (before === 0) this.#rows.addHoles(row, -1);
    else if (tiers === 0) {
      if (table.children(entry) === 0) this.#release(entry, row);
      else this.#rows.addHoles(row, 1);
    }
  }

  /** An entry that nothing follows goes, and with it the holes that are before it. */
  #release(entry: number, row: ExactRow): void {
    const parent = this.#table.parent(entry);
    this.#table.release(entry);
    this.#released(parent, row);
  }

  /** The same of one that was looked up as number `at`, and is on one tier. */
  #releasePrepared(entry: number, row: ExactRow, at: number): void {
    const parent = this.#table.parent(entry);
    if (isAway(this.#table.tiers(entry))) this.#rows.addAway(row, -1);
    this.#table.releasePrepared(entry, at);
    this.#released(parent, row);
  }

  #released(parent: number, row: ExactRow): void {
    row.entries--;
    this.#leave(parent, row);
  }

  /** One block fewer follows it. Whether there is no reason any more to keep it. */
  #isIdleHole(parent: number): boolean {
    const table = this.#table;
    table.disown(parent);
    return table.children(parent) === 0 && table.tiers(parent) === 0;
  }

  /**
   * An entry for a block behind `parent`, which stays whatever goes to make room.
   *
   * @param renamed The entry that had the block's name, which is gone with it; 0 for none.
   * @returns 0 where there is no room.
   */
  #takeUnder(parent: number, row: ExactRow, renamed: number): number {
    const table = this.#table;
    table.adopt(parent);
    if (renamed !== 0) {
      table.unname(renamed);
      this.#setTiers(renamed, row, 0);
    }
    const entry = table.take() || this.#takeGone() || this.#takeEvicted();
    if (entry === 0) this.#leave(parent, row);
    return entry;
  }

  /** One block fewer comes behind it: holes that none comes behind go. */
  #leave(parent: number, row: ExactRow): void {
    for (let hole = parent; hole !== 0 && this.#isIdleHole(hole);) {
      const before = this.#table.parent(hole);
      this.#rows.addHoles(row, -1);
      this.#table.release(hole);
      row.entries--;
      hole = before;
    }
  }

  #takeGone(): number {
    if (this.#rows.goneEntries === 0) return 0;
    this.sweep(LOOKED_AT);
    return this.#table.take();
  }

  /** Drops a block that nothing follows, of a worker that has its share or more; where few entries show none, of the one with most. */
  #takeEvicted(): number {
    const table = this.#table;
    const share = Math.floor(table.capacity / Math.max(1, this.#rows.open));
    let best = 0;
    let most = 0;
    for (let looked = 0; looked < MOST_LOOKED_AT && (looked < LOOKED_AT || best === 0); looked++) {
      const entry = this.#nextToEvict();
      const row = this.#rows.at(table.row(entry));
      if (row === undefined || row.entries <= most || table.children(entry) > 0) continue;
      best = entry;
      most = row.entries;
      if (most >= share) break;
    }
    return best === 0 ? 0 : this.#evict(best);
  }

  #evict(entry: number): number {
    const table = this.#table;
    const row = this.#rows.at(table.row(entry))!;
    const parent = table.parent(entry);
    if (isAway(table.tiers(entry))) this.#rows.addAway(row, -1);
    this.#release(entry, row);
    this.counts.evicted++;
    this.#evictNext = parent;
    return table.take();
  }

  /** What a block that was dropped followed, so that a prompt goes from its end on; else one after the other. */
  #nextToEvict(): number {
    const next = this.#evictNext;
    this.#evictNext = 0;
    if (next !== 0) return next;
    this.#evictAt = this.#evictAt >= this.#table.used ? 1 : this.#evictAt + 1;
    return this.#evictAt;
  }
}

function rootOf(row: ExactRow, { blockSize, adapter, salt }: StoredEvent): ChainLink {
  const { scope } = row;
  if (scope?.blockSize !== blockSize || scope.adapter !== adapter || scope.salt !== salt) {
    row.scope = { blockSize, adapter, salt };
    row.root = chainRoot(row.scope);
  }
  return row.root;
}
