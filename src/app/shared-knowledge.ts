import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import { ResourceOwners } from '../request/choose/resource-owners.ts';
import { OwnersOfThread, OwnersOfThreads } from '../request/choose/shared-owners.ts';
import type { PoliciesDeps } from '../request/choose/policies.ts';
import { ColdOrder } from '../routing/cold-order.ts';
import { FreshIdWatch } from '../routing/hash-key.ts';
import { PoolTurns } from '../routing/pool-turns.ts';
import { FreshIdsOfThread, FreshIdsOfThreads } from '../routing/shared-fresh-ids.ts';
import { PinsOfThread, PinsOfThreads } from '../routing/shared-pins.ts';
import { TokenRatioOfThread, TokenRatioOfThreads } from '../routing/shared-token-ratio.ts';
import { TokenRatio } from '../routing/token-ratio.ts';
import type { Sharing } from './common-knowledge.ts';

/** What one thread learns and others must know. */
export interface SharedKnowledge {
  readonly owners: ResourceOwners;
  readonly tokenRatio: TokenRatio;
  readonly freshIds: FreshIdWatch;
  readonly shareFor: PoliciesDeps['shareFor'];
}

export function openKnowledge(part: ThreadPart, clock: Clock, sharing: Sharing): SharedKnowledge {
  switch (part.kind) {
    case 'alone':
      return {
        owners: new ResourceOwners(sharing.owners),
        tokenRatio: new TokenRatio(),
        freshIds: new FreshIdWatch(),
        shareFor: sharing.pins() && pinsAlone(part.memory, sharing),
      };
    case 'control': {
      const { memory, channels } = part;
      ColdOrder.region(memory);
      PoolTurns.region(memory);
      const pins = new PinsOfThreads(channels, (pin) => sharing.pins()?.tell(pin));
      sharing.onPin = (pin) => {
        pins.hear(pin);
      };
      return {
        owners: new OwnersOfThreads(channels, sharing.owners),
        tokenRatio: new TokenRatioOfThreads(channels),
        freshIds: new FreshIdsOfThreads(channels),
        shareFor: (scope) => ({ memory, scope, pins: pins.link(scope) }),
      };
    }
    case 'request': {
      const { memory, channel } = part;
      const pins = new PinsOfThread(channel, clock);
      return {
        owners: new OwnersOfThread(channel, clock),
        tokenRatio: new TokenRatioOfThread(channel, clock),
        freshIds: new FreshIdsOfThread(channel),
        shareFor: (scope) => ({ memory, scope, pins: pins.link(scope) }),
      };
    }
  }
}

/** With one thread policies share nothing, unless there are other routers. */
function pinsAlone(memory: ThreadMemory, sharing: Sharing): NonNullable<PoliciesDeps['shareFor']> {
  ColdOrder.region(memory);
  PoolTurns.region(memory);
  const listeners = new LRUCache<string, (key: number, worker: string) => void>({ max: MOST_SCOPES });
  sharing.onPin = ([scope, key, worker]) => listeners.get(scope)?.(key, worker);
  return (scope) => ({
    ...{ memory, scope },
    pins: {
      tell: (key, worker) => sharing.pins()?.tell([scope, key, worker]),
      hear(listener) {
        listeners.set(scope, listener);
        for (const [, key, worker] of sharing.pins()?.of(scope) ?? []) listener(key, worker);
      },
    },
  });
}

/** Of policies that come and go. */
const MOST_SCOPES = 2048;
