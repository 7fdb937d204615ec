import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VirtualClock } from '../../base/virtual-clock.ts';
import type { Answer, Commands, RedisLink } from '../../redis/redis-link.ts';
import { sealed } from '../../redis/sealed-value.ts';
import { MemoryAnswers } from './memory-answers.ts';
import { SharedAnswers } from './shared-answers.ts';

test('what servers and others say in the place of what they should is counted, and ends nothing', async (t) => {
  const clock = new VirtualClock(0);
  const heard: string[] = [];
  let say: ((message: Buffer) => void) | undefined;
  let ready: (() => void) | undefined;
  let answer: unknown;
  const server = { scan: () => answer, getrangeBuffer: () => answer } as unknown as Commands;
  const link = {
    ...{ name: 'a', keyPrefix: '', isUp: true, takesWrites: true },
    ask: async <T>(work: (redis: Commands) => Promise<T>): Promise<Answer<T>> => {
      try {
        return { kind: 'done', value: await work(server) };
      } catch {
        return { kind: 'unavailable', reason: 'refused' };
      }
    },
    subscribe: (_channel: string, onMessage: typeof say, onReady: typeof ready) => {
      [say, ready] = [onMessage, onReady];
      return () => undefined;
    },
    close: () => Promise.resolve(),
  } as unknown as RedisLink;
  const bounds = { threshold: 0.9, maxEntries: 10, maxBytes: 10_000, ttlMs: 1000, maxEntryBytes: 1000 };
  const memory = new MemoryAnswers(bounds, {
    ...{ clock, onLooked: () => undefined },
    startHelper: () => ({ channel: undefined, stop: () => Promise.resolve() }) as never,
  });
  const shared = new SharedAnswers(bounds, {
    ...{ clock, link, memory, model: 'm', secret: undefined },
    onHeard: (outcome) => heard.push(outcome),
  });
  t.after(() => shared.close());
  for (answer of [null, 5, [], [[1]], ['0', [5]]]) {
    ready?.();
    await turn();
  }
  const channel = 'sem:62c66a7a5dd70c31';
  const tell = async (text: string): Promise<void> => {
    say?.(sealed(channel, Buffer.from(text), undefined));
    await turn();
  };
  for (answer of [null, 5, []])
    await tell(JSON.stringify({ origin: 'o', key: `${channel}:p:${heard.length}` }));
  assert.deepEqual(heard, ['unreadable', 'unreadable', 'unreadable']);
  await tell('{"origin":"o","flush":{"tenant":"\\ud800","model":"\\ud800"}}');
  await tell('[');
  assert.equal(heard.length, 4);
});
