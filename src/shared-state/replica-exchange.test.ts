import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { RoutedBlocks } from '../cache-knowledge/record-ring.ts';
import { LoadLedger, type Lease } from '../workers/ledger.ts';
import { openTestRegistry, specOf } from '../../test/support/replicas.ts';
import { GONE_MS, ReplicaExchange, type ReplicaWay } from './replica-exchange.ts';
import { encodeMessage, MOST_HASHES } from './replica-message.ts';

/** What all of them hear, as long as it is not cut. */
class Wire implements ReplicaWay {
  isCut = false;
  readonly listeners = new Set<(message: Buffer) => void>();
  readonly messages: Buffer[] = [];

  publish(message: Buffer, onEnd: (sent: boolean) => void): void {
    if (!this.isCut) this.say(message);
    onEnd(!this.isCut);
  }

  say(message: Buffer): void {
    this.messages.push(message);
    for (const listener of this.listeners) listener(message);
  }

  subscribe(onMessage: (message: Buffer) => void, onReady: () => void): () => void {
    this.listeners.add(onMessage);
    onReady();
    return () => this.listeners.delete(onMessage);
  }
}

const WORKERS = ['http://one', 'http://two'];

function start(count: number, secret?: string) {
  const clock = new VirtualClock(0);
  const wire = new Wire();
  const replicas = Array.from({ length: count }, (_, at) => {
    const ledger = new LoadLedger(clock);
    const registry = openTestRegistry(clock, ledger);
    for (const url of WORKERS) registry.add(specOf(url));
    const heard: RoutedBlocks[] = [];
    const counted: string[] = [];
    const exchange = new ReplicaExchange({
      ...{ clock, ledger, registry, way: wire, secret, intervalMs: 20 },
      origin: Buffer.alloc(16, at + 1),
      record: (record) => heard.push(record),
      onCounted: (what) => counted.push(what),
    });
    exchange.start();
    const slot = (url: string): number => registry.get(url)?.slot ?? assert.fail(url);
    return {
      ...{ ledger, registry, exchange, heard, counted, slot },
      send: (url = 'http://one', prefillTokens = 1000): Lease =>
        ledger.acquire(slot(url), { prefillTokens, kvTokens: 2000, stream: true }),
      running: (url = 'http://one') => ledger.running(slot(url)),
      prefill: (url = 'http://one') => ledger.prefillTokens(slot(url)),
    };
  });
  clock.advance(100);
  const [a = assert.fail(), b = assert.fail()] = replicas;
  return { clock, wire, replicas, a, b };
}

describe('replicas', () => {
  it('see each other’s requests an interval later, and their ends', () => {
    const { clock, a, b } = start(2);
    const lease = a.send();
    clock.advance(20);
    assert.deepEqual([b.running(), b.prefill(), b.ledger.kvTokens(b.slot('http://one'))], [1, 1000, 2000]);
    assert.deepEqual([a.running(), b.ledger.own(b.slot('http://one'))], [1, 0]);
    lease.firstToken(1000);
    clock.advance(20);
    assert.deepEqual([b.running(), b.prefill()], [1, 0]);
    lease.release();
    clock.advance(20);
    assert.equal(b.running(), 0);
  });

  it('count each other’s requests neither as others’ load nor twice', () => {
    const { clock, a, b } = start(2);
    a.send();
    b.send();
    clock.advance(20);
    const slot = b.slot('http://one');
    b.ledger.watchKnown(slot);
    b.ledger.setExternal(slot, 2, b.ledger.mostKnown(slot), clock.now());
    assert.equal(b.running(), 2);
    b.ledger.setExternal(slot, 5, b.ledger.mostKnown(slot), clock.now());
    assert.equal(b.running(), 5);
    b.ledger.setExternal(slot, 1, b.ledger.mostKnown(slot), clock.now());
    assert.equal(b.running(), 2);
  });

  it('free what one held that is not heard of any more, and at once what one held that says goodbye', async () => {
    const { clock, wire, replicas, a, b } = start(3);
    const c = replicas[2] ?? assert.fail();
    a.send();
    c.send();
    clock.advance(20);
    assert.equal(b.running(), 2);
    await c.exchange.stop();
    assert.equal(b.running(), 1);
    wire.isCut = true;
    clock.advance(GONE_MS + 40);
    assert.deepEqual([b.running(), b.exchange.others], [0, 0]);
    assert.equal(b.exchange.lastOthers, 1, 'the other one may well be there: nothing gets through');
    wire.isCut = false;
    clock.advance(600);
    assert.deepEqual([b.running(), b.exchange.others], [1, 1]);
  });

  it('make up for messages that were lost', () => {
    const { clock, wire, a, b } = start(2);
    const lease = a.send();
    clock.advance(20);
    const listeners = [...wire.listeners];
    wire.listeners.clear();
    lease.release();
    a.send('http://two');
    clock.advance(40);
    for (const listener of listeners) wire.listeners.add(listener);
    assert.deepEqual([b.running(), b.running('http://two')], [1, 0]);
    clock.advance(520);
    assert.deepEqual([b.running(), b.running('http://two')], [0, 1]);
  });

  it('say nothing but that they are there while nothing happens', () => {
    const { clock, wire } = start(2);
    const before = wire.messages.length;
    clock.advance(10_000);
    assert.ok(wire.messages.length - before <= 42, String(wire.messages.length - before));
  });

  it('learn a worker’s speed from each other', () => {
    const { clock, a, b } = start(2);
    for (let at = 0; at < 20; at += 1) {
      const lease = a.send('http://one', 4000);
      clock.advance(1000);
      lease.firstToken(4000);
      lease.release();
    }
    clock.advance(600);
    const rate = a.ledger.prefillRate(a.slot('http://one'));
    assert.ok(Math.abs(rate - 4000) < 100, String(rate));
    assert.ok(Math.abs(b.ledger.prefillRate(b.slot('http://one')) / rate - 1) < 0.05);
  });

  it('forget what was said of a worker that left, and do not learn of workers they do not know', () => {
    const { clock, a, b } = start(2);
    a.send();
    a.registry.add(specOf('http://three'));
    a.send('http://three');
    clock.advance(20);
    const left = b.registry.get('http://one') ?? assert.fail();
    b.registry.remove(left);
    const again = b.registry.add(specOf('http://one'));
    assert.equal(b.ledger.running(again.slot), 0);
    clock.advance(520);
    assert.equal(b.running(), 1, 'the other replica still has one there');
    assert.equal(b.registry.get('http://three'), undefined);
  });

  it('hear of placements within 10 ms, and drop what is more than a message holds', () => {
    const { clock, a, b } = start(2);
    const place = (count: number): void => {
      const hashes = Uint32Array.from({ length: 2 * count }, (_, word) => word);
      const { slot, generation } = a.registry.get('http://two') ?? assert.fail();
      a.exchange.placed({ hashes, count, slot, generation, tokens: 16 * count });
    };
    place(1000);
    clock.advance(10);
    assert.deepEqual(
      b.heard.map(({ slot, count, tokens }) => [slot, count, tokens]),
      [[b.slot('http://two'), 1000, 16_000]],
    );
    place(3000);
    place(3000);
    clock.advance(10);
    assert.equal(
      b.heard.reduce((sum, { count }) => sum + count, 0),
      1000 + MOST_HASHES,
    );
    assert.equal(a.exchange.droppedBlocks, 6000 - MOST_HASHES);
  });
});

