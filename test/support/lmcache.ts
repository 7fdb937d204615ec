import type { FleetOptions } from './fleet.ts';
import { eventually, startFleet, type Fleet } from './fleet.ts';
import { post } from './chat.ts';
import { scrape } from './metrics.ts';

/** About 1,500 tokens that nothing else begins with: five chunks of LMCache. */
export function longPrompt(subject: string): string {
  return `About ${subject}. `.padEnd(6000, `What is there to say of ${subject}? `);
}

/** A router that goes by where LMCache stores a prompt, and knows its controller. */
export async function startLmcacheFleet(options: FleetOptions = {}): Promise<Fleet> {
  const policy = { type: 'lmcache_aware', lookupMode: 'prefix_lookup' } as const;
  const router = { policy, exactTokens: 'auto', tokenizeTimeoutMs: 5000, ...options.router } as const;
  const fleet = await startFleet({
    ...{ workers: [{}, {}, {}], lmcache: {}, ...options },
    router: { ...router, lmcache: { lookupTimeoutMs: 1900, ...options.router?.lmcache } },
  });
  const { lmcache } = fleet.app.runtime;
  // One without a list is asked for both kinds of list, and known by that it has neither.
  const isKnown = (): boolean =>
    options.lmcache?.api === 'old_controller'
      ? fleet.lmcache?.seen.includes('GET /instances') === true
      : lmcache.instances.mapped === fleet.all.length;
  try {
    if (options.lmcache?.fault === undefined) await eventually(isKnown);
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return fleet;
}

/** Has one worker compute the prompt, without the router. */
export async function warm({ workers }: Fleet, index: number, content: string): Promise<void> {
  const answer = await post({ url: workers[index]!.url }, '/v1/chat/completions', about(content));
  await answer.text();
}

/** The chat that `ask` sends. */
export function about(content: string): object {
  return { model: 'sim-model', max_tokens: 2, messages: [{ role: 'user', content }] };
}

/** Look-ups so far, by outcome. */
export async function lookups(fleet: Fleet, outcome: string): Promise<number> {
  return (await scrape(fleet)).value('vllm_router_lmcache_lookups_total', { outcome });
}
