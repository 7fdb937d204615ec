import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import {
  assertHolds,
  bench,
  pick,
  settle,
  source,
  workerAt,
  type Bench,
  type BenchOptions,
} from '../../../test/support/events-bench.ts';
import { KvEngine, seqFrame } from '../../../test/support/kv-engine.ts';
import { ScriptedPublisher } from '../../../test/support/scripted-transport.ts';
import type { RankSource } from './event-worker.ts';

describe('a publisher', () => {
  it('that was there before is asked for what it sent, and nothing comes twice or is missing', () => {
    const b = bench();
    const { engine } = b.publisher;
    b.publisher.up();
    for (let i = 0; i < 5; i += 1) b.publisher.send(engine.store(2, undefined, i));
    b.clock.advance(0);
    assert.equal(b.held.states.get(0), 'connecting');
    // Live messages while the replay is under way: some of them are in it, others are not.
    b.publisher.send(engine.store(1, pick(engine, 0), 7));
    b.clock.advance(110);
    b.publisher.send(engine.remove([pick(engine, 3)!]));
    b.clock.advance(5);
    b.publisher.send(engine.store(3, pick(engine, 5), 8));
    settle(b);
    assert.equal(b.held.states.get(0), 'live');
    assertHolds(b, engine);
    const { counts } = b.report();
    assert.deepEqual(counts.replays, { complete: 1, partial: 0, torn: 0, failed: 0, timeout: 0 });
    assert.equal(counts.gaps, 0);
    assert.equal(counts.stored, 14);
    assert.equal(counts.removed, 1);
  });

  it('of an older vLLM frames its replays without a topic', () => {
    const b = bench({ encoding: 'array' });
    b.publisher.olderFraming = true;
    b.publisher.engine.store(3, undefined, 1);
    b.publisher.up();
    settle(b);
    assertHolds(b, b.publisher.engine);
  });

  it('whose messages were lost is asked from the last one on, once a second at most', () => {
    const b = bench();
    const { engine } = b.publisher;
    b.publisher.up();
    settle(b);
    b.publisher.asked.length = 0;
    for (let i = 0; i < 3; i += 1) {
      b.publisher.send(engine.store(1, undefined, i));
      engine.store(1, undefined, 100 + i);
      b.publisher.send(engine.store(1, undefined, 200 + i));
      assert.equal(b.held.states.get(0), 'lost');
      b.clock.advance(100);
    }
    settle(b);
    assertHolds(b, engine);
    assert.deepEqual(b.publisher.asked, [0, 3]);
    assert.equal(b.held.states.get(0), 'live');
    assert.equal(b.report().counts.gaps, 2);
  });

  it('that no longer has what was lost makes us forget, and go on from what it has', () => {
    const b = bench({ bufferSteps: 2 });
    const { engine } = b.publisher;
    b.publisher.up();
    settle(b);
    b.publisher.send(engine.store(1, undefined, 1));
    for (let i = 0; i < 3; i += 1) engine.store(1, undefined, 2 + i);
    b.publisher.send(engine.store(1, undefined, 9));
    settle(b);
    // The last two are in the buffer.
    assert.equal(b.held.of(0)?.size, 2);
    assert.equal(b.report().counts.replays.partial, 1);
    b.publisher.send(engine.clear());
    b.publisher.send(engine.store(4, undefined, 1));
    assertHolds(b, engine);
  });

  it('whose replays lose messages on the way is asked for the rest, until all are there', () => {
    const b = bench();
    const { engine } = b.publisher;
    b.publisher.replay = 'tears';
    for (let i = 0; i < 8; i += 1) engine.store(1, undefined, i);
    b.publisher.up();
    settle(b);
    assertHolds(b, engine);
    assert.deepEqual(b.publisher.asked, [0, 2, 4]);
    assert.equal(b.report().counts.replays.torn, 2);
    assert.equal(b.report().counts.replays.complete, 1);
  });

  it('that restarted is found out by its numbers, or by another message under the last one', () => {
    for (const stored of [0, 1, 2, 3, 7]) {
      const b = bench();
      b.publisher.up();
      b.clock.advance(0);
      for (let i = 0; i < 3; i += 1) b.publisher.send(b.publisher.engine.store(1, undefined, i));
      settle(b);
      b.publisher.down();
      assert.equal(b.held.states.get(0), 'lost');
      b.publisher.engine = new KvEngine(2, 'map');
      for (let i = 0; i < stored; i += 1) b.publisher.engine.store(1, undefined, 50 + i);
      b.publisher.up();
      settle(b);
      assertHolds(b, b.publisher.engine);
      assert.equal(b.report().counts.restarts, 1, `${stored}`);
      assert.equal(b.held.states.get(0), 'live');
    }
  });

  it('that was away for a moment goes on without being forgotten', () => {
    const b = bench();
    b.publisher.up();
    b.clock.advance(0);
    b.publisher.send(b.publisher.engine.store(2, undefined, 1));
    settle(b);
    b.publisher.down();
    b.publisher.engine.store(1, undefined, 2);
    assert.equal(b.held.of(0)?.size, 2);
    b.publisher.up();
    settle(b);
    assertHolds(b, b.publisher.engine);
    assert.equal(b.report().counts.restarts, 0);
  });

  it('that stays away for a minute is forgotten', () => {
    const b = bench();
    b.publisher.up();
    b.clock.advance(0);
    b.publisher.send(b.publisher.engine.store(2, undefined, 1));
    settle(b);
    b.publisher.down();
    b.clock.advance(61_000);
    assert.equal(b.held.of(0)?.size, 0);
    assert.equal(b.held.states.get(0), 'lost');
  });

  it('without replays is followed from where we came in; a hole makes us forget', () => {
    const b = bench({ replays: false });
    const { engine } = b.publisher;
    engine.store(1, undefined, 1);
    b.publisher.up();
    b.clock.advance(0);
    assert.equal(b.held.states.get(0), 'live');
    b.publisher.send(engine.store(2, undefined, 2));
    assert.equal(b.held.of(0)?.size, 2);
    engine.store(1, undefined, 3);
    b.publisher.send(engine.store(2, undefined, 4));
    assert.equal(b.held.of(0)?.size, 2);
    assert.equal(b.report().counts.gaps, 1);
    b.publisher.down();
    b.publisher.up();
    // Nobody can tell whether it is the same, and whether it sent anything meanwhile.
    assert.equal(b.held.of(0)?.size, 0);
    b.publisher.send(engine.store(1, undefined, 5));
    assert.equal(b.held.of(0)?.size, 1);
    assert.equal(b.held.states.get(0), 'live');
  });

  it('whose replays fail or hang is followed from where we came in', () => {
    for (const [manner, outcome] of [
      ['refuses', 'failed'],
      ['hangs', 'timeout'],
      ['breaks off', 'failed'],
    ] as const) {
      const b = bench();
      const { engine } = b.publisher;
      b.publisher.replay = manner;
      b.publisher.up();
      b.clock.advance(50);
      b.publisher.send(engine.store(2, undefined, 1));
      settle(b);
      assert.equal(b.held.states.get(0), 'live', manner);
      assertHolds(b, engine);
      assert.equal(b.report().counts.replays[outcome], 1, manner);
    }
  });
});

