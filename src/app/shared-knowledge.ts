import type { Clock } from '../base/clock.ts';
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

/** What one thread learns and others must know. */
export interface SharedKnowledge {
  readonly owners: ResourceOwners;
  readonly tokenRatio: TokenRatio;
  readonly freshIds: FreshIdWatch;
  readonly shareFor: PoliciesDeps['shareFor'];
}

export function openKnowledge(part: ThreadPart, clock: Clock): SharedKnowledge {
  switch (part.kind) {
    case 'alone':
      return {
        owners: new ResourceOwners(),
        tokenRatio: new TokenRatio(),
        freshIds: new FreshIdWatch(),
        shareFor: undefined,
      };
    case 'control': {
      const { memory, channels } = part;
      ColdOrder.region(memory);
      PoolTurns.region(memory);
      const pins = new PinsOfThreads(channels);
      return {
        owners: new OwnersOfThreads(channels),
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
