/** One suite over every store of answers: whatever keeps them, a part that asks for one sees the same. */
import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '../../src/base/system-clock.ts';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { RedisConfig } from '../../src/config/schema/redis-schema.ts';
import type { AnswerStore } from '../../src/response-cache/answer-store.ts';
import { MemoryStore } from '../../src/response-cache/stores/memory.ts';
import { RedisStore } from '../../src/response-cache/stores/redis.ts';
import { eventually } from '../support/fleet.ts';
import { recordingLog } from '../support/recording-log.ts';
import { openLink } from '../support/redis-link.ts';
import { REDIS_KINDS } from '../support/redis-program.ts';
import { startCluster, startRedis, type Host } from '../support/redis-server.ts';

interface OpenStore {
  readonly store: AnswerStore;
  /** Resolves when what was given to the store is there. */
  readonly settled: () => Promise<void>;
  /** Lets so much time pass. */
  readonly pass: (ms: number) => Promise<void>;
}

interface Row {
  readonly name: string;
  /** Undefined: the test has been skipped, with a reason. */
  readonly open: (t: TestContext) => Promise<OpenStore | undefined>;
}

/** What ends those servers, the last one first. */
const ENDS: (() => void | Promise<void>)[] = [];
after(async () => {
  for (const end of ENDS.toReversed()) await end();
});

const ROWS: readonly Row[] = [
  {
    name: 'memory',
    open: (t) => {
      const clock = new VirtualClock();
      const store = new MemoryStore({ maxEntries: 1000, maxBytes: 1 << 20 }, clock);
      t.after(() => store.close());
      return Promise.resolve({
        store,
        settled: () => Promise.resolve(),
        pass: (ms) => {
          clock.advance(ms);
          return Promise.resolve();
        },
      });
    },
  },
  ...REDIS_KINDS.flatMap((kind): Row[] => [
    {
      name: `one ${kind}`,
      open: sharing(async (host) => {
        const server = await startRedis(host, { kind });
        return server && { url: server.url };
      }),
    },
    {
      name: `a Cluster of three ${kind}`,
      open: sharing(async (host) => {
        const nodes = await startCluster(host, { kind });
        return nodes && { nodes: nodes.map(({ at }) => at) };
      }),
    },
  ]),
];

/** Servers that the tests of a row have in common: each has a key prefix of its own. */
function sharing(start: (host: Host) => Promise<RedisConfig | undefined>): Row['open'] {
  let reason = '';
  const host: Host = {
    after: (end) => {
      ENDS.push(end);
    },
    skip: (text = '') => {
      reason = text;
    },
  };
  let config: Promise<RedisConfig | undefined> | undefined;
  let tests = 0;
  return async (t) => {
    config ??= start(host);
    const server = await config;
    // Under test is what is kept, not how fast.
    const own = { key_prefix: `test ${(tests += 1)} *:`, command_timeout_ms: 5000 };
    if (server) return openStore(t, { ...server, ...own });
    t.skip(reason);
    return undefined;
  };
}

async function openStore(t: TestContext, config: RedisConfig): Promise<OpenStore> {
  const { link, settled } = openLink(t, config);
  await eventually(() => link.isUp);
  const store = new RedisStore(link, {
    ...{ clock: systemClock, log: recordingLog([]), secret: undefined, mostBytes: 1 << 20 },
    onDiscarded: (kind, reason) => {
      assert.fail(`discarded ${kind}: ${reason}`);
    },
  });
  return {
    store,
    settled,
    // The server's own time: there is nothing else to wait on.
    pass: (ms) => pause(ms),
  };
}

const MINUTE = 60_000;

