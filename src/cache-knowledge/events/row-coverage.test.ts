import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertHolds, bench, settle, source, type Bench } from '../../../test/support/events-bench.ts';
import { KvEngine } from '../../../test/support/kv-engine.ts';
import { ScriptedPublisher } from '../../../test/support/scripted-transport.ts';

describe('a row', () => {
  /** What the one row is said to be, all along: each other word once. */
  function words(b: Bench): string[] {
    const seen: string[] = [];
    const { held } = b;
    const setState = held.setState.bind(held);
    held.setState = (slot, generation, state, coverage) => {
      setState(slot, generation, state, coverage);
      const word = state === 'live' ? coverage : state;
      if (seen.at(-1) !== word) seen.push(word);
    };
    return seen;
  }

  it('is whole where all was replayed from the first message on, and a part where the first ones are gone', () => {
    for (const [bufferSteps, word] of [
      [3, 'whole'],
      [2, 'partial'],
    ] as const) {
      const b = bench({ bufferSteps });
      const { engine } = b.publisher;
      for (let i = 0; i < 3; i += 1) engine.store(1, undefined, i);
      const seen = words(b);
      b.publisher.up();
      settle(b);
      b.publisher.send(engine.store(1, undefined, 9));
      assert.deepEqual(
        seen.filter((one) => one !== 'connecting'),
        [word],
      );
      assert.equal(b.report().coverage, word);
      assert.equal(b.subscriptions.report.workers[0]?.coverage, word);
    }
  });

  it('is whole where nothing has been sent before', () => {
    const b = bench();
    b.publisher.up();
    settle(b);
    assert.equal(b.held.coverage.get(0), 'whole');
    b.publisher.send(b.publisher.engine.store(1, undefined, 1));
    assert.equal(b.held.coverage.get(0), 'whole');
  });

  it('without replays is whole only where the first message was heard', () => {
    for (const [missed, word] of [
      [0, 'whole'],
      [1, 'partial'],
    ] as const) {
      const b = bench({ replays: false });
      const { engine } = b.publisher;
      for (let i = 0; i < missed; i += 1) engine.store(1, undefined, i);
      b.publisher.up();
      b.clock.advance(0);
      assert.equal(b.held.coverage.get(0), 'partial', 'nobody knows yet');
      b.publisher.send(engine.store(1, undefined, 9));
      assert.equal(b.held.coverage.get(0), word);
    }
  });

  it('is a part after a loss that cannot be had again, and whole once the engine has cleared its cache', () => {
    for (const options of [{ replays: false }, { bufferSteps: 1 }]) {
      const b = bench(options);
      const { engine } = b.publisher;
      b.publisher.up();
      settle(b);
      b.publisher.send(engine.store(1, undefined, 1));
      assert.equal(b.held.coverage.get(0), 'whole');
      const seen = words(b);
      engine.store(1, undefined, 2);
      b.publisher.send(engine.store(1, undefined, 3));
      settle(b);
      assert.equal(b.held.coverage.get(0), 'partial');
      b.publisher.send(engine.store(1, undefined, 4));
      assert.equal(seen.at(-1), 'partial');
      b.publisher.send(engine.clear());
      assert.equal(seen.at(-1), 'whole');
      assertHolds(b, engine);
    }
  });

  it('stays whole over losses that are replayed, and is not known meanwhile', () => {
    const b = bench();
    const { engine } = b.publisher;
    b.publisher.up();
    settle(b);
    b.publisher.send(engine.store(1, undefined, 1));
    const seen = words(b);
    engine.store(1, undefined, 2);
    b.publisher.send(engine.store(1, undefined, 3));
    settle(b);
    assert.deepEqual(seen, ['lost', 'whole']);
  });

  it('of an engine that began anew is whole where that one is heard from its beginning', () => {
    for (const replays of [true, false])
      for (const missed of [0, 1]) {
        const b = bench({ replays });
        b.publisher.up();
        settle(b);
        for (let i = 0; i < 3; i += 1) b.publisher.send(b.publisher.engine.store(1, undefined, i));
        b.publisher.down();
        b.publisher.engine = new KvEngine(2, 'map');
        for (let i = 0; i < missed; i += 1) b.publisher.engine.store(1, undefined, 50 + i);
        b.publisher.up();
        settle(b);
        b.publisher.send(b.publisher.engine.store(1, undefined, 60));
        settle(b);
        const isWhole = replays || missed === 0;
        assert.equal(b.held.coverage.get(0), isWhole ? 'whole' : 'partial', `${replays} ${missed}`);
      }
  });

  it('is a part where a replay breaks off, until the next message shows that nothing was missed', () => {
    for (const [manner, missed] of [
      ['breaks off', 4],
      ['refuses', 0],
      ['refuses', 1],
    ] as const) {
      const b = bench();
      const { engine } = b.publisher;
      b.publisher.replay = manner;
      for (let i = 0; i < missed; i += 1) engine.store(1, undefined, i);
      b.publisher.up();
      settle(b);
      assert.equal(b.held.states.get(0), 'live');
      assert.equal(b.held.coverage.get(0), 'partial', manner);
      b.publisher.replay = 'answers';
      b.publisher.send(engine.store(1, undefined, 9));
      settle(b);
      const isWhole = manner === 'breaks off' || missed === 0;
      assert.equal(b.held.coverage.get(0), isWhole ? 'whole' : 'partial', `${manner} ${missed}`);
    }
  });

  it('is a part after what could not be read or stored, until the engine clears its cache', () => {
    const stored = (over: object): object => ({
      ...{ type: 'BlockStored', block_hashes: [77n], parent_block_hash: null },
      ...{ token_ids: [1, 2], block_size: 2, medium: 'GPU', ...over },
    });
    for (const spoil of [
      (engine: KvEngine) => ({ ...engine.publish(), payload: Buffer.from([0xc1, 0xff]) }),
      (engine: KvEngine) => engine.publish(stored({ token_ids: [1, 2, 3] })),
    ]) {
      const b = bench();
      const { engine } = b.publisher;
      b.publisher.up();
      settle(b);
      b.publisher.send(engine.store(1, undefined, 1));
      b.publisher.send(spoil(engine));
      b.publisher.send(engine.store(1, undefined, 2));
      assert.deepEqual([b.held.states.get(0), b.held.coverage.get(0)], ['live', 'partial']);
      b.publisher.send(engine.clear());
      assert.equal(b.held.coverage.get(0), 'whole');
    }
  });

  it('is one of a whole worker where all of its ranks have theirs', () => {
    const b = bench();
    const second = new ScriptedPublisher(new KvEngine(2, 'map', 1));
    b.transport.publishers.set('events a 1', second);
    for (let i = 0; i < 2; i += 1) second.engine.store(1, undefined, i);
    second.up();
    b.publisher.up();
    b.subscriptions.apply([{ ...b.worker, sources: [source('a'), source('a', 1)] }]);
    settle(b);
    assert.deepEqual([b.held.states.get(0), b.held.coverage.get(0)], ['live', 'partial']);
    second.send(second.engine.clear());
    assert.equal(b.held.coverage.get(0), 'whole');
  });
});