describe('blocks whose parent is not known', () => {
  it('wait for it, and for those before it, without what was removed meanwhile', () => {
    const b = bench({ replays: false });
    const { engine } = b.publisher;
    b.publisher.up();
    b.clock.advance(0);
    engine.store(1, undefined, 1);
    const root = pick(engine, 0)!;
    b.publisher.send(engine.store(3, root, 2));
    const [, first, second, third] = [...engine.held.values()];
    b.publisher.send(engine.store(1, third, 3));
    b.publisher.send(engine.remove([second!]));
    assert.equal(b.held.of(0)?.size, 0);
    assert.ok(b.report().parkedBytes > 0);
    // It is evicted, and computed again: the engine calls it the same.
    const event = {
      ...{ type: 'BlockStored', block_hashes: [root.name], parent_block_hash: null },
      ...{ token_ids: root.tokens, block_size: 2 },
    };
    b.publisher.send(engine.publish(event));
    assertHolds(b, engine);
    assert.ok(engine.held.has(first!.name));
    assert.equal(b.report().parkedBytes, 0);
  });

  it('wait for a minute, and in bounded memory', () => {
    const b = bench({ replays: false });
    const { engine } = b.publisher;
    b.publisher.up();
    b.clock.advance(0);
    for (let i = 0; i < 20_000; i += 1) {
      const event = ['BlockStored', [BigInt(i + 10)], 2n ** 60n + BigInt(i), [1, 2], 2];
      b.publisher.send(engine.publish(event));
    }
    const { parkedBytes } = b.report();
    assert.ok(parkedBytes > 0 && parkedBytes <= 1024 * 1024, `${parkedBytes}`);
    assert.equal(b.subscriptions.report.parkedBytes, parkedBytes);
    b.clock.advance(61_000);
    assert.equal(b.report().parkedBytes, 0);
    assert.equal(b.report().counts.dropped.unknown_parent, 20_000);
    assert.equal(b.clock.pending, 0);
  });
});

