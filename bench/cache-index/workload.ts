import { ExactIndex } from '../../src/cache-knowledge/exact/exact-index.ts';
import { allocateExact, SLOT } from '../../src/cache-knowledge/exact/exact-memory.ts';
import type { ExactRow } from '../../src/cache-knowledge/exact/row-table.ts';
import { generateTrace } from '../../src/simulate/traces/generators.ts';
import { readTrace } from '../../src/simulate/traces/read-trace.ts';
import type { TraceRequest } from '../../src/simulate/traces/trace.ts';
import { EngineEvents, type EngineEvent } from './engine-events.ts';

export const ENGINES = 64;
/** Blocks of each engine: 262,144 tokens. */
export const ENGINE_BLOCKS = 16_384;
/** Requests whose events are made at once, before anything is measured with them. */
const AT_ONCE = 250;
const GENERATION = 1;
const SEED = 0x2b992ddf;

/** An index with a row for each engine, of which all are received. */
export interface BenchIndex {
  readonly index: ExactIndex;
  readonly rows: readonly ExactRow[];
}

export function openIndex(maxBytes: number, engines = ENGINES): BenchIndex {
  const index = new ExactIndex(allocateExact(maxBytes, SEED));
  const slots = new Int32Array(index.memory.slots);
  const rows = Array.from({ length: engines }, (_, slot) => {
    slots[SLOT.WORDS * slot + SLOT.GENERATION] = GENERATION;
    index.setState(slot, GENERATION, 'live', 'whole');
    const row = index.open(slot, 0);
    if (!row) throw new Error('no room for a row');
    return row;
  });
  return { index, rows };
}

export function apply({ index, rows }: BenchIndex, event: EngineEvent): void {
  const row = rows[event.engine]!;
  if (event.kind === 'stored') index.store(row, event.blocks);
  else index.remove(row, event.names, 'gpu');
}

/** The trace of a file (Mooncake's format), or conversations that are made up. */
export async function readRequests(path: string | undefined): Promise<readonly TraceRequest[]> {
  if (path === undefined)
    return generateTrace('poisson_chats', { requests: 12_000, ratePerSecond: 10, seed: 1 }).requests;
  return (await readTrace(path, 'mooncake', 1)).trace.requests;
}

/** What the engines tell while they serve the requests, in pieces; what each piece is used for is done before the next is made. */
export function* eventsOf(
  requests: readonly TraceRequest[],
  laps: number,
): Generator<{ readonly lap: number; readonly events: readonly EngineEvent[] }> {
  const engines = new EngineEvents({ engines: ENGINES, capacity: ENGINE_BLOCKS });
  for (let lap = 0; lap < laps; lap++)
    for (let at = 0; at < requests.length; at += AT_ONCE)
      yield {
        lap,
        events: requests.slice(at, at + AT_ONCE).flatMap((request) => engines.serve(request, lap)),
      };
}
