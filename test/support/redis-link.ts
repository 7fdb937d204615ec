import type { TestContext } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import type { RedisConfig } from '../../src/config/schema/redis-schema.ts';
import { redisSettings } from '../../src/config/settings/redis-settings.ts';
import type { WorkerTls } from '../../src/config/settings/tls.ts';
import type { RedisEvents } from '../../src/redis/redis-events.ts';
import type { RedisLink } from '../../src/redis/redis-link.ts';
import { ServerLink } from '../../src/redis/server-link.ts';
import { eventually } from './fleet.ts';

/** Long enough for a busy machine, and short enough to be seen when it is waited for in vain. */
export const COMMAND_MS = 250;

export interface OpenLink {
  readonly link: RedisLink;
  readonly told: {
    /** Why it was lost; undefined when it was there. */
    readonly link: (string | undefined)[];
    readonly writes: (string | undefined)[];
  };
  /** Resolves when nothing that was asked is under way. */
  readonly settled: () => Promise<void>;
}

/** A link as the router has it, closed with the test. */
export function openLink(t: TestContext, config: RedisConfig, tls?: WorkerTls): OpenLink {
  const told: OpenLink['told'] = { link: [], writes: [] };
  const events: RedisEvents = {
    asked: () => undefined,
    link: (_server, why) => told.link.push(why),
    subscriber: () => undefined,
    writes: (_server, why) => told.writes.push(why),
  };
  const times = { command_timeout_ms: COMMAND_MS, connection_timeout_ms: 1000 };
  const settings = redisSettings([{ config: { ...times, ...config }, tls }]);
  const link = new ServerLink(settings, { clock: systemClock, random: seededRandom(1), events });
  t.after(() => link.close());
  let underWay = 0;
  const ask = link.ask.bind(link);
  link.ask = async (work, kind) => {
    underWay += 1;
    const answer = await ask(work, kind);
    underWay -= 1;
    return answer;
  };
  return { link, told, settled: () => eventually(() => underWay === 0) };
}