for (const { name, open } of ROWS) {
  describe(`a store of answers: ${name}`, () => {
    const test = (title: string, body: (opened: OpenStore) => Promise<void>): void => {
      it(title, async (t) => {
        const opened = await open(t);
        if (opened) await body(opened);
      });
    };

    test('gives back the bytes it was given, whatever they are', async ({ store, settled }) => {
      const values = [Buffer.alloc(0), Buffer.from([0, 255, 13, 10, 0]), Buffer.alloc(300_000, 'ä')];
      for (const [at, value] of values.entries()) store.set(`exact::m:${at}`, Buffer.from(value), MINUTE);
      await settled();
      for (const [at, value] of values.entries())
        assert.deepEqual(await store.get(`exact::m:${at}`), value, `value ${at}`);
    });

    test('knows nothing of a key that was never set', async ({ store }) => {
      assert.equal(await store.get('exact::m:none'), undefined);
    });

    test('keeps the last of two values', async ({ store, settled }) => {
      store.set('exact::m:a', Buffer.from('one'), MINUTE);
      store.set('exact::m:a', Buffer.from('two'), MINUTE);
      await settled();
      assert.equal(String(await store.get('exact::m:a')), 'two');
    });

    test('forgets an answer when its time is up, and not before', async ({ store, settled, pass }) => {
      store.set('exact::m:short', Buffer.from('s'), 400);
      store.set('exact::m:long', Buffer.from('l'), MINUTE);
      await settled();
      assert.equal(String(await store.get('exact::m:short')), 's');
      await pass(500);
      assert.equal(await store.get('exact::m:short'), undefined);
      assert.equal(String(await store.get('exact::m:long')), 'l');
    });

    test('takes an answer without time left for one that is over', async ({ store, settled }) => {
      store.set('exact::m:a', Buffer.from('one'), MINUTE);
      store.set('exact::m:a', Buffer.from('two'), 0);
      await settled();
      assert.equal(await store.get('exact::m:a'), undefined);
    });

    test('flushes the keys of one beginning, also where it looks like a pattern', async ({
      store,
      settled,
    }) => {
      const keys = ['exact:a*:m:1', 'exact:a*:m:2', 'exact:ab:m:1', 'exact:a[b]?:m:1', 'exact:a\\:m:1'];
      for (const key of keys) store.set(key, Buffer.from(key), MINUTE);
      await settled();
      const held = async (): Promise<string[]> => {
        const values = await Promise.all(keys.map(async (key) => store.get(key)));
        return values.flatMap((value) => (value === undefined ? [] : [String(value)]));
      };
      assert.equal((await store.flush('exact:a*:')).count, 2);
      assert.deepEqual(await held(), keys.slice(2));
      assert.equal((await store.flush('exact:a[b]?:')).count, 1);
      assert.equal((await store.flush('exact:a\\:')).count, 1);
      assert.equal((await store.flush('exact:a*:')).count, 0);
      assert.deepEqual(await held(), ['exact:ab:m:1']);
      assert.equal((await store.flush('')).count, 1);
      assert.deepEqual(await held(), []);
    });

    test('flushes the keys of one model, whosever they are', async ({ store, settled }) => {
      const keys = ['exact::m:1', 'exact:t:m:2', 'exact:t:mm:3', 'exact:m:n:4'];
      for (const key of keys) store.set(key, Buffer.from(key), MINUTE);
      await settled();
      assert.equal((await store.flush('exact:t:', ':m:')).count, 1);
      assert.equal((await store.flush('exact:', ':m:')).count, 2);
      assert.equal(String(await store.get('exact:t:mm:3')), 'exact:t:mm:3');
    });

    test('flushes more than one step of a search', async ({ store, settled }) => {
      for (let at = 0; at < 900; at++) store.set(`exact:t:m:${at}`, Buffer.from('x'), MINUTE);
      await settled();
      assert.equal((await store.flush('exact:t:')).count, 900);
    });

    test('goes on after it is closed as if it were empty', async ({ store, settled }) => {
      store.set('exact::m:a', Buffer.from('one'), MINUTE);
      await settled();
      await store.close();
      assert.equal(await store.get('exact::m:a'), undefined);
      store.set('exact::m:b', Buffer.from('two'), MINUTE);
      assert.equal((await store.flush('')).count, 0);
    });
  });
}
