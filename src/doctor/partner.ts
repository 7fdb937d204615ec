import type { WorkerSpec } from '../config/settings/settings.ts';
import type { Connector, Peer } from '../engines/prefill-decode/connector.ts';
import { connectorFor } from '../engines/prefill-decode/index.ts';
import { quote } from './finding.ts';
import type { Patient } from './patient.ts';

/** A worker, and one of the others that it could serve a request with. */
export interface Couple {
  readonly prefill: Peer;
  readonly decode: Peer;
  /** The one of the two that is not examined. */
  readonly other: WorkerSpec;
  readonly connector: Connector;
}

/** Whom a worker hands over to, or takes over from; each has another one, as far as there are enough. A text: why there is none. */
export async function coupleOf(patient: Patient): Promise<Couple | string> {
  const { spec, fleet, expected } = patient;
  const { role } = spec.traits;
  if (role === 'regular') return 'it serves whole requests: it is neither a prefill nor a decode worker';
  const alike = fleet.filter(({ traits }) => traits.role === role);
  const wanted = role === 'prefill' ? 'decode' : 'prefill';
  const others = fleet.filter(({ traits }) => traits.role === wanted);
  const other = others[alike.findIndex(({ id }) => id === spec.id) % others.length];
  if (!other) return `there is no ${wanted} worker among those that are examined`;
  const [first, second] = role === 'prefill' ? [spec, other] : [other, spec];
  const prefill = await withEngines(patient, first);
  const decode = { spec: second, traits: second.traits };
  return { prefill, decode, other, connector: connectorFor(expected.kvConnector, prefill, decode) };
}

/** Mooncake's bootstrap server says them, which a router asks as well. */
async function withEngines({ expected, askBootstrap }: Patient, spec: WorkerSpec): Promise<Peer> {
  const { traits } = spec;
  const { kvConnector } = expected;
  const asks = kvConnector === 'mooncake' || (kvConnector === 'auto' && traits.bootstrapPort !== undefined);
  if (!asks) return { spec, traits };
  const told = await askBootstrap({ spec, traits });
  if (told.kind !== 'told') return { spec, traits };
  return { spec, traits: { ...traits, kvTransfer: { ...traits.kvTransfer, engineIds: told.engineIds } } };
}

/** How its connector is set up on the workers. */
export const SET_UP: Readonly<Record<Connector['name'], string>> = {
  nixl: `start both with --kv-transfer-config '{"kv_connector": "NixlConnector", "kv_role": "kv_both"}' and VLLM_NIXL_SIDE_CHANNEL_HOST set to their own address`,
  'nixl-push':
    'start both with NixlPushConnector, the prefill worker with a fixed engine_id, and give that in its kv_transfer.engine_id',
  mooncake:
    'start both with MooncakeConnector, and give the bootstrap port of the prefill worker (VLLM_MOONCAKE_BOOTSTRAP_PORT)',
  'p2p-nccl':
    'start both with P2pNcclConnector and proxy_ip and proxy_port of the router, and with VLLM_DISABLE_REQUEST_ID_RANDOMIZATION=1',
  moriio:
    'start both with MoRIIOConnector, the same transfer mode, and proxy_ip and proxy_port of the router',
  lmcache:
    'start both with LMCacheConnectorV1 and enable_pd, and give the receiver of the decode worker in its kv_transfer.receiver',
  storage:
    'give both the same storage, with the same keys for the same blocks: PYTHONHASHSEED and block size',
  sglang: 'start both with --disaggregation-mode, and give the bootstrap port of the prefill worker',
};

/** As the end of a sentence. */
export function nameOf({ id }: Pick<WorkerSpec, 'id'>): string {
  return quote(id);
}
