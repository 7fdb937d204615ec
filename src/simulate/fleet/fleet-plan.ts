import type { WorkerRole } from '../../config/settings/settings.ts';
import type { Policy, PolicyDeps } from '../../routing/policy.ts';
import type { SplitRule } from '../../routing/split.ts';
import type { FleetView } from './fleet-view.ts';
import type { EventChannel } from './followed-engine.ts';
import type { ModelSettings } from '../../sim/engine/model-settings.ts';

/** One simulated engine. */
export interface WorkerPlan {
  /** Its URL, where that matters: to hash policies, and to tell it from others in a report. */
  readonly id?: string;
  readonly settings: ModelSettings;
  /** `regular` unless said. */
  readonly role?: WorkerRole;
  /** ms from the start; 0 or absent = there from the beginning. */
  readonly joinsAtMs?: number;
  /** It is gone from then on, and what it was doing fails. */
  readonly diesAtMs?: number;
}

/** How routers know what the workers have cached. */
export type CacheKnowledge =
  /** Predicted from what they routed, as the server does without engine events. */
  | { readonly source: 'predicted'; readonly maxBlocksPerWorker: number }
  /** What the engines really hold, at once and without loss: the bound of what events can tell. */
  | { readonly source: 'exact' }
  /** What engine events tell, late and with losses; predicted where there are none, or not yet. */
  | (EventChannel & {
      readonly source: 'events';
      readonly maxBlocksPerWorker: number;
      /** The last so many workers publish nothing. */
      readonly silentWorkers: number;
    });

export type PolicyFactory = (deps: PolicyDeps & FleetView) => Policy;

/** How requests go through prefill and decode engines. */
export interface PairPlan {
  readonly split: SplitRule;
  /** Undefined: the cost of pairs chooses. */
  readonly prefillPolicy: PolicyFactory | undefined;
  readonly decodePolicy: PolicyFactory | undefined;
}

/** Everything a run depends on beside the trace. The same plan, trace and seed give the same result. */
export interface FleetPlan {
  readonly workers: readonly WorkerPlan[];
  /** For whole requests. */
  readonly policy: PolicyFactory;
  /** Undefined: no request is split, whatever the roles. */
  readonly pairs?: PairPlan | undefined;
  /** Tokens of KV cache per second from one engine to one other; what is under way at once shares it. */
  readonly transferTokensPerSecond?: number;
  readonly cache: CacheKnowledge;
  /** Requests go to them in turn. */
  readonly routers: number;
  /** How often they tell each other what they have on each worker and what they sent there, ms; absent or 0 = never. */
  readonly shareIntervalMs?: number;
  /** How often routers read the workers' own load, ms; 0 = never. */
  readonly pollIntervalMs: number;
  /** Age of what they read, ms. */
  readonly pollDelayMs: number;
  readonly slowStartMs: number;
  /** Factor on the arrival rate of the trace. */
  readonly speed: number;
  readonly seed: number;
}

/** Attempts per request, as in the server's defaults. */
export const MAX_ATTEMPTS = 5;
