/** A plain model of the exact index: what each row holds, by name. */
import type { EventSink } from '../../src/cache-knowledge/events/event-sink.ts';
import type { StoredEvent, Tier } from '../../src/cache-knowledge/events/kv-event.ts';
import type { Stored } from '../../src/cache-knowledge/exact/exact-index.ts';
import type { Coverage, EventsState } from '../../src/cache-knowledge/exact/exact-memory.ts';
import type { EngineBlock } from './kv-engine.ts';

export interface HeldRow {
  readonly slot: number;
  readonly rank: number;
  readonly blocks: Map<bigint, EngineBlock>;
}

export class HeldBlocks implements EventSink<HeldRow> {
  readonly rows = new Set<HeldRow>();
  /** As the last call for the slot said it. */
  readonly states = new Map<number, EventsState>();
  readonly coverage = new Map<number, Coverage>();

  open(slot: number, rank: number): HeldRow {
    const row = { slot, rank, blocks: new Map<bigint, EngineBlock>() };
    this.rows.add(row);
    return row;
  }

  store(row: HeldRow, { names, parent, tokens, blockSize }: StoredEvent): Stored {
    let before = parent && nameOf(parent.low, parent.high);
    if (before !== undefined && !row.blocks.has(before)) return 'unknown_parent';
    for (let i = 0; i < names.length / 2; i += 1) {
      const name = nameOf(names[2 * i]!, names[2 * i + 1]!);
      const own = [...tokens.subarray(i * blockSize, (i + 1) * blockSize)];
      row.blocks.set(name, { name, parent: before, tokens: own });
      before = name;
    }
    return 'stored';
  }

  remove(row: HeldRow, names: Uint32Array, _tier: Tier): void {
    for (let i = 0; i < names.length; i += 2) row.blocks.delete(nameOf(names[i]!, names[i + 1]!));
  }

  clear(row: HeldRow): void {
    row.blocks.clear();
  }

  forget(row: HeldRow): void {
    this.rows.delete(row);
  }

  setState(slot: number, _generation: number, state: EventsState, coverage: Coverage): void {
    this.states.set(slot, state);
    this.coverage.set(slot, coverage);
  }

  /** What the row of a slot's rank holds. */
  of(slot: number, rank = 0): Map<bigint, EngineBlock> | undefined {
    for (const row of this.rows) if (row.slot === slot && row.rank === rank) return row.blocks;
    return undefined;
  }
}

function nameOf(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
