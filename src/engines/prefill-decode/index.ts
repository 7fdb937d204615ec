import type { KvConnector } from '../../config/settings/pd-settings.ts';
import type { Connector, Peer } from './connector.ts';
import { lmcache } from './lmcache.ts';
import { mooncake } from './mooncake.ts';
import { moriio } from './moriio.ts';
import { nixl } from './nixl.ts';
import { nixlPush } from './nixl-push.ts';
import { p2pNccl } from './p2p-nccl.ts';
import { sglang } from './sglang.ts';
import { storage } from './storage.ts';

/** Every connector by its name. */
export const CONNECTORS: Readonly<Record<Connector['name'], Connector>> = {
  nixl,
  'nixl-push': nixlPush,
  mooncake,
  'p2p-nccl': p2pNccl,
  moriio,
  lmcache,
  storage,
  sglang,
};

/** The one that was named; `auto`: the one that what is known of the two speaks for. */
export function connectorFor(setting: KvConnector, prefill: Peer, decode: Peer): Connector {
  return CONNECTORS[setting === 'auto' ? nameFor(prefill, decode) : setting];
}

/** Whether the worker can serve a request by itself. */
export function servesAlone(
  setting: KvConnector,
  { traits: { role, kvTransfer } }: Pick<Peer, 'traits'>,
): boolean {
  if (role === 'regular') return true;
  if (setting !== 'auto') return CONNECTORS[setting].pairsOnly !== true;
  return kvTransfer?.zmqAddress === undefined || kvTransfer.transferMode !== undefined;
}

function nameFor(prefill: Peer, decode: Peer): Connector['name'] {
  const { kvTransfer: transfer, bootstrapPort } = prefill.traits;
  if (transfer?.zmqAddress !== undefined) return transfer.transferMode === undefined ? 'p2p-nccl' : 'moriio';
  // The port says it before the server there has answered.
  if (transfer?.engineIds !== undefined || bootstrapPort !== undefined) return 'mooncake';
  return decode.traits.kvTransfer?.receiver === undefined ? 'nixl' : 'lmcache';
}
