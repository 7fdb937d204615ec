/** What a simulated worker publishes of its caches, on real sockets; what vLLM 0.32 publishes is written beside it. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { decodeMessage, EventSubscriber, replay, type EventMessage } from '../support/event-subscriber.ts';
import { eventually } from '../support/fleet.ts';

const STORED_KEYS = [
  ...['type', 'block_hashes', 'parent_block_hash', 'token_ids', 'block_size', 'lora_id', 'medium'],
  ...['lora_name', 'extra_keys', 'group_idx', 'kv_cache_spec_kind'],
];
const REMOVED_KEYS = ['type', 'block_hashes', 'medium', 'group_idx'];
const END = 'ffffffffffffffff';

async function start(t: TestContext, options: SimOptions = {}): Promise<SimWorker> {
  const worker = await startSimWorker({ timeScale: 0, kvEvents: true, ...options });
  t.after(() => worker.stop());
  return worker;
}

/** Subscribes to a rank, and waits until the worker knows. */
async function subscribe(t: TestContext, worker: SimWorker, rank = 0): Promise<EventSubscriber> {
  const before = worker.kvSubscribers;
  const subscriber = new EventSubscriber(worker.kvEvents[rank]?.port ?? 0);
  t.after(() => subscriber.close());
  await eventually(() => worker.kvSubscribers > before);
  return subscriber;
}

