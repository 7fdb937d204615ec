/** Subscriptions to one worker's events, in virtual time, and a publisher that does as it is told. */
import assert from 'node:assert/strict';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { EventSubscriptions } from '../../src/cache-knowledge/events/event-subscriptions.ts';
import type { EventWorker, RankSource } from '../../src/cache-knowledge/events/event-worker.ts';
import type { RankReport } from '../../src/cache-knowledge/events/rank-events.ts';
import { KvEngine, type EngineBlock } from './kv-engine.ts';
import { HeldBlocks } from './kv-held.ts';
import { ScriptedPublisher, ScriptedTransport } from './scripted-transport.ts';

export interface Bench {
  readonly clock: VirtualClock;
  readonly transport: ScriptedTransport;
  readonly held: HeldBlocks;
  readonly subscriptions: EventSubscriptions<unknown>;
  readonly publisher: ScriptedPublisher;
  readonly worker: EventWorker;
  /** Of the one rank of the worker. */
  report(): RankReport;
}

export interface BenchOptions {
  readonly replays?: boolean;
  readonly bufferSteps?: number;
  readonly encoding?: 'map' | 'array';
}

export function source(host: string, rank = 0, replays = true): RankSource {
  const replayEndpoint = replays ? `replay ${host} ${rank}` : undefined;
  return { rank, endpoint: `events ${host} ${rank}`, replayEndpoint, topic: '' };
}

export function workerAt(
  host: string,
  slot: number,
  sources: readonly RankSource[] = [source(host)],
): EventWorker {
  return { slot, generation: 1, address: `${host}:8000`, models: ['m'], sources };
}

/** One worker, followed, whose publisher is not up yet. */
export function bench({
  replays = true,
  bufferSteps = Infinity,
  encoding = 'map',
}: BenchOptions = {}): Bench {
  const clock = new VirtualClock();
  const transport = new ScriptedTransport(clock);
  const held = new HeldBlocks();
  const subscriptions = new EventSubscriptions({ sink: held, transport, clock });
  const publisher = new ScriptedPublisher(new KvEngine(1, encoding, bufferSteps));
  transport.publishers.set('events a 0', publisher);
  const worker = workerAt('a', 0, [source('a', 0, replays)]);
  subscriptions.apply([worker]);
  return {
    ...{ clock, transport, held, subscriptions, publisher, worker },
    report: () => subscriptions.report.workers[0]!.ranks[0]!,
  };
}

/** Everything under way comes to its end; no time for forgetting. */
export function settle({ clock }: Bench): void {
  clock.advance(15_000);
}

export function assertHolds({ held }: Bench, engine: KvEngine): void {
  assert.deepEqual([...(held.of(0) ?? [])].sort(), [...engine.held].sort());
}

/** A block that is held, by chance. */
export function pick(engine: KvEngine, by: number): EngineBlock | undefined {
  const all = [...engine.held.values()];
  return all[by % Math.max(1, all.length)];
}
