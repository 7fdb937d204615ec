/** Whatever the policies do to be quick in a large fleet: they choose as one who computes everything for everybody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomInt, seededRandom } from '../../src/base/random.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { KnownCaches } from '../../src/cache-knowledge/known-caches.ts';
import { PredictedIndex } from '../../src/cache-knowledge/predicted-index.ts';
import { DEFAULT_TRAITS } from '../../src/config/settings/settings.ts';
import { ColdOrder } from '../../src/routing/cold-order.ts';
import { createPolicy } from '../../src/routing/policies/index.ts';
import type { Ask, CacheView, LoadView, Pool } from '../../src/routing/policy.ts';
import { blocksFromHashIds } from '../../src/routing/hash-ids.ts';
import { LoadLedger, type Lease } from '../../src/workers/ledger.ts';
import { viewPool } from '../../src/workers/pool-view.ts';
import { WorkerRegistry } from '../../src/workers/registry.ts';
import { askFor } from '../support/pool.ts';
import { BREAKER, HEALTH } from '../support/registry-settings.ts';

const WORKERS = 150;
const REQUESTS = 3000;
const SLOW_START_MS = 5_000;
const THETA = 0.3;
const CACHE_AWARE = { cacheThreshold: 0.3, balanceAbsThreshold: 20, balanceRelThreshold: 1.5 };

/** What an oracle may look at: everything, a worker at a time. */
interface Seen {
  readonly pool: Pool;
  readonly loads: LoadView;
  readonly cache: CacheView;
  readonly cold: ColdOrder;
  readonly ask: Ask;
}

interface Candidate {
  readonly index: number;
  readonly load: number;
  readonly tokens: number;
  readonly turn: number;
  /** Seconds to the first token, without and with what the prefill does to others there. */
  readonly first: number;
  readonly work: number;
}

function candidates({ pool, loads, cache, cold, ask }: Seen): Candidate[] {
  const { totalTokens } = ask.blocks();
  return pool.members.flatMap(({ slot }, index) => {
    if (pool.mask[index] !== 0) return [];
    const { tokens } = cache.match(ask, slot);
    const ramp = pool.ramp(index);
    const load = loads.running(slot) * ramp;
    const own = Math.max(1, totalTokens - tokens);
    const ahead = loads.prefillTokens(slot) * ramp + own;
    const rate = loads.prefillRate(slot);
    const turn = cold.turnOf(slot);
    return [{ index, load, tokens, turn, first: ahead / rate, work: (ahead + THETA * own * load) / rate }];
  });
}

/** The first of those that no other is better than, in order of what is compared. */
function least(of: readonly Candidate[], ...keys: ((one: Candidate) => number)[]): Candidate {
  return of.reduce((best, one) => {
    const key = keys.find((each) => each(one) !== each(best));
    return key && key(one) < key(best) ? one : best;
  });
}

const ORACLES: Readonly<Record<'least_work' | 'cache_aware', (seen: Seen) => number>> = {
  least_work(seen) {
    const all = candidates(seen);
    const best = least(all, ({ work }) => work);
    const tied = all.filter(({ work, tokens }) => work <= best.work * 1.05 && tokens === best.tokens);
    const longestAgo = least(tied, ({ turn }) => turn);
    return longestAgo.turn === best.turn ? Math.min(longestAgo.index, best.index) : longestAgo.index;
  },
  cache_aware(seen) {
    const all = candidates(seen);
    const ties = [({ load }: Candidate) => load, ({ turn }: Candidate) => turn];
    const lowest = least(all, ...ties);
    const highest = Math.max(...all.map(({ load }) => load));
    const { balanceAbsThreshold, balanceRelThreshold, cacheThreshold } = CACHE_AWARE;
    if (highest - lowest.load > balanceAbsThreshold && highest > balanceRelThreshold * lowest.load)
      return lowest.index;
    const warmest = least(all, ({ tokens }) => -tokens, ...ties);
    if (warmest.tokens <= cacheThreshold * seen.ask.blocks().totalTokens) return lowest.index;
    const quickest = least(all, ({ first }) => first, ...ties);
    return warmest.first > quickest.first ? quickest.index : warmest.index;
  },
};