describe('what a publisher should not send', () => {
  it('is counted, changes nothing, and the rest goes on', () => {
    const b = bench({ replays: false });
    const { engine } = b.publisher;
    b.publisher.up();
    b.clock.advance(0);
    b.publisher.send(engine.store(2, undefined, 1));
    b.publisher.sendFrames(Buffer.from('kv-events'));
    b.publisher.sendFrames(Buffer.from('kv-events'), Buffer.alloc(7), Buffer.alloc(3));
    b.publisher.sendFrames(Buffer.from('kv-events'), Buffer.alloc(8, 0xfe), Buffer.alloc(3));
    const elsewhere = encode([1, [['AllBlocksCleared']], 3]);
    b.publisher.send({ seq: 1, payload: Buffer.from(elsewhere) });
    b.publisher.sendFrames(Buffer.from('kv@a:8000@other'), seqFrame(2), Buffer.from(elsewhere));
    assertHolds(b, engine);
    const { counts } = b.report();
    assert.equal(counts.dropped.misframed, 3);
    assert.equal(counts.dropped.wrong_rank, 1);
    assert.equal(counts.dropped.wrong_model, 1);
    assert.equal(b.held.states.get(0), 'live');
  });

  it('and cannot be read makes us forget, since it may have removed anything', () => {
    const b = bench();
    const { engine } = b.publisher;
    b.publisher.up();
    b.clock.advance(0);
    b.publisher.send(engine.store(2, undefined, 1));
    settle(b);
    b.publisher.send({ ...engine.publish(), payload: Buffer.from([0xc1, 0xff]) });
    assert.equal(b.held.of(0)?.size, 0);
    assert.equal(b.report().counts.malformed, 1);
    b.publisher.send(engine.store(1, undefined, 2));
    assert.equal(b.held.of(0)?.size, 1);
  });
});

describe('workers', () => {
  it('that leave, or whose slot another one has, leave nothing behind', () => {
    const b = bench();
    b.publisher.up();
    b.clock.advance(0);
    b.publisher.send(b.publisher.engine.store(2, undefined, 1));
    settle(b);
    b.subscriptions.apply([{ ...b.worker, generation: 2 }]);
    assert.equal(b.held.rows.size, 1);
    assert.equal(b.held.of(0)?.size, 0);
    b.clock.advance(50);
    b.subscriptions.apply([]);
    assert.equal(b.held.rows.size, 0);
    assert.equal(b.transport.open, 0);
    assert.equal(b.clock.pending, 0);
    assert.equal(b.held.states.get(0), 'none');
  });

  it('that stay the same are not subscribed to again, and are when their source is another one', () => {
    const b = bench();
    const before = [...b.publisher.subscribers];
    b.subscriptions.apply([{ ...b.worker, models: ['m', 'n'] }]);
    assert.deepEqual([...b.publisher.subscribers], before);
    b.subscriptions.apply([{ ...b.worker, sources: [{ ...source('a'), topic: 'kv' }] }]);
    assert.notDeepEqual([...b.publisher.subscribers], before);
    assert.equal(b.publisher.subscribers.size, 1);
    b.subscriptions.apply([{ ...b.worker, sources: [] }]);
    assert.equal(b.held.states.get(0), 'none');
    b.subscriptions.close();
    assert.equal(b.transport.open, 0);
  });

  it('of several ranks are known when all ranks are', () => {
    const b = bench();
    const second = new ScriptedPublisher(new KvEngine(2, 'map'));
    b.transport.publishers.set('events a 1', second);
    b.subscriptions.apply([{ ...b.worker, sources: [source('a'), source('a', 1)] }]);
    b.publisher.up();
    settle(b);
    assert.equal(b.held.states.get(0), 'connecting');
    second.engine.store(3, undefined, 1);
    second.up();
    settle(b);
    assert.equal(b.held.states.get(0), 'live');
    assert.equal(b.held.of(0, 1)?.size, 3);
    second.down();
    assert.equal(b.held.states.get(0), 'lost');
  });

  it('whose endpoint is none are connecting for ever, and say why', () => {
    const b = bench();
    b.subscriptions.apply([{ ...b.worker, sources: [{ ...source('nowhere'), endpoint: 'nonsense' }] }]);
    assert.equal(b.report().state, 'connecting');
    assert.match(b.report().reason ?? '', /not an endpoint/);
  });
});

