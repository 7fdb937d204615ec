import type { KnownOptions } from '../../cache-knowledge/known-caches.ts';
import type { Ask, CacheView } from '../../routing/policy.ts';
import type { ActiveBlocks } from './active-blocks.ts';

/**
 * What some routers of the field read beside their own books; only baselines look at it. Slots are `Member.slot`. A
 * snapshot is as old as the routers that read it let it become.
 */
export interface EngineStatsView {
  /** Requests that the engine computes, at the last snapshot. */
  running(slot: number): number;
  /** Requests that wait inside the engine. */
  waiting(slot: number): number;
  /** Share of the engine's KV blocks in use, 0 to 1. */
  kvUsage(slot: number): number;
}

export interface FleetView {
  /** What is known of the caches, as a policy with these parameters wants to know it. */
  cacheFor(options: KnownOptions): CacheView;
  /** Snapshots of all engines, taken every `intervalMs` from now on. */
  engineStats(intervalMs: number): EngineStatsView;
  /** From now on, the distinct prompt blocks of the requests that this router has running on each worker. */
  activeBlocks(): Pick<ActiveBlocks, 'with'>;
  /** From now on, tells of the first token of each request that this router sent: ms since it was sent. */
  onFirstToken(listener: (ask: Ask, slot: number, ttftMs: number) => void): void;
  /** Blocks that this router believes the worker to hold. */
  believedBlocks(slot: number): number;
  /** Tokens that the worker's KV cache holds. */
  cacheTokens(slot: number): number;
}