for (const name of ['least_work', 'cache_aware'] as const)
  test(`${name} chooses as the exhaustive scan does`, () => {
    const random = seededRandom(11);
    const clock = new VirtualClock();
    const ledger = new LoadLedger(clock);
    const settings = { clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: SLOW_START_MS };
    const registry = new WorkerRegistry(settings);
    const index = new PredictedIndex({ maxBytes: 2 ** 19, maxBlocksPerWorker: 300, clock });
    const cache = new KnownCaches({ predicted: index });
    const deps = { loads: ledger, cache, clock, random };
    const policy = createPolicy(
      name === 'least_work' ? { type: name, theta: THETA } : { type: name, ...CACHE_AWARE },
      deps,
    );
    const cold = new ColdOrder();
    for (let at = 0; at < WORKERS; at++) {
      const id = `http://w${at}`;
      const spec = { baseUrl: id, rank: undefined, id, apiKey: undefined, traits: DEFAULT_TRAITS };
      registry.reportCheck(registry.add(spec), true);
    }
    const conversations = Array.from({ length: 120 }, (_, at) => ({ system: at % 40, turns: 1 }));
    const open: { readonly lease: Lease; readonly uncached: number }[] = [];
    let same = 0;
    for (let request = 0; request < REQUESTS; request++) {
      clock.advance(randomInt(random, 30));
      disturb(registry, random);
      const at = randomInt(random, conversations.length);
      const conversation = conversations[at]!;
      if (randomInt(random, 12) === 0) conversation.turns = 1;
      conversation.turns += randomInt(random, 3);
      const ids = Array.from({ length: 6 + 2 * conversation.turns }, (_, block) =>
        block < 6 ? 10 * conversation.system + block : 1000 * (at + 1) + block,
      );
      const blocks = blocksFromHashIds(ids, 16, 16 * ids.length + 3);
      const ask = askFor(blocks);
      const pool = viewPool(registry.membersFor(''), {
        ...{ tried: new Set(), now: clock.now(), slowStartMs: SLOW_START_MS, version: registry.version },
      });
      const choice = policy.choose(ask, pool);
      assert.ok(choice.kind === 'chosen');
      const expected = ORACLES[name]({ pool, loads: ledger, cache, cold, ask });
      if (choice.index === expected) same += 1;
      const { slot } = pool.members[choice.index]!;
      const matchedTokens = choice.matchedTokens![choice.index]!;
      assert.equal(matchedTokens, index.match(blocks, slot).tokens);
      const uncached = blocks.totalTokens - matchedTokens;
      const stream = request % 3 > 0;
      open.push({
        lease: ledger.acquire(slot, { prefillTokens: uncached, kvTokens: 100, stream }),
        uncached,
      });
      index.record(blocks, slot);
      const event = { type: 'dispatched', ask, slot, matchedTokens } as const;
      policy.observe?.(event);
      cold.observe(event);
      while (open.length > randomInt(random, 3 * WORKERS)) {
        const [{ lease, uncached: computed }] = open.splice(randomInt(random, open.length), 1) as [
          (typeof open)[number],
        ];
        lease.firstToken(computed);
        lease.release();
      }
    }
    assert.ok(same >= 0.999 * REQUESTS, `${same} of ${REQUESTS}`);
  });

/** Workers fail, recover and are drained in between. */
function disturb(registry: WorkerRegistry, random: () => number): void {
  const worker = registry.workers[randomInt(random, WORKERS)]!;
  const what = randomInt(random, 100);
  if (what < 3) worker.draining = !worker.draining;
  else if (what < 6) registry.reportCheck(worker, false);
  else if (what < 12) registry.reportCheck(worker, true);
}
