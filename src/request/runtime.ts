import type { AnswerStore } from '../response-cache/answer-store.ts';
import type { Flights } from '../response-cache/flights.ts';
import type { ByteBudget } from '../base/byte-budget.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { CacheIndex } from '../cache-knowledge/cache-index.ts';
import type { LmcacheKnowledge } from '../cache-knowledge/lmcache/lmcache-knowledge.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { WorkerClient } from '../engines/client.ts';
import type { Arrivals } from '../engines/prefill-decode/arrivals.ts';
import type { HookChain } from '../hooks/chain.ts';
import type { BodyBytes } from '../http/body.ts';
import type { ClientSeats } from '../http/client-seats.ts';
import type { Door } from '../limits/door.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { FreshIdWatch, HashKeySource } from '../routing/hash-key.ts';
import type { CacheTallies } from '../cache-knowledge/accuracy/tallies.ts';
import type { AnsweredPrompts } from '../routing/answered-prompts.ts';
import type { TokenRatio } from '../routing/token-ratio.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { TokenSource } from '../tokenize/tokens.ts';
import type { Roster } from '../workers/roster.ts';
import type { SaidLately } from '../base/said-lately.ts';
import type { CoolDowns } from '../workers/cool-downs.ts';
import type { PairRests } from '../workers/pair-rests.ts';
import type { Transfers } from '../workers/transfers.ts';
import type { TenantBooks } from '../limits/tenant-books.ts';
import type { RetryBudget } from '../workers/retry-budget.ts';
import type { OwnRoutes } from '../workers/own-routes.ts';
import type { Worker } from '../workers/worker.ts';
import type { WorkerWait } from '../workers/worker-wait.ts';
import type { SemanticAnswers } from '../response-cache/semantic/semantic-answers.ts';
import type { Meaning } from '../semantic/meaning.ts';
import type { Clients } from './arrive/clients.ts';
import type { DecisionRing } from './record/decision-ring.ts';
import type { Policies } from './choose/policies.ts';
import type { Profiles } from './send/profiles.ts';
import type { ResourceOwners } from './choose/resource-owners.ts';

/** Takes complete records; nobody waits for it. */
export interface RecordSink {
  push(record: object): void;
  /** Records on disk. */
  readonly written: number;
  /** Records given up. */
  readonly dropped: number;
  /** Files opened anew because the one before was gone. */
  readonly reopened: number;
}

/** Answers that are kept for those who ask the same, and those that are being got for several. */
export interface AnswerCache {
  readonly store: AnswerStore;
  readonly flights: Flights;
  /** Bytes of answers that are being copied. */
  readonly copies: ByteBudget;
}

/** Answers that are given to those who ask the same in other words. */
export interface AnswersByMeaning {
  readonly answers: SemanticAnswers;
  /** Bytes of answers that are being copied, where no other cache counts them. */
  readonly copies: ByteBudget;
}

/** Everything a request needs: settings that never change while it runs, and the shared state it takes leases from. */
export interface Runtime {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly registry: Roster;
  readonly ledger: LoadLedger;
  /** What new requests get: each keeps the one it began with (`Call.policy`), since they can be switched. */
  readonly policies: Policies;
  readonly hashKeySources: readonly HashKeySource[];
  readonly hooks: HookChain;
  readonly freshIds: FreshIdWatch;
  /** Kept only for policies that need it. */
  readonly cacheIndex: CacheIndex | undefined;
  readonly lmcache: LmcacheKnowledge;
  /** Where one is configured. */
  readonly answerCache: AnswerCache | undefined;
  readonly semantic: Meaning;
  /** Where they are configured. */
  readonly answersByMeaning: AnswersByMeaning | undefined;
  readonly tokenRatio: TokenRatio;
  /** Which token ids a worker will compute; asked only where somebody goes by them. */
  readonly tokens: TokenSource;
  readonly answered: AnsweredPrompts;
  readonly tallies: CacheTallies;
  readonly clients: Clients;
  readonly admission: Door;
  readonly retryBudget: RetryBudget;
  /** The limits of tenants that all replicas share. */
  readonly tenantBooks: TenantBooks;
  readonly bodyBytes: BodyBytes;
  readonly seats: ClientSeats;
  /** Those to workers, hooks and other services. */
  readonly sockets: { readonly open: number; readonly limit: number };
  /** Told of every connection that could not be had. */
  onShortage(side: 'client'): void;
  /** Requests that no worker can take yet. */
  readonly workerWait: WorkerWait;
  readonly owners: ResourceOwners;
  /** Blocks that are announced apart from the answer of the worker that computed them. */
  readonly arrivals: Arrivals;
  readonly transfers: Transfers;
  /** Providers that want to be left alone for a while. */
  readonly coolDowns: CoolDowns;
  /** What was said of providers that refuse the router. */
  readonly providersSaid: SaidLately;
  readonly pairRests: PairRests;
  /** What was said of pairs that fail. */
  readonly pairsSaid: SaidLately;
  readonly profiles: Profiles;
  /** Which workers know Anthropic's API. */
  readonly ownRoutes: OwnRoutes;
  readonly decisions: DecisionRing;
  /** Where records go beside the ring, if anywhere. */
  readonly decisionLog: RecordSink | undefined;
  clientOf(worker: Worker): WorkerClient;
  versionOf(worker: Worker): string | undefined;
  /** Up while one of the threads that serve requests is not heard of. */
  readonly threadMissing: { readonly isUp: boolean };
  /** True from the first sign of shutdown on. */
  stopping(): boolean;
}
