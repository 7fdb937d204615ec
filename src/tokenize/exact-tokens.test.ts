import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { createMetrics } from '../observe/metrics.ts';
import { ExactTokens, type LocalTokenizer } from './exact-tokens.ts';
import type { TokenQuestion } from './tokens.ts';
import type { WorkerTokens } from './worker-tokenizers.ts';

const CACHE = { maxBytes: 1024 * 1024, maxEntries: 100, ttlMs: 60_000 };
const WORKER = { spec: { baseUrl: 'http://w' } };
const ask = (text: string, model = 'm'): TokenQuestion => ({
  ...{ model, route: 'completion', renderOnly: false },
  members: Buffer.from(JSON.stringify({ prompt: text })),
});
const FOUND: WorkerTokens = { kind: 'ids', ids: Uint32Array.of(1, 2) };

function start(answer: () => WorkerTokens | Promise<WorkerTokens> = () => FOUND, local?: LocalTokenizer) {
  const clock = new VirtualClock();
  // The cache takes 0 for no time at all.
  clock.advance(1);
  const metrics = createMetrics();
  let asked = 0;
  const doubts: string[] = [];
  const tokens = new ExactTokens(
    { timeoutMs: 100, cache: CACHE },
    {
      ...{ clock, metrics, workersFor: () => [WORKER], versionOf: () => version },
      tokenizers: {
        tokensOf: async () => {
          asked += 1;
          return answer();
        },
      },
      locals: local && { provenFor: () => local },
      onDoubt: ({ worker }) => doubts.push(worker),
    },
  );
  let version = '1';
  const sourceOf = async (question: TokenQuestion): Promise<string> => {
    const found = await tokens.tokensFor(question);
    return found.kind === 'found' ? found.source : found.kind;
  };
  return {
    ...{ clock, metrics, tokens, sourceOf, doubts },
    asked: () => asked,
    update: () => {
      version = '2';
    },
  };
}

describe('exact tokens', () => {
  it('are asked of a worker once, and from then on in the cache until their time is over', async () => {
    const { clock, sourceOf, asked, metrics } = start();
    assert.equal(await sourceOf(ask('a')), 'worker');
    assert.equal(await sourceOf(ask('a')), 'cache');
    clock.advance(60_001);
    assert.equal(await sourceOf(ask('a')), 'worker');
    assert.equal(asked(), 2);
    assert.equal(metrics.tokenCacheHitsTotal.with().value, 1);
    assert.equal(metrics.tokenCacheMissesTotal.with().value, 2);
  });

  it('of another model, another version, another route or another prompt are others', async () => {
    const { sourceOf, update } = start();
    assert.equal(await sourceOf(ask('a')), 'worker');
    assert.equal(await sourceOf(ask('b')), 'worker');
    assert.equal(await sourceOf(ask('a', 'n')), 'worker');
    assert.equal(await sourceOf({ ...ask('a'), route: 'chat' }), 'worker');
    update();
    assert.equal(await sourceOf(ask('a')), 'worker');
  });

  it('are forgotten with what is known of the model', async () => {
    const { tokens, sourceOf } = start();
    await sourceOf(ask('a'));
    await sourceOf(ask('a', 'n'));
    tokens.forget('m');
    assert.equal(await sourceOf(ask('a')), 'worker');
    assert.equal(await sourceOf(ask('a', 'n')), 'cache');
  });

  it('that come too late are there for the next one, and are asked for once meanwhile', async () => {
    let answer: (tokens: WorkerTokens) => void = () => undefined;
    const { clock, sourceOf, asked } = start(() => new Promise((resolve) => (answer = resolve)));
    const [first, second] = [sourceOf(ask('a')), sourceOf(ask('a'))];
    clock.advance(100);
    assert.deepEqual([await first, await second], ['late', 'late']);
    assert.equal(asked(), 1);
    answer(FOUND);
    await new Promise(setImmediate);
    assert.equal(await sourceOf(ask('a')), 'cache');
  });

  it('that were asked for before they were to be forgotten are not kept', async () => {
    let answer: (tokens: WorkerTokens) => void = () => undefined;
    const { tokens, sourceOf, asked } = start(() => new Promise((resolve) => (answer = resolve)));
    const before = sourceOf(ask('a'));
    await new Promise(setImmediate);
    const answerBefore = answer;
    tokens.forget('m');
    const after = sourceOf(ask('a'));
    assert.equal(asked(), 2);
    answerBefore(FOUND);
    assert.equal(await before, 'worker');
    const last = sourceOf(ask('a'));
    assert.equal(asked(), 2);
    answer(FOUND);
    assert.deepEqual([await after, await last, await sourceOf(ask('a'))], ['worker', 'worker', 'cache']);
  });

  it('come from the local tokenizer where there is one, and from a worker where that fails', async () => {
    let answer: WorkerTokens = FOUND;
    const { sourceOf, asked } = start(() => FOUND, { identity: 'x', tokensOf: async () => answer });
    assert.equal(await sourceOf(ask('a')), 'local');
    answer = { kind: 'busy' };
    assert.equal(await sourceOf(ask('b')), 'worker');
    assert.equal(await sourceOf({ ...ask('c'), renderOnly: true }), 'worker');
    assert.equal(asked(), 2);
  });

  it('that a worker contradicts are forgotten, once in a while', async () => {
    const { clock, tokens, sourceOf, doubts } = start();
    await sourceOf(ask('a'));
    tokens.doubt({ model: 'm', worker: 'w' });
    assert.equal(await sourceOf(ask('a')), 'worker');
    tokens.doubt({ model: 'm', worker: 'w' });
    assert.equal(await sourceOf(ask('a')), 'cache');
    tokens.doubt({ model: 'm', worker: 'v' });
    clock.advance(60_000);
    tokens.doubt({ model: 'm', worker: 'w' });
    assert.deepEqual(doubts, ['w', 'v', 'w']);
  });

  it('that nobody gives are not kept', async () => {
    const { sourceOf, asked } = start(() => ({ kind: 'failed' }));
    assert.equal(await sourceOf(ask('a')), 'failed');
    assert.equal(await sourceOf(ask('a')), 'failed');
    assert.equal(asked(), 2);
  });

  it('take no more memory than they may', async () => {
    const { tokens, sourceOf, metrics } = start(() => ({ kind: 'ids', ids: new Uint32Array(10_000) }));
    for (let i = 0; i < 50; i++) await sourceOf(ask(String(i)));
    const text = await metrics.registry.text();
    const bytes = Number(/^vllm_router_token_cache_bytes (\d+)/m.exec(text)?.[1]);
    assert.ok(bytes > 800_000 && bytes <= CACHE.maxBytes, String(bytes));
    tokens.reconfigure({ timeoutMs: 100, cache: { ...CACHE, maxEntries: 1 } });
    assert.equal(await sourceOf(ask('49')), 'cache');
    assert.equal(await sourceOf(ask('48')), 'worker');
  });
});
