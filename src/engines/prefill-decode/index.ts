import type { KvConnector } from '../../config/settings/pd-settings.ts';
import type { KvTransferTraits } from '../../config/settings/settings.ts';
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

/** Whether the worker can serve a request by itself: else nothing is to be asked of its engine but halves. */
export function servesAlone(
  setting: KvConnector,
  { traits: { role, kvTransfer } }: Pick<Peer, 'traits'>,
): boolean {
  if (role === 'regular') return true;
  const name = setting === 'auto' ? registeredFor(kvTransfer) : setting;
  return name === undefined || CONNECTORS[name].pairsOnly !== true;
}

/** Of a worker that has registered itself. */
function registeredFor(transfer: KvTransferTraits | undefined): Connector['name'] | undefined {
  if (transfer?.zmqAddress === undefined) return undefined;
  return transfer.transferMode === undefined ? 'p2p-nccl' : 'moriio';
}

function nameFor(prefill: Peer, decode: Peer): Connector['name'] {
  const { kvTransfer: transfer, bootstrapPort } = prefill.traits;
  const registered = registeredFor(transfer);
  if (registered) return registered;
  // The port says it before the server there has answered.
  if (transfer?.engineIds !== undefined || bootstrapPort !== undefined) return 'mooncake';
  return decode.traits.kvTransfer?.receiver === undefined ? 'nixl' : 'lmcache';
}
