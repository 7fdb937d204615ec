/** One suite over every store of answers: whatever keeps them, a part that asks for one sees the same. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import type { AnswerStore } from '../../src/response-cache/answer-store.ts';
import { MemoryStore } from '../../src/response-cache/stores/memory.ts';

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

const ROWS: readonly Row[] = [
  {
    name: 'memory',
    open: (t) => {
      const clock = new VirtualClock();
      const store = new MemoryStore({ maxEntries: 100, maxBytes: 1 << 20 }, clock);
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
];

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
      assert.equal(await store.flush('exact:a*:'), 2);
      assert.deepEqual(await held(), keys.slice(2));
      assert.equal(await store.flush('exact:a[b]?:'), 1);
      assert.equal(await store.flush('exact:a\\:'), 1);
      assert.equal(await store.flush('exact:a*:'), 0);
      assert.deepEqual(await held(), ['exact:ab:m:1']);
      assert.equal(await store.flush(''), 1);
      assert.deepEqual(await held(), []);
    });

    test('flushes thousands', async ({ store, settled }) => {
      for (let at = 0; at < 90; at++) store.set(`exact:t:m:${at}`, Buffer.from('x'), MINUTE);
      await settled();
      assert.equal(await store.flush('exact:t:'), 90);
    });

    test('goes on after it is closed as if it were empty', async ({ store, settled }) => {
      store.set('exact::m:a', Buffer.from('one'), MINUTE);
      await settled();
      await store.close();
      assert.equal(await store.get('exact::m:a'), undefined);
      store.set('exact::m:b', Buffer.from('two'), MINUTE);
      assert.equal(await store.flush(''), 0);
    });
  });
}
