import type { Check } from '../check.ts';
import { cache } from './cache.ts';
import { clock } from './clock.ts';
import { events } from './events.ts';
import { handover } from './handover.ts';
import { key } from './key.ts';
import { kvConnector } from './kv-connector.ts';
import { limits } from './limits.ts';
import { lmcache } from './lmcache.ts';
import { load } from './load.ts';
import { models } from './models.ts';
import { prefixCaching } from './prefix-caching.ts';
import { reachable } from './reachable.ts';
import { replay } from './replay.ts';
import { tokenizer } from './tokenizer.ts';
import { tokens } from './tokens.ts';
import { version } from './version.ts';

/** Everything that is looked at, in this order: what others need comes first. */
export const CHECKS: readonly Check[] = [
  reachable,
  version,
  key,
  models,
  limits,
  clock,
  load,
  cache,
  tokens,
  tokenizer,
  prefixCaching,
  events,
  replay,
  lmcache,
  kvConnector,
  handover,
];
