/** A link to real servers of Redis and Valkey: what it costs when they freeze, die, come back, are full or refuse. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { performance } from 'node:perf_hooks';
import { seededRandom } from '../../src/base/random.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { redisSettings } from '../../src/config/settings/redis-settings.ts';
import type { RedisConfig } from '../../src/config/schema/redis-schema.ts';
import type { RedisEvents } from '../../src/redis/redis-events.ts';
import type { RedisLink } from '../../src/redis/redis-link.ts';
import { ServerLink } from '../../src/redis/server-link.ts';
import { eventually } from '../support/fleet.ts';
import { REDIS_KINDS } from '../support/redis-program.ts';
import { startRedis } from '../support/redis-server.ts';

const COMMAND_MS = 150;

interface Told {
  readonly link: (string | undefined)[];
  readonly writes: (string | undefined)[];
}

function openLink(t: TestContext, config: RedisConfig): { link: RedisLink; told: Told } {
  const told: Told = { link: [], writes: [] };
  const events: RedisEvents = {
    asked: () => undefined,
    link: (_server, why) => told.link.push(why),
    subscriber: () => undefined,
    writes: (_server, why) => told.writes.push(why),
  };
  const settings = redisSettings([
    { config: { command_timeout_ms: COMMAND_MS, connection_timeout_ms: 1000, ...config }, tls: undefined },
  ]);
  const link = new ServerLink(settings, { clock: systemClock, random: seededRandom(1), events });
  t.after(() => link.close());
  return { link, told };
}

const up = (link: RedisLink): Promise<void> => eventually(() => link.isUp);

for (const kind of REDIS_KINDS) {
  describe(`a link to ${kind}`, () => {
    it('asks and is answered', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link } = openLink(t, { url: server.url });
      assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'unavailable', reason: 'down' });
      await up(link);
      await link.ask((redis) => redis.set('a', 'one'), 'write');
      assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'done', value: 'one' });
    });

    it('pays once for a frozen server, and sees by itself when it goes on', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link, told } = openLink(t, { url: server.url });
      await up(link);
      server.signal('SIGSTOP');
      const began = performance.now();
      assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'unavailable', reason: 'timeout' });
      const took = performance.now() - began;
      assert.ok(took < COMMAND_MS + 100, `took ${took} ms`);
      const again = performance.now();
      for (let asked = 0; asked < 100; asked++)
        assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'unavailable', reason: 'down' });
      assert.ok(performance.now() - again < 50);
      server.signal('SIGCONT');
      await up(link);
      assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'done', value: null });
      assert.deepEqual(told.link.filter((why) => why === undefined).length, 2);
    });

    it('is down when the server is killed, and up when it is there again', async (t) => {
      const server = await startRedis(t, { kind });
      if (!server) return;
      const { link } = openLink(t, { url: server.url });
      await up(link);
      await server.kill();
      await eventually(() => !link.isUp);
      assert.deepEqual(await link.ask((redis) => redis.get('a')), { kind: 'unavailable', reason: 'down' });
      await server.restart();
      await up(link);
      assert.equal((await link.ask((redis) => redis.get('a'))).kind, 'done');
    });
  });
}
