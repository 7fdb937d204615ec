import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { PromptBlocks } from './blocks.ts';

/** What a request asks of the fleet. Costly parts are computed once, on first use. */
export interface Ask {
  /** The model after resolution; empty when the request names none. */
  readonly model: string;
  readonly stream: boolean;
  /** The prompt's text in blocks: what can be said of every prompt. Its tokens are counted where they are known, else estimated. */
  blocks(): PromptBlocks;
  /** The ids that a worker will compute for it, where they are known by now. */
  tokenIds(): Uint32Array | undefined;
  /** The prompt in the blocks of that key, computed once for each; undefined while its tokens are not known. */
  chain(key: ChainKey): PromptBlocks | undefined;
  /** Where LMCache stores the prompt, where its controller was asked and has answered. */
  readonly holdings?: Holdings | undefined;
  hashKey(): HashKey;
}

/** Where LMCache stores one prompt, as its controller said. */
export interface Holdings {
  /** The workers whose instance stores the beginning of it; all others are not known to hold anything. */
  readonly held: readonly HeldTokens[];
}

export interface HeldTokens {
  readonly slot: number;
  /** Leading prompt tokens. */
  readonly tokens: number;
  readonly tier: 'cpu' | 'disk';
}

/**
 * What a chain of blocks is made of: text, or token ids in blocks of the size that a worker's engine has. The request's adapter and
 * salt are in either.
 */
export type ChainKey = 'text' | { readonly blockSize: number };

/** Where the token ids of a prompt are from; `estimate`: they are not known, and their number is estimated. */
export type TokensSource = 'request' | 'cache' | 'local' | 'worker' | 'estimate';

/** The key of the hash policies. */
export interface HashKey {
  /** Where it came from, e.g. `header:x-session-id`, `body:user`, `prompt`. */
  readonly source: string;
  readonly value: string;
  /** True for ids that mean a conversation or a user, false for a fingerprint of the prompt. */
  readonly sticky: boolean;
}

/** Why a member may not be chosen. 0 means it may. */
export const EXCLUDED = {
  no: 0,
  unhealthy: 1,
  draining: 2,
  breakerOpen: 3,
  tried: 4,
  full: 5,
  /** Below the priority that the request asks for. */
  priority: 6,
  /** Above the cost that the request allows. */
  cost: 7,
  /** Its engine sleeps, or is paused. */
  sleeping: 8,
  paused: 9,
  /** It has requests and has been silent for too long; `stalled`: and a probe was not answered. */
  suspect: 10,
  stalled: 11,
  /** It serves nothing but halves of requests, and this one is to be served whole. */
  pairsOnly: 12,
  /** It does not belong to the semantic cluster of the request. */
  cluster: 13,
  /** A provider that wants to be left alone for a while. */
  coolingDown: 14,
} as const;
export type Exclusion = (typeof EXCLUDED)[keyof typeof EXCLUDED];
export const EXCLUSION_NAMES = [
  'eligible',
  'unhealthy',
  'draining',
  'breaker_open',
  'tried',
  'full',
  'priority',
  'cost',
  'sleeping',
  'paused',
  'suspect',
  'stalled',
  'pairs_only',
  'other_cluster',
  'cooling_down',
] as const;

/** One worker as policies see it. */
export interface Member {
  /** Index into the load ledger and the cache index; stable while the worker is registered. */
  readonly slot: number;
  /** The worker's URL, with `@rank` for a data-parallel rank. */
  readonly id: string;
}

/**
 * The stable membership of one model's pool, with a mask for this one choice. Rings and other structures are built on
 * `members` (which changes only with `generation`) and skip masked members.
 */
export interface Pool {
  /** Identity of the pool: the model, or '' for the pool of all workers. */
  readonly key: string;
  readonly generation: number;
  readonly members: readonly Member[];
  /** One `Exclusion` per member. */
  readonly mask: Uint8Array;
  /** Number of zeros in `mask`. */
  readonly eligible: number;
  /** The request was sent to a worker before, and is sent again: a policy that gives turns does not count it twice. */
  readonly isRetry: boolean;
  /** Load multiplier of member i while it is ramped up: 10 falling to 1 (slow start); 1 otherwise. */
  ramp(index: number): number;
  /** False: `ramp` is 1 for all of them. */
  readonly ramps?: boolean;
}