async function post(worker: SimWorker, path: string, body: object, headers: object = {}): Promise<unknown> {
  const response = await fetch(`${worker.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text === '' ? undefined : JSON.parse(text);
}

function complete(worker: SimWorker, prompt: readonly number[], more: object = {}, headers: object = {}) {
  return post(worker, '/v1/completions', { prompt, max_tokens: 1, ...more }, headers);
}

const ids = (topic: number, length: number): number[] =>
  Array.from({ length }, (_, i) => topic * 10_000 + i + 10);

function eventsOf(message: EventMessage | undefined): readonly Readonly<Record<string, unknown>>[] {
  assert.ok(message);
  return decodeMessage(message).events;
}

describe('cache events of a simulated worker', () => {
  it('are three frames, numbered from 0, with the fields that vLLM sends in its order', async (t) => {
    const worker = await start(t, {
      kvEvents: { topic: 'kv-events', hashSeed: '0' },
      model: { blockSize: 4 },
    });
    const subscriber = await subscribe(t, worker);
    const before = Date.now() / 1000;
    await complete(worker, [1, 2, 3, 4, 5]);
    await complete(worker, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const messages = await subscriber.count(2);
    assert.deepEqual(
      messages.map(({ topic, sequence }) => [topic, sequence]),
      [
        ['kv-events', 0n],
        ['kv-events', 1n],
      ],
    );
    const [first, second] = messages.map(decodeMessage);
    assert.ok(first && second);
    assert.ok(first.seconds > before - 1 && first.seconds < before + 60);
    assert.equal(first.rank, 0);
    assert.deepEqual(Object.keys(first.events[0] ?? {}), STORED_KEYS);
    assert.deepEqual(first.events, [
      {
        ...{ type: 'BlockStored', block_hashes: [2164874634404590027n], parent_block_hash: null },
        ...{ token_ids: [1, 2, 3, 4], block_size: 4, lora_id: null, medium: 'GPU', lora_name: null },
        ...{ extra_keys: [null], group_idx: 0, kv_cache_spec_kind: 'full_attention' },
      },
    ]);
    assert.deepEqual(second.events[0]?.['block_hashes'], [17270480062156288726n]);
    assert.equal(second.events[0]['parent_block_hash'], 2164874634404590027n);
  });

  it('have the time as a float of 64 bits even where it is a whole number', async (t) => {
    const worker = await start(t);
    const subscriber = await subscribe(t, worker);
    await complete(worker, ids(1, 40));
    const [message] = await subscriber.count(1);
    assert.equal(message?.payload.subarray(0, 2).toString('hex'), '93cb');
  });

  it('name the tokens that /tokenize gives for the same chat, with its salt and its adapter', async (t) => {
    const worker = await start(t, { loras: ['my-lora'] });
    const subscriber = await subscribe(t, worker);
    const messages = [{ role: 'user', content: 'Say something that is longer than a block. '.repeat(4) }];
    // What the events carry are JSON numbers, since tokens have 31 bits.
    const { tokens } = (await post(worker, '/tokenize', { model: 'my-lora', messages })) as {
      tokens: number[];
    };
    const body = { model: 'my-lora', messages, max_tokens: 1, cache_salt: 'tenant-a' };
    await post(worker, '/v1/chat/completions', body);
    const [event] = eventsOf((await subscriber.count(1))[0]);
    const blocks = Math.floor(tokens.length / 16);
    assert.deepEqual(event?.['token_ids'], tokens.slice(0, 16 * blocks));
    assert.equal(event['lora_name'], 'my-lora');
    assert.deepEqual(event['extra_keys'], [
      ['my-lora', 'tenant-a'],
      ...Array.from({ length: blocks - 1 }, () => ['my-lora']),
    ]);
  });

  it('come as arrays, with whole hashes, and are replayed without a topic where older ones are wanted', async (t) => {
    const worker = await start(t, {
      kvEvents: { encoding: 'array', hashes: 'bytes', replayFraming: 'older', hashSeed: '0', topic: 'kv' },
      model: { blockSize: 4 },
    });
    const subscriber = await subscribe(t, worker);
    await complete(worker, [1, 2, 3, 4, 5]);
    const [message] = await subscriber.count(1);
    const digest = 'c9d58ba695280d69b243e1e0df813136ca9196b286fb1a021e0b2e028ef071cb';
    const [stored] = eventsOf(message);
    assert.deepEqual(stored, [
      ...['BlockStored', [Buffer.from(digest, 'hex')], null, [1, 2, 3, 4], 4],
      ...[null, 'GPU', null, [null], 0, 'full_attention'],
    ]);
    const replies = await replay(worker.kvEvents[0]?.replayPort ?? 0, 0n);
    assert.deepEqual(
      replies.map((frames) => frames.map((frame) => frame.toString('hex'))),
      [
        ['', '0000000000000000', message?.payload.toString('hex')],
        ['', END, ''],
      ],
    );
  });

  it('tell of evictions block by block, and of a reset with the next message', async (t) => {
    const worker = await start(t, { model: { blockSize: 32, blocks: 8 } });
    const subscriber = await subscribe(t, worker);
    await complete(worker, ids(1, 250));
    await complete(worker, ids(2, 70));
    assert.equal(worker.model.cache.used, 0);
    await post(worker, '/reset_prefix_cache', {});
    await complete(worker, ids(3, 40));
    const messages = await subscriber.count(3);
    const evicting = eventsOf(messages[1]);
    assert.deepEqual(
      evicting.map((event) => event['type']),
      // One block of the first prompt was not full, and is taken first.
      ['BlockRemoved', 'BlockRemoved', 'BlockStored'],
    );
    assert.deepEqual(Object.keys(evicting[0] ?? {}), REMOVED_KEYS);
    assert.equal((evicting[0]?.['block_hashes'] as unknown[]).length, 1);
    assert.deepEqual(
      eventsOf(messages[2]).map((event) => event['type']),
      ['AllBlocksCleared', 'BlockStored'],
    );
  });

  it('are asked for again from a number on, and nothing comes of a question that is none', async (t) => {
    const worker = await start(t, { kvEvents: { topic: 'kv', bufferSteps: 3 } });
    for (let topic = 1; topic <= 5; topic++) await complete(worker, ids(topic, 40));
    const port = worker.kvEvents[0]?.replayPort ?? 0;
    const numbersFrom = async (from: bigint): Promise<string[]> =>
      (await replay(port, from)).map(([empty, topic, number, payload]) => {
        assert.equal(empty?.length, 0);
        const isEnd = number?.toString('hex') === END;
        assert.equal(topic?.toString(), isEnd ? '' : 'kv');
        assert.equal(payload?.length === 0, isEnd);
        return isEnd ? 'end' : String(number?.readBigUInt64BE());
      });
    assert.deepEqual(await numbersFrom(0n), ['2', '3', '4', 'end'], 'the oldest are gone');
    assert.deepEqual(await numbersFrom(4n), ['4', 'end']);
    assert.deepEqual(await numbersFrom(5n), ['end']);
  });

  it('are published by each rank for itself, and /kv_event_sources says where', async (t) => {
    const worker = await start(t, { dataParallelSize: 2 });
    const subscribers = [await subscribe(t, worker, 0), await subscribe(t, worker, 1)];
    for (const rank of [1, 0, 1])
      await complete(worker, ids(3 * rank + worker.counts.request, 40), {}, { 'X-data-parallel-rank': rank });
    const [zero, one] = subscribers;
    assert.ok(zero && one);
    assert.deepEqual(
      (await zero.count(1)).map(decodeMessage).map(({ rank }) => rank),
      [0],
    );
    assert.deepEqual(
      (await one.count(2)).map(decodeMessage).map(({ rank }) => rank),
      [1, 1],
    );
    const sources: unknown = await (await fetch(`${worker.url}/kv_event_sources`)).json();
    assert.deepEqual(
      sources,
      Object.fromEntries(
        worker.kvEvents.map(({ port, replayPort }, rank) => [
          rank,
          {
            ...{ enable_kv_cache_events: true, publisher: 'zmq', endpoint: `tcp://*:${port}` },
            ...{ replay_endpoint: `tcp://*:${replayPort ?? 0}`, buffer_steps: 10_000 },
            ...{ hwm: 100_000, max_queue_size: 100_000, topic: '' },
          },
        ]),
      ),
    );
    const silent = await start(t, { kvEvents: false });
    assert.deepEqual(await (await fetch(`${silent.url}/kv_event_sources`)).json(), {});
  });

  it('answer nobody who asks again where that is off', async (t) => {
    const worker = await start(t, { kvEvents: { replayPort: 'none' } });
    assert.equal(worker.kvEvents[0]?.replayPort, undefined);
    assert.match(await (await fetch(`${worker.url}/kv_event_sources`)).text(), /"replay_endpoint":null/);
  });
});

