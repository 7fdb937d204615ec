import { percentiles } from '../load/percentiles.ts';
import type { Latency } from '../load/protocol.ts';
import { AttentionGroups } from '../../src/cache-knowledge/events/attention-groups.ts';
import { BatchDecoder } from '../../src/cache-knowledge/events/batch-decoder.ts';
import { ExactReader } from '../../src/cache-knowledge/exact/exact-reader.ts';
import { tokenChain } from '../../src/routing/token-chain.ts';
import type { TraceRequest } from '../../src/simulate/traces/trace.ts';
import type { EngineEvent } from './engine-events.ts';
import { payloadOf } from './payloads.ts';
import { apply, ENGINES, eventsOf, openIndex, type BenchIndex } from './workload.ts';

export interface Throughput {
  /** Blocks stored and removed. */
  readonly operations: number;
  readonly perCpuSecond: number;
}

/** Sums up what the work takes of this thread's processor time. */
class CpuTime {
  micros = 0;

  during(work: () => void): void {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    this.micros += user + system;
  }
}

function operationsOf({ index }: BenchIndex): number {
  return index.counts.stored + index.counts.removed;
}

/** The index alone, with typed input: what the first lap takes does not count, while code is compiled and memory first used. */
export function indexAlone(requests: readonly TraceRequest[], filled: BenchIndex): Throughput {
  const cpu = new CpuTime();
  let before = 0;
  for (const { lap, events } of eventsOf(requests, 2)) {
    const work = (): void => {
      for (const event of events) apply(filled, event);
    };
    if (lap === 0) {
      work();
      before = operationsOf(filled);
    } else cpu.during(work);
  }
  const operations = operationsOf(filled) - before;
  return { operations, perCpuSecond: (1e6 * operations) / cpu.micros };
}

/** From the bytes of messages: one for each step of an engine. */
export function endToEnd(requests: readonly TraceRequest[], maxBytes: number): Throughput {
  const made = openIndex(maxBytes);
  const decoder = new BatchDecoder();
  const groups = new AttentionGroups();
  const cpu = new CpuTime();
  let before = 0;
  for (const { lap, events } of eventsOf(requests, 2)) {
    const payloads = stepsOf(events).map((step, at) => ({
      engine: step[0]!.engine,
      bytes: payloadOf(step, at),
    }));
    const work = (): void => {
      for (const { engine, bytes } of payloads) applyBatch(made, engine, decoder.decode(bytes, groups));
    };
    if (lap === 0) {
      work();
      before = operationsOf(made);
    } else cpu.during(work);
  }
  const operations = operationsOf(made) - before;
  return { operations, perCpuSecond: (1e6 * operations) / cpu.micros };
}

/** What an engine stores in one step, behind what it removed for that. */
export function stepsOf(events: readonly EngineEvent[]): readonly (readonly EngineEvent[])[] {
  const steps: EngineEvent[][] = [];
  let step: EngineEvent[] = [];
  for (const event of events) {
    step.push(event);
    if (event.kind === 'removed') continue;
    steps.push(step);
    step = [];
  }
  return steps;
}

function applyBatch(
  { index, rows }: BenchIndex,
  engine: number,
  batch: ReturnType<BatchDecoder['decode']>,
): void {
  if (batch.kind === 'malformed') throw new Error(batch.reason);
  const row = rows[engine]!;
  for (const event of batch.events) {
    if (event.kind === 'stored') index.store(row, event);
    else if (event.kind === 'removed') index.remove(row, event.names, event.tier);
    else index.clear(row);
  }
}

const PROMPT_BLOCKS = 1000;
const BLOCK = 16;
const PROMPTS = 400;

/** Prompts of 1,000 blocks, of which all engines hold the first eighth, some more and one all: us for a look at all of them. */
export function lookUps(made: BenchIndex, rounds: number): Latency | undefined {
  const reader = new ExactReader(made.index.memory);
  const prompts = Array.from({ length: PROMPTS }, (_, prompt) => holdPrompt(made, prompt));
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++)
    for (const chain of prompts) {
      const from = performance.now();
      reader.matchAll(chain, ENGINES);
      if (round > 0) samples.push(1000 * (performance.now() - from));
    }
  return percentiles(samples);
}

function holdPrompt(made: BenchIndex, prompt: number): ReturnType<typeof tokenChain> {
  const tokens = Uint32Array.from({ length: BLOCK * PROMPT_BLOCKS }, (_, at) => 7919 * prompt + at);
  const scope = { blockSize: BLOCK, adapter: '', salt: '' };
  const names = tokenChain(tokens, { ...scope, salt: 'engine' }).hashes;
  for (let engine = 0; engine < ENGINES; engine++) {
    const share = engine === prompt % ENGINES ? 1 : engine % 8 === 0 ? 0.5 : 0.125;
    const blocks = Math.floor(share * PROMPT_BLOCKS);
    made.index.store(made.rows[engine]!, {
      ...{ kind: 'stored', parent: undefined, adapter: '', salt: '', extras: undefined, tier: 'gpu' },
      names: names.slice(0, 2 * blocks),
      tokens: tokens.slice(0, BLOCK * blocks),
      blockSize: BLOCK,
    });
  }
  return tokenChain(tokens, scope);
}
