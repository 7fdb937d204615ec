import type { Bar } from '../report.ts';
import { lowestOf, type Rounds } from '../rounds.ts';
import { CACHE_AWARE_PEERS } from './peers.ts';

/**
 * A cost of this router over that of the cheapest cache-aware router in Rust. `read` is what tells who is cheapest, `ratio`
 * how the two compare.
 */
export function barBesidePeers(
  name: string,
  limit: number,
  all: readonly Rounds[],
  router: Rounds | undefined,
  read: (rounds: Rounds) => number,
  ratio: (router: Rounds, peer: Rounds) => number,
): Bar {
  const cheapest = lowestOf(all, CACHE_AWARE_PEERS, read);
  const measured = router && cheapest ? ratio(router, cheapest) : NaN;
  const known = Number.isFinite(measured);
  return {
    name,
    limit,
    measured: known ? measured : undefined,
    unit: 'x cheapest Rust cache_aware',
    note: cheapest
      ? `${cheapest.target}${router && !known ? '; nothing above the noise of the machine' : ''}`
      : 'no such router was measured: npm run bench:peers',
  };
}