describe('faults of cache events', () => {
  it('lose messages, which can be asked for again unless they are forgotten', async (t) => {
    const worker = await start(t);
    const subscriber = await subscribe(t, worker);
    await worker.setFaults(['kv_lose:times=1']);
    for (const topic of [1, 2]) await complete(worker, ids(topic, 40));
    await worker.setFaults(['kv_lose:times=1,forget=true']);
    for (const topic of [3, 4]) await complete(worker, ids(topic, 40));
    const messages = await subscriber.count(2);
    assert.deepEqual(
      messages.map(({ sequence }) => sequence),
      [1n, 3n],
    );
    const replies = await replay(worker.kvEvents[0]?.replayPort ?? 0, 0n);
    assert.deepEqual(
      replies.slice(0, -1).map((frames) => frames.at(-2)?.readBigUInt64BE()),
      [0n, 1n, 3n],
    );
  });

  it('restart the engines: caches empty, numbers from 0, connections cut, other hashes', async (t) => {
    const worker = await start(t, { model: { blockSize: 4 } });
    const subscriber = await subscribe(t, worker);
    await complete(worker, ids(1, 9));
    await subscriber.count(1);
    await worker.setFaults(['kv_restart']);
    assert.deepEqual(worker.faults, []);
    assert.equal(worker.model.cache.held, 0);
    await eventually(() => worker.kvSubscribers === 1);
    await complete(worker, ids(1, 9));
    const [before, after] = await subscriber.count(2);
    assert.equal(after?.sequence, 0n);
    assert.deepEqual(eventsOf(before)[0]?.['token_ids'], eventsOf(after)[0]?.['token_ids']);
    assert.notDeepEqual(eventsOf(before)[0]?.['block_hashes'], eventsOf(after)[0]?.['block_hashes']);
  });

  it('stop the publisher, which has what was missed when it is back at the same port', async (t) => {
    const worker = await start(t);
    const { kvEvents } = worker;
    await worker.setFaults(['kv_stop']);
    await complete(worker, ids(1, 40));
    assert.equal(worker.kvSubscribers, 0);
    await assert.rejects(replay(kvEvents[0]?.replayPort ?? 0, 0n));
    await worker.setFaults([]);
    assert.deepEqual(worker.kvEvents, kvEvents);
    assert.equal((await replay(kvEvents[0]?.replayPort ?? 0, 0n)).length, 2);
  });

  it('send garbage, too much, and other ranks', async (t) => {
    const worker = await start(t);
    const subscriber = await subscribe(t, worker);
    await worker.setFaults(['kv_garbage:times=1']);
    await complete(worker, ids(1, 40));
    await worker.setFaults(['kv_huge:times=1,bytes=100000']);
    await complete(worker, ids(2, 40));
    await worker.setFaults(['kv_wrong_rank:by=7']);
    await complete(worker, ids(3, 40));
    const [garbage, huge, elsewhere] = await subscriber.count(3);
    assert.throws(() => garbage && decodeMessage(garbage));
    assert.equal(huge?.payload.length, 100_000);
    assert.equal(elsewhere && decodeMessage(elsewhere).rank, 7);
  });

  it('delay messages and replies', async (t) => {
    const worker = await start(t);
    const subscriber = await subscribe(t, worker);
    await worker.setFaults(['kv_delay:ms=60', 'kv_late_replay:ms=60']);
    const from = performance.now();
    await complete(worker, ids(1, 40));
    assert.equal(subscriber.messages.length, 0);
    await subscriber.count(1);
    // Timers may ring a millisecond early.
    assert.ok(performance.now() - from > 55);
    const asked = performance.now();
    await replay(worker.kvEvents[0]?.replayPort ?? 0, 0n);
    assert.ok(performance.now() - asked > 55);
  });

  it('are refused where there are no events to go wrong, and for single requests', async (t) => {
    const worker = await start(t, { kvEvents: false });
    await assert.rejects(worker.setFaults(['kv_stop']), /publishes no cache events/);
    const response = await fetch(`${worker.url}/sim/faults`, {
      method: 'POST',
      body: JSON.stringify({ faults: ['kv_lose'] }),
    });
    assert.equal(response.status, 400);
    const one = await fetch(`${worker.url}/health`, { headers: { 'x-sim-fault': 'kv_lose' } });
    assert.equal(one.status, 400);
  });
});
