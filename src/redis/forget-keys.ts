import type { Redis } from 'ioredis';
import type { Clock } from '../base/clock.ts';
import type { Commands, RedisLink, Unavailable } from './redis-link.ts';

/** Keys that a server looks at before it answers: others have their turn in between. */
const LOOKED_AT = 512;
const LONGEST_MS = 60_000;

export interface Forgotten {
  readonly keys: number;
  /** Why some may be left. */
  readonly cutShort: Unavailable | undefined;
}

/**
 * Forgets all keys that begin so and are wanted, on every master of a Cluster. Goes through them in steps (SCAN, never KEYS), each within
 * the command timeout; the server frees what was in them in the background (UNLINK).
 */
export async function forgetKeys(
  link: RedisLink,
  { beginning, isWanted }: { readonly beginning: string; readonly isWanted: (key: string) => boolean },
  clock: Clock,
): Promise<Forgotten> {
  const until = clock.now() + LONGEST_MS;
  const servers = await link.ask((redis) => Promise.resolve(mastersOf(redis).map(placeOf)));
  if (servers.kind === 'unavailable') return { keys: 0, cutShort: servers.reason };
  const wanted = { pattern: `${literal(beginning)}*`, isWanted };
  let keys = 0;
  for (const place of servers.value) {
    let cursor = '0';
    do {
      const step = await link.ask((redis) => forgetSome(redis, place, cursor, wanted), 'write');
      if (step.kind === 'unavailable') return { keys, cutShort: step.reason };
      if (clock.now() > until) return { keys, cutShort: 'timeout' };
      cursor = step.value.cursor;
      keys += step.value.forgotten;
    } while (cursor !== '0');
  }
  return { keys, cutShort: undefined };
}

async function forgetSome(
  redis: Commands,
  place: string,
  from: string,
  { pattern, isWanted }: { readonly pattern: string; readonly isWanted: (key: string) => boolean },
): Promise<{ readonly cursor: string; readonly forgotten: number }> {
  const master = mastersOf(redis).find((one) => placeOf(one) === place);
  // It is no master any more; the one in its place has been counted, or is on the list.
  if (!master) return { cursor: '0', forgotten: 0 };
  const [cursor, matching] = await master.scan(from, 'MATCH', pattern, 'COUNT', LOOKED_AT);
  const found = matching.filter(isWanted);
  if (found.length === 0) return { cursor, forgotten: 0 };
  // One by one: on a Cluster the keys of one command have to lie in one slot.
  const pipeline = master.pipeline();
  for (const key of found) pipeline.unlink(key);
  const gone = (await pipeline.exec()) ?? [];
  const error = gone.find(([fault]) => fault)?.[0];
  if (error) throw error;
  return { cursor, forgotten: gone.filter(([, count]) => count === 1).length };
}

/** What means something else in a pattern means itself. */
function literal(text: string): string {
  return text.replaceAll(/[\\*?[\]]/g, '\\$&');
}

function mastersOf(redis: Commands): readonly Redis[] {
  return 'nodes' in redis ? redis.nodes('master') : [redis];
}

function placeOf({ options }: Redis): string {
  return `${options.host}:${options.port}`;
}
