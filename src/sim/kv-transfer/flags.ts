import { readEndpoint } from '../../zmtp/endpoint.ts';
import { number, type Draft, type Flag } from '../server/flag.ts';
import type { SimOptions } from '../server/options.ts';
import {
  KV_BYTES_PER_SECOND,
  KV_BYTES_PER_TOKEN,
  SIM_KV_CONNECTORS,
  SIM_ROLES,
  type KvTransferDraft,
} from './settings.ts';

const GROUP = 'Prefill and decode';
/** The engines' own defaults, where the router is told the port beforehand; of all others it may be any. */
const PUSH_PORT = 5600;
const BOOTSTRAP_PORT = 8998;
const RECEIVER_PORT = 8300;

export const KV_TRANSFER_FLAGS: readonly Flag[] = [
  {
    name: '--role',
    value: 'ROLE',
    group: GROUP,
    about:
      'prefill: its KV cache is for others; decode: it takes over theirs; both (default both with --kv-connector)',
    set: ({ kvTransfer }, value) => oneOf(value, SIM_ROLES, (role) => (kvTransfer.role = role)),
  },
  {
    name: '--kv-connector',
    value: 'NAME',
    group: GROUP,
    about: `how it gets from one to the other: ${SIM_KV_CONNECTORS.join(', ')} (default nixl with --role)`,
    set: ({ kvTransfer }, value) => oneOf(value, SIM_KV_CONNECTORS, (name) => (kvTransfer.connector = name)),
  },
  flag('--kv-side-port', 'PORT', {
    about: `where other workers ask the first one, the others follow; 0: any free ones (default ${PUSH_PORT} with nixl-push, ${BOOTSTRAP_PORT} with mooncake and sglang, ${RECEIVER_PORT} where lmcache receives, else 0)`,
    set: ({ kvTransfer }, value) =>
      number(value, { least: 0, most: 65535, whole: true }, (port) => (kvTransfer.sidePort = port)),
  }),
  flag('--kv-engine-id', 'ID', {
    about: 'of the first worker; the next have -1 and so on behind it (default: chance for each start)',
    set: ({ kvTransfer }, value) => void (kvTransfer.engineId = value),
  }),
  flag('--kv-load-failure-policy', 'WHAT', {
    about: 'what becomes of a request whose KV cache does not come: fail or recompute (default fail)',
    set: ({ kvTransfer }, value) =>
      oneOf(value, ['fail', 'recompute'], (policy) => (kvTransfer.onFailure = policy)),
  }),
  flag('--kv-bytes-per-token', 'BYTES', {
    about: `KV cache of one token (default ${KV_BYTES_PER_TOKEN})`,
    set: ({ kvTransfer }, value) =>
      number(value, { least: 1, most: 1e9, whole: true }, (bytes) => (kvTransfer.bytesPerToken = bytes)),
  }),
  flag('--kv-bytes-per-second', 'BYTES', {
    about: `how fast one is transferred (default ${KV_BYTES_PER_SECOND})`,
    set: ({ kvTransfer }, value) =>
      number(value, { least: 1, most: 1e15 }, (bytes) => (kvTransfer.bytesPerSecond = bytes)),
  }),
  flag('--kv-lease-secs', 'SECS', {
    about: 'how long blocks are kept for a worker that does not come (default 30 with NIXL, else 480)',
    set: ({ kvTransfer }, value) =>
      number(value, { least: 0.001, most: 86_400 }, (secs) => (kvTransfer.leaseMs = secs * 1000)),
  }),
  flag('--proxy-address', 'HOST:PORT', {
    about: 'where the router hears of workers (p2p-nccl, moriio) or of transfers (lmcache)',
    set: ({ kvTransfer }, value) => {
      if (readEndpoint(`tcp://${value}`) === undefined) return 'expected host:port';
      kvTransfer.proxyAddress = value;
      return undefined;
    },
  }),
  flag('--transfer-mode', 'MODE', {
    about: 'of moriio: READ or WRITE (default READ)',
    set: ({ kvTransfer }, value) =>
      oneOf(value, ['READ', 'WRITE'], (mode) => (kvTransfer.transferMode = mode)),
  }),
  flag('--tensor-parallel-size', 'N', {
    about: 'ranks that it says it has (default 1)',
    set: ({ kvTransfer }, value) =>
      number(value, { least: 1, most: 1024, whole: true }, (ranks) => (kvTransfer.tpSize = ranks)),
  }),
  {
    name: '--random-request-ids',
    group: GROUP,
    about: 'ids get chance behind them, as since vLLM 0.14: with p2p-nccl nothing is ever found then',
    set: ({ kvTransfer }) => {
      kvTransfer.named ??= '--random-request-ids';
      kvTransfer.randomRequestIds = true;
      return undefined;
    },
  },
];

function flag(name: string, value: string, { about, set }: Pick<Flag, 'about' | 'set'>): Flag {
  return {
    ...{ name, value, about, group: GROUP },
    set: (draft, text) => {
      draft.kvTransfer.named ??= name;
      return set(draft, text);
    },
  };
}

/** What each worker has of it; a text says what is wrong. */
export function kvTransferOf({
  kvTransfer: { role, connector, named, ...options },
  count,
  faultsOf,
}: Pick<Draft, 'kvTransfer' | 'count' | 'faultsOf'>):
  ((index: number) => Pick<SimOptions, 'role' | 'kvConnector' | 'kvTransfer'>) | string | undefined {
  if (role === undefined && connector === undefined) {
    const fault = [...faultsOf.values()].flat().find((text) => text.startsWith('pd_'));
    const alone = fault === undefined ? named : `--fault ${fault}`;
    return alone === undefined ? undefined : `${alone}: only with --role or --kv-connector`;
  }
  const isOneSided = connector === 'sglang' || connector === 'lmcache';
  if (isOneSided && (role === undefined || role === 'both'))
    return `--kv-connector ${connector}: expected --role prefill or --role decode`;
  const first = options.sidePort ?? defaultPort(role, connector);
  if (first + count - 1 > 65535) return '--kv-side-port: not enough ports above it for --count';
  return (index) => ({
    ...(role !== undefined && { role }),
    ...(connector !== undefined && { kvConnector: connector }),
    kvTransfer: {
      ...options,
      sidePort: first === 0 ? 0 : first + index,
      ...(options.engineId !== undefined && index > 0 && { engineId: `${options.engineId}-${index}` }),
    },
  });
}

function defaultPort(role: KvTransferDraft['role'], connector: KvTransferDraft['connector']): number {
  if (connector === 'lmcache') return role === 'decode' ? RECEIVER_PORT : 0;
  if (role === 'decode') return 0;
  if (connector === 'nixl-push') return PUSH_PORT;
  return connector === 'mooncake' || connector === 'sglang' ? BOOTSTRAP_PORT : 0;
}

function oneOf<T extends string>(
  value: string,
  kinds: readonly T[],
  put: (kind: T) => void,
): string | undefined {
  const kind = kinds.find((known) => known === value);
  if (kind === undefined) return `expected ${kinds.join(', ')}`;
  put(kind);
  return undefined;
}
