import type { AdminDeps } from '../admin/deps.ts';
import { together } from '../response-cache/answer-store.ts';
import type { SharedState } from './shared-state.ts';

/** What operators see and do of what is kept for others who ask the same, and of the servers that it is kept on. */
export function showStores({
  openAnswers,
  semantic,
  sharing,
}: Pick<SharedState, 'openAnswers' | 'semantic' | 'sharing'>): Pick<
  AdminDeps,
  'keptAnswers' | 'redisLinks' | 'flushAnswers'
> {
  return {
    keptAnswers: () => ({ ...openAnswers.kept, semantic: semantic.kept }),
    redisLinks: () => sharing.stores.links.all,
    flushAnswers: async (whose) => together(await openAnswers.flush(whose), await semantic.flush(whose)),
  };
}
