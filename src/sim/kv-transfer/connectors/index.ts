import type { SimConnector } from '../handing.ts';
import type { SimKvConnector } from '../settings.ts';
import { lmcache } from './lmcache.ts';
import { mooncake } from './mooncake.ts';
import { moriio } from './moriio.ts';
import { nixl, nixlPush } from './nixl.ts';
import { p2pNccl } from './p2p-nccl.ts';
import { sglang } from './sglang.ts';
import { storage } from './storage.ts';

export const CONNECTORS: Readonly<Record<SimKvConnector, SimConnector>> = {
  nixl,
  'nixl-push': nixlPush,
  mooncake,
  'p2p-nccl': p2pNccl,
  moriio,
  lmcache,
  storage,
  sglang,
};