describe('messages that are not what they should be', () => {
  const origin = Buffer.alloc(16, 99);
  const load = (number: number, running: number, secret?: string): Buffer =>
    encodeMessage(
      {
        kind: 'load',
        whole: true,
        loads: [{ id: 'http://one', running, prefillTokens: 0, kvTokens: 0, seenTokens: 0, seenMs: 0 }],
      },
      { origin, number, secret },
    );

  it('are counted and change nothing', () => {
    const { wire, b } = start(2, 'secret');
    b.counted.length = 0;
    const forged = load(1, 9, 'another');
    const old = load(1, 9, 'secret');
    old[0] = 7;
    const tampered = load(1, 9, 'secret');
    tampered[tampered.length - 1] = 1;
    const unsigned = load(1, 9);
    for (const message of [forged, old, tampered, unsigned, Buffer.alloc(3), Buffer.alloc(3_000_000, 1)])
      wire.say(message);
    assert.deepEqual(b.counted, ['signature', 'version', 'signature', 'signature', 'malformed', 'size']);
    assert.deepEqual([b.running(), b.exchange.others], [0, 1]);
  });

  it('may be MessagePack of anything', () => {
    const { wire, b } = start(2);
    for (const running of [-1, 1e300, NaN, Infinity]) wire.say(load(1, running));
    for (let byte = 0; byte < 256; byte += 1) {
      const garbage = load(2, 1).fill(byte, 54);
      wire.say(garbage);
    }
    assert.equal(b.running(), 0);
    assert.equal(b.counted.filter((what) => what === 'malformed').length >= 200, true);
  });

  it('are not heard twice, nor after a newer one, nor for somebody who is gone', () => {
    const { clock, wire, b } = start(2);
    wire.say(load(5, 3));
    wire.say(load(4, 8));
    wire.say(load(5, 9));
    assert.equal(b.running(), 3);
    clock.advance(GONE_MS + 40);
    assert.equal(b.running(), 0);
    wire.say(load(5, 3));
    assert.equal(b.running(), 0);
  });

  it('keep nobody who is gone among the living, said once more', () => {
    const { clock, wire, b } = start(2);
    const hello = encodeMessage({ kind: 'hello' }, { origin, number: 1, secret: undefined });
    for (let times = 0; times < 4; times += 1) {
      wire.say(load(5, 3));
      wire.say(hello);
      assert.deepEqual([b.running(), b.exchange.others], times * 1000 < GONE_MS ? [3, 2] : [0, 1]);
      clock.advance(1000);
    }
    wire.say(hello);
    assert.equal(b.exchange.others, 1);
  });

  it('come from at most 256 others', () => {
    const { wire, b } = start(2);
    for (let at = 0; at < 400; at += 1) {
      const from = Buffer.alloc(16);
      from.writeUInt32LE(1000 + at);
      wire.say(encodeMessage({ kind: 'hello' }, { origin: from, number: 1, secret: undefined }));
    }
    assert.equal(b.exchange.others, 256);
    assert.ok(b.counted.includes('crowded'));
  });
});
