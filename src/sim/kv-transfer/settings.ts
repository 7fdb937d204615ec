import type { KvConnector } from '../../config/settings/pd-settings.ts';

export type SimKvConnector = Exclude<KvConnector, 'auto'>;

export const SIM_KV_CONNECTORS = [
  ...['nixl', 'nixl-push', 'mooncake', 'p2p-nccl', 'moriio', 'lmcache', 'storage', 'sglang'],
] as const satisfies readonly SimKvConnector[];

/** `both`: it hands over and takes over, as NIXL's `kv_both`. */
export const SIM_ROLES = ['prefill', 'decode', 'both'] as const;
export type SimRole = (typeof SIM_ROLES)[number];

/** How the KV cache of prompts gets from one simulated worker to another. */
export interface KvTransferOptions {
  /** What becomes of a request whose KV cache does not come (vLLM's `kv_load_failure_policy`). Default fail. */
  readonly onFailure?: 'fail' | 'recompute';
  /** KV cache of one token. Default 131,072, as of a model of 8 billion parameters. */
  readonly bytesPerToken?: number;
  /** Of one transfer; the engine's `timeScale` applies. Default 20e9. */
  readonly bytesPerSecond?: number;
  /** How long blocks stay for a worker that gives no sign of life, in real time. Default: the connector's own. */
  readonly leaseMs?: number;
  /** Where other workers ask (NIXL's side channel, Mooncake's bootstrap server). Default 0: any free port. */
  readonly sidePort?: number;
  /** Of the first rank; rank r has `_dp<r>` behind it. Default: a new one at each start. */
  readonly engineId?: string;
  /** `host:port` where the router hears of workers (P2P-NCCL, MoRI-IO) or of transfers (LMCache). */
  readonly proxyAddress?: string;
  /** MoRI-IO: who moves the blocks. Default READ. */
  readonly transferMode?: 'READ' | 'WRITE';
  /** Tensor-parallel ranks that it says it has. Default 1. */
  readonly tpSize?: number;
  /** Whether ids get eight digits of chance behind them, as since vLLM 0.14, which P2P-NCCL cannot do with. Default false. */
  readonly randomRequestIds?: boolean;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What was said of KV cache that is handed over; it means something only with a role or a connector. */
export interface KvTransferDraft extends Mutable<KvTransferOptions> {
  role?: SimRole;
  connector?: SimKvConnector;
  /** Some other flag. */
  named?: string;
}

export interface KvTransferSettings {
  readonly role: SimRole;
  readonly connector: SimKvConnector;
  readonly onFailure: 'fail' | 'recompute';
  readonly bytesPerToken: number;
  readonly bytesPerSecond: number;
  readonly leaseMs: number;
  readonly sidePort: number;
  readonly engineId: string | undefined;
  readonly proxyAddress: string | undefined;
  readonly transferMode: 'READ' | 'WRITE';
  readonly tpSize: number;
  readonly randomRequestIds: boolean;
}

export const KV_BYTES_PER_TOKEN = 131_072;
export const KV_BYTES_PER_SECOND = 20e9;
const NIXL_LEASE_MS = 30_000;
/** Mooncake's `VLLM_MOONCAKE_ABORT_REQUEST_TIMEOUT`; the others are not shorter. */
const LONG_LEASE_MS = 480_000;

export function kvTransferSettings(
  role: SimRole | undefined,
  connector: SimKvConnector | undefined,
  options: KvTransferOptions = {},
): KvTransferSettings | undefined {
  if (role === undefined && connector === undefined) return undefined;
  const isNixl = connector === undefined || connector === 'nixl' || connector === 'nixl-push';
  return {
    role: role ?? 'both',
    connector: connector ?? 'nixl',
    onFailure: options.onFailure ?? 'fail',
    bytesPerToken: options.bytesPerToken ?? KV_BYTES_PER_TOKEN,
    bytesPerSecond: options.bytesPerSecond ?? KV_BYTES_PER_SECOND,
    leaseMs: options.leaseMs ?? (isNixl ? NIXL_LEASE_MS : LONG_LEASE_MS),
    sidePort: options.sidePort ?? 0,
    engineId: options.engineId,
    proxyAddress: options.proxyAddress,
    transferMode: options.transferMode ?? 'READ',
    tpSize: options.tpSize ?? 1,
    randomRequestIds: options.randomRequestIds ?? false,
  };
}

/** What of a worker's KV cache concerns others. */
export interface KvTransferState {
  readonly connector: SimKvConnector;
  readonly role: SimRole;
  /** By rank. */
  readonly engineIds: readonly string[];
  /** Where other workers ask. */
  readonly port: number;
  /** Prompts whose blocks are kept for others. */
  readonly kept: number;
  /** The router hears of it from itself. */
  readonly registersItself: boolean;
}