/** The exact load ledger, read-only. Slots are `Member.slot`. */
export interface LoadView {
  /** Requests dispatched to the worker and not yet ended, plus what its own metrics show beyond ours. */
  running(slot: number): number;
  /** Prompt tokens dispatched whose first token has not come yet. */
  prefillTokens(slot: number): number;
  /** Tokens of KV cache that the running requests are expected to hold. */
  kvTokens(slot: number): number;
  /** Prefill speed in tokens per second: learnt, else the pool's median, else 8,000. */
  prefillRate(slot: number): number;
  /** The same of all slots at once. Good until anything else happens. */
  columns?(): LoadColumns;
}

/** What `LoadView` says of all workers, by slot. */
export interface LoadColumns {
  readonly running: Float64Array;
  readonly prefillTokens: Float64Array;
  readonly prefillRate: Float64Array;
}

/** How the contents of a worker's cache are known, from the least certain on. */
export const CACHE_SOURCES = ['none', 'predicted', 'lmcache', 'events'] as const;
export type CacheSource = (typeof CACHE_SOURCES)[number];

export interface CacheMatch {
  /** Leading prompt tokens that the worker is thought to have cached, wherever they lie. */
  readonly tokens: number;
  readonly source: CacheSource;
  /** Those of them that do not lie in the memory of its GPU; absent where all do, or where that is not known. */
  readonly tiers?: { readonly cpu: number; readonly disk: number };
}

/** What is known about the workers' prefix caches. */
export interface CacheView {
  /** Whether it knows more of a prompt whose token ids are known. */
  readonly goesByTokens?: boolean;
  /** Whether it makes use of where LMCache stores a prompt, where that was asked. */
  readonly goesByHoldings?: boolean;
  match(ask: Ask, slot: number): CacheMatch;
  /** `match` of all slots below `end` at once. Good until the next call. */
  matchAll?(ask: Ask, end: number): MatchColumns;
}

/** What is known of one prompt in many caches, by row: of the worker in `slot` it is `tokens[rows[slot]]`, and so on. */
export interface MatchColumns {
  readonly rows: Int32Array;
  /** Leading prompt tokens. */
  readonly tokens: Float64Array;
  /** How they are known, as indices into `CACHE_SOURCES`; absent where all are predicted. */
  readonly sources?: Uint8Array | undefined;
  /** Those of them that lie elsewhere than in the memory of a GPU; absent where none do. */
  readonly tiers?: TierColumns | undefined;
}

/** Tokens by where they lie. */
export interface TierColumns {
  readonly cpu: Float64Array;
  readonly disk: Float64Array;
}

/** How much LMCache stores for each worker, whatever the prompt. */
export interface OccupancyView {
  /** Chunks by slot, of the workers whose instance is known; undefined where the controller does not say, or has not for too long. */
  chunks(): ReadonlyMap<number, number> | undefined;
}

export type Choice =
  | {
      readonly kind: 'chosen';
      /** Index into `pool.members`. */
      readonly index: number;
      /** A short stable word: why this one (`warmest`, `least_loaded`, `ring_owner`, ...). */
      readonly reason: string;
      /** Set where a look-up has decided rather than the policy's own rule. */
      readonly method?: 'lmcache-prefix' | undefined;
      /** One score per member, lower is better, NaN where none was computed. This and the next: good until the policy is asked again. */
      readonly scores?: Float64Array;
      /** Cached tokens per member as the policy saw them, NaN where it did not look. */
      readonly matchedTokens?: Float64Array;
      /** How these are known; absent where all are predicted. Good as long as they are. */
      readonly knowledge?: MatchKnowledge | undefined;
      /** Set where another policy than the one that was asked decided. */
      readonly fallback?: Fallback;
    }
  | { readonly kind: 'none'; readonly reason: string };

/** How the matched tokens of a pool's members are known, and where they lie: as in `MatchColumns`, by member. */
export type MatchKnowledge = Pick<MatchColumns, 'sources' | 'tiers'>;