describe('publishers that connect', () => {
  const bound = { rank: 0, endpoint: undefined, replayEndpoint: undefined, topic: '' };
  const topic = (address: string, model = 'm'): Buffer => Buffer.from(`kv@${address}@${model}`);

  async function listening(sources: readonly RankSource[] = [bound]): Promise<Bench> {
    const b = bench();
    b.subscriptions.apply([workerAt('a', 0, sources), workerAt('b', 1, [bound])]);
    b.subscriptions.bind('tcp://*:5557');
    await new Promise((resolve) => setImmediate(resolve));
    return b;
  }

  it('change the worker that their topic names, and nobody else', async () => {
    const b = await listening();
    const engine = new KvEngine(1, 'array');
    const publish = (
      { seq, payload }: { seq: number; payload: Buffer },
      address = 'a:8000',
      from = engine,
    ): void => b.transport.bound!.events.onMessage([topic(address), seqFrame(seq), payload], from);
    publish(engine.store(2, undefined, 1));
    assertHolds(b, engine);
    assert.equal(b.held.states.get(0), 'live');
    assert.equal(b.held.states.get(1), 'connecting');
    publish(engine.store(1, undefined, 1), 'c:8000');
    b.transport.bound!.events.onMessage([Buffer.from('kv-events'), seqFrame(0), Buffer.alloc(0)], engine);
    assert.equal(b.subscriptions.report.counts.dropped.unknown_worker, 2);
    assert.equal(b.held.of(1)?.size, 0);
    b.transport.bound!.events.onDown('closed', 'gone', engine);
    assert.equal(b.held.states.get(0), 'lost');
    assert.equal(b.report().reason, 'gone');
    b.transport.bound!.events.onDown('not_zmtp', 'a scanner', {});
    assert.deepEqual(b.subscriptions.report.counts.ends, { not_zmtp: 1 });
  });

  it('of several ranks are told apart by their batches, and the latest of a rank counts', async () => {
    const b = await listening([bound, { ...bound, rank: 1 }]);
    const batch = (rank: number, seq: number, name: number): Buffer[] => [
      topic('a:8000'),
      seqFrame(seq),
      Buffer.from(encode([name, [['BlockStored', [name], null, [1], 1]], rank])),
    ];
    const { events } = b.transport.bound!;
    const [one, two, three] = [{}, {}, {}];
    events.onMessage(batch(0, 0, 1), one);
    events.onMessage(batch(1, 0, 2), two);
    assert.equal(b.held.of(0, 0)?.has(1n), true);
    assert.equal(b.held.of(0, 1)?.has(2n), true);
    assert.equal(b.held.states.get(0), 'live');
    events.onMessage(batch(1, 0, 3), three);
    assert.deepEqual([...(b.held.of(0, 1)?.keys() ?? [])], [3n]);
    events.onDown('closed', 'the one before', two);
    assert.equal(b.held.states.get(0), 'live');
    events.onMessage(batch(7, 0, 3), one);
    assert.equal(b.subscriptions.report.counts.dropped.wrong_rank, 1);
  });

  it('find the endpoint again that was taken, and none after it was given up', async () => {
    const b = bench();
    b.transport.bindError = Object.assign(new Error(), { code: 'EADDRINUSE' });
    b.subscriptions.bind('tcp://*:1');
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(b.subscriptions.report.bound, { endpoint: 'tcp://*:1', reason: 'the port is taken' });
    b.transport.bindError = undefined;
    b.clock.advance(5000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(b.subscriptions.report.bound, { endpoint: 'tcp://*:1', reason: undefined });
    b.subscriptions.close();
    assert.equal(b.transport.bound, undefined);
    assert.equal(b.transport.open, 0);
  });

  it('find one listener where the endpoint was changed and changed back', async () => {
    const b = await listening();
    const before = b.transport.open;
    for (const endpoint of ['tcp://*:1', 'tcp://*:2', 'tcp://*:1']) b.subscriptions.bind(endpoint);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(b.transport.bound?.endpoint, 'tcp://*:1');
    assert.equal(b.transport.open, before);
    b.subscriptions.close();
    assert.equal(b.transport.open, 0);
  });
});

describe('what waits for a replay', () => {
  it('is given up by the publisher that sends the most, and the others keep theirs', () => {
    const b = bench();
    const names = Array.from({ length: 10 }, (_, index) => `w${index}`);
    const publishers = names.map((name, slot) => {
      const publisher = new ScriptedPublisher(new KvEngine(slot + 2, 'map'));
      b.transport.publishers.set(`events ${name} 0`, publisher);
      return publisher;
    });
    b.subscriptions.apply(names.map((name, slot) => workerAt(name, slot)));
    for (const publisher of publishers) publisher.up();
    b.clock.advance(0);
    const [quiet, ...loud] = publishers;
    quiet!.send(quiet!.engine.store(2, undefined, 1));
    // Nine times 15.9 MB is more than there is.
    const mostOfIt = Buffer.alloc(15_900_000);
    for (const publisher of loud) publisher.sendFrames(Buffer.from('kv-events'), seqFrame(0), mostOfIt);
    quiet!.send(quiet!.engine.store(1, undefined, 2));
    const dropped = b.subscriptions.report.workers.map(({ ranks }) => ranks[0]!.counts.dropped.not_held);
    assert.equal(dropped[0], 0);
    assert.ok(dropped.filter((messages) => messages > 0).length >= 1, dropped.join());
    settle(b);
    assertHolds(b, quiet!.engine);
    assert.equal(b.held.states.get(0), 'live');
  });
});

describe('any order of what can happen', () => {
  type Act =
    | { readonly kind: 'store'; readonly blocks: number; readonly by: number }
    | { readonly kind: 'remove'; readonly by: number }
    | { readonly kind: 'wait'; readonly ms: number }
    | { readonly kind: 'clear' | 'lose' | 'restart' | 'down' | 'up' | 'rejoin' };

  const act: fc.Arbitrary<Act> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('store' as const),
        blocks: fc.integer({ min: 1, max: 3 }),
        by: fc.nat(99),
      }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('remove' as const), by: fc.nat(99) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        ms: fc.constantFrom(1, 50, 110, 900, 3000),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constantFrom('clear', 'lose', 'restart', 'down', 'up', 'rejoin') }),
    },
  );

  /** @returns the bench, with everything under way at its end and the publisher up. */
  function play(acts: readonly Act[], options: BenchOptions): Bench {
    const b = bench(options);
    const { publisher, clock, subscriptions, worker } = b;
    let isLossy = false;
    let processes = 1;
    const send = (published: { seq: number; payload: Buffer }): void => {
      if (!isLossy) publisher.send(published);
      isLossy = false;
    };
    for (const one of acts) {
      const { engine } = publisher;
      switch (one.kind) {
        case 'store':
          send(engine.store(one.blocks, one.by % 3 === 0 ? undefined : pick(engine, one.by), one.by));
          break;
        case 'remove': {
          const block = pick(engine, one.by);
          // Engines evict what nothing else follows.
          const isParent = block && [...engine.held.values()].some(({ parent }) => parent === block.name);
          if (block && !isParent) send(engine.remove([block]));
          break;
        }
        case 'clear':
          send(engine.clear());
          break;
        case 'lose':
          isLossy = true;
          break;
        case 'wait':
          clock.advance(one.ms);
          break;
        case 'restart':
          processes += 1;
          publisher.down();
          publisher.engine = new KvEngine(processes, 'map', options.bufferSteps);
          publisher.up();
          break;
        case 'down':
          publisher.down();
          break;
        case 'up':
          if (!publisher.isUp) publisher.up();
          break;
        case 'rejoin':
          subscriptions.apply([]);
          subscriptions.apply([worker]);
      }
    }
    if (!publisher.isUp) publisher.up();
    settle(b);
    // A loss shows with the next message.
    publisher.send(publisher.engine.store(1, undefined, 1));
    settle(b);
    return b;
  }

  it('leaves exactly what the engine holds, where everything can be had again', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const b = play(acts, {});
        assertHolds(b, b.publisher.engine);
        assert.equal(b.held.states.get(0), 'live');
        assert.equal(b.held.coverage.get(0), 'whole');
        b.subscriptions.close();
        assert.deepEqual([b.transport.open, b.clock.pending, b.held.rows.size], [0, 0, 0]);
      }),
      { numRuns: 300 },
    );
  });

  it('never leaves a block that the engine does not hold, where some cannot', () => {
    for (const options of [{ bufferSteps: 3 }, { replays: false }]) {
      fc.assert(
        fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
          const b = play(acts, options);
          const { engine } = b.publisher;
          for (const [name, block] of b.held.of(0) ?? []) assert.deepEqual(engine.held.get(name), block);
          // And says so where it is all that the engine holds, and nowhere else.
          if (b.held.coverage.get(0) === 'whole') assertHolds(b, engine);
          b.publisher.send(engine.clear());
          b.publisher.send(engine.store(5, undefined, 1));
          settle(b);
          assertHolds(b, engine);
          assert.equal(b.held.coverage.get(0), 'whole');
          b.subscriptions.close();
          assert.deepEqual([b.transport.open, b.clock.pending, b.held.rows.size], [0, 0, 0]);
        }),
        { numRuns: 300 },
      );
    }
  });
});
