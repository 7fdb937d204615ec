import type { PolicySettings } from './policy-parameters.ts';

/**
 * What a worker does of a request: all of it, its prompt alone, or what comes after the prompt. A decode worker can do all of it, too.
 * `external`: all of it, but it is a provider of the API and none of the fleet.
 */
export const WORKER_ROLES = ['regular', 'prefill', 'decode', 'external'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

/** Of an engine of one's own. */
export type FleetRole = Exclude<WorkerRole, 'external'>;

/** The two halves that a request may be split into. */
export type PdStage = Exclude<FleetRole, 'regular'>;

/** In the place of a policy for one half: what a pair of workers is expected to cost decides. */
export const PAIR_COST = 'pair_cost';
export type StagePolicy = PolicySettings | { readonly type: typeof PAIR_COST };

/** How the blocks of the KV cache get from the prefill worker to the decode worker. */
export const KV_CONNECTORS = [
  ...['auto', 'nixl', 'nixl-push', 'mooncake', 'p2p-nccl', 'moriio'],
  ...['lmcache', 'storage', 'sglang'],
] as const satisfies readonly string[];
export type KvConnector = (typeof KV_CONNECTORS)[number];

/** How a worker hands over what it has computed, as far as the router was told or has learnt. */
export interface KvTransferTraits {
  readonly engineId?: string | undefined;
  /** NIXL's side channel. */
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly tpSize?: number | undefined;
  readonly ppSize?: number | undefined;
  readonly dpSize?: number | undefined;
  /** P2P-NCCL and MoRI-IO: as the worker registered itself. */
  readonly zmqAddress?: string | undefined;
  readonly transferMode?: 'READ' | 'WRITE' | undefined;
  /** Mooncake: by data-parallel rank. */
  readonly engineIds?: Readonly<Record<string, string>> | undefined;
  /** LMCache: where the blocks are received. */
  readonly receiver?: KvReceiver | undefined;
}

export interface KvReceiver {
  readonly host: string;
  /** One for each tensor-parallel rank. */
  readonly initPorts: readonly number[];
  readonly allocPorts: readonly number[];
}

/** Which requests are split. */
export type SplitSettings =
  | { readonly kind: 'always' | 'never' }
  /** Where that is expected to be sooner. */
  | { readonly kind: 'auto' }
  /** From so many tokens of the prompt on that no cache is expected to hold. */
  | { readonly kind: 'threshold'; readonly tokens: number };

/** How requests are served by a prefill and a decode worker together. */
export interface PdSettings {
  readonly connector: KvConnector;
  readonly split: SplitSettings;
  /** What becomes of a request whose pairs have failed: it is served whole by a decode worker, or fails. */
  readonly fallback: 'whole' | 'none';
  /** What becomes of a client's own `kv_transfer_params`. */
  readonly clientParams: 'refuse' | 'drop';
  /** Until the prefill worker has answered; 0 = no bound but the request's own. */
  readonly prefillTimeoutMs: number;
  /** Until the first byte of the decode worker; 0 = no bound but the request's own. */
  readonly decodeTimeoutMs: number;
  /** Prompts at once on one prefill worker; 0 = no bound. */
  readonly maxPrefillsPerWorker: number;
  /** Transfers at once from one worker to one other; 0 = no bound. */
  readonly maxTransfersPerPair: number;
  /** Of the one stage alone; undefined: as the model's own policy, or `policy`. */
  readonly prefillPolicy: StagePolicy | undefined;
  readonly decodePolicy: StagePolicy | undefined;
  /** Whether `policy` was named, so that it holds for a stage without one of its own; else the cost of pairs decides there. */
  readonly policyNamed: boolean;
  /** Whether the profiles of both workers are switched on for each request. */
  readonly profile: boolean;
  /** After which a profile is ended whatever happens. */
  readonly profileTimeoutMs: number;
  /** Where workers register themselves; undefined: nowhere. */
  readonly discovery: PdDiscoverySettings | undefined;
  readonly notices: PdNoticeSettings;
}

/** How it is heard that the blocks of a prompt have arrived, where LMCache brings them. */
export interface PdNoticeSettings {
  /** `host:port` to listen on; undefined: nothing is heard. */
  readonly address: string | undefined;
  /** Longest wait of a request for them; then its decode worker computes what is missing. */
  readonly timeoutMs: number;
}

export interface PdDiscoverySettings {
  /** `host:port` to listen on. */
  readonly address: string;
  /** Networks that the addresses of workers may lie in, as CIDR; empty: this machine and the networks that it is in. */
  readonly allow: readonly string[];
}