/** What went wrong with a policy or hook that is no part of the router. */
export type PluginFailure = 'threw' | 'timeout' | 'invalid' | 'overrun';

/** Something went wrong with a plugin; the request has gone on all the same. */
export interface PluginTrouble {
  /** The name under which it is registered. */
  readonly plugin: string;
  readonly kind: PluginFailure;
  /** What happened, without anything of the request. */
  readonly message: string;
  /** What was thrown, for its stack. */
  readonly error?: unknown;
  /** True where it will not be asked again until it is made anew. */
  readonly disabled?: true;
}

/** Whom to tell what goes wrong with plugins. */
export type OnPluginTrouble = (trouble: PluginTrouble) => void;

/** Who decided in whose place, and why. */
export interface Fallback {
  /** Name of the policy that decided. */
  readonly policy: string;
  /** `no_knowledge`: what the policy goes by is not known. */
  readonly cause: PluginFailure | 'no_knowledge';
}

export type PolicyEvent =
  /** The choice was carried out: the request went to `slot`. Sent once per attempt, the re-tries included. */
  | { readonly type: 'dispatched'; readonly ask: Ask; readonly slot: number; readonly matchedTokens: number }
  | { readonly type: 'left'; readonly slot: number };

/** Async or costly knowledge that the request path must prepare or keep for a policy. */
export interface PolicyNeeds {
  readonly cache: boolean;
  /** The ids of the prompt's tokens, as far as they can be had in time. */
  readonly tokens?: boolean;
  /**
   * What LMCache's controller says: of the workers (`occupancy`), of each prompt as well (`prompts`), or that of prompts only where
   * the configuration names a controller (`if_configured`).
   */
  readonly lmcache?: 'occupancy' | 'prompts' | 'if_configured' | undefined;
}

/**
 * One way of choosing a worker. A policy does no I/O, reads time and chance only through what it is given, and never
 * returns a masked member.
 */
export interface Policy {
  readonly name: string;
  readonly needs: PolicyNeeds;
  /**
   * Async knowledge about one request, where the policy needs any: awaited before `choose`, which is handed what it
   * resolves to. Never rejects, and resolves soon after `signal` is aborted.
   */
  prepare?: ((ask: Ask, pool: Pool, signal: AbortSignal) => Promise<unknown>) | undefined;
  choose(ask: Ask, pool: Pool, prepared?: unknown): Choice;
  /** What `choose` would answer, for a request that will not be sent. Absent where `choose` itself remembers nothing. */
  peek?(ask: Ask, pool: Pool, prepared?: unknown): Choice;
  observe?(event: PolicyEvent): void;
}

/** What an instance of a policy has in common with its equals in the other threads of a router. */
export interface PolicyShare {
  readonly memory: ThreadMemory;
  /** The same for the same instance in every thread: the model whose policy it is, or what else it serves. */
  readonly scope: string;
  /** Tells the others where a session is at home, and hears it of them. */
  readonly pins?: PinLink;
}

/** Pins of sessions (hashes) to workers (ids). */
export interface PinLink {
  tell(key: number, worker: string): void;
  hear(listener: (key: number, worker: string) => void): void;
}

/** Where other routers have sent prompts that begin alike. */
export interface PrefixHints {
  /** Whether there is such a table now. */
  readonly isOpen: boolean;
  /** The id of the worker, if any. Never rejects, and keeps to a deadline of its own. */
  find(ask: Ask): string | undefined | Promise<string | undefined>;
  /** It was sent there. */
  sent(ask: Ask, worker: string): void;
  /** The worker that was found may not be chosen, or is none of these. */
  stale(): void;
}

/** What every policy is made from. */
export interface PolicyDeps {
  readonly loads: LoadView;
  readonly cache: CacheView;
  /** What LMCache's controller says of the workers; asked for by the policies that need it. */
  readonly lmcache?: OccupancyView | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Where the router has several threads. */
  readonly share?: PolicyShare;
  /** Where other routers have sent prompts that begin alike, where that is shared. */
  readonly prefixes?: PrefixHints | undefined;
}
