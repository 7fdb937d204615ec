import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryInUse } from '../../test/support/memory.ts';
import { ByteCollector } from './byte-collector.ts';
import { seededRandom } from './random.ts';

function bytes(size: number): Buffer {
  return Buffer.alloc(size, '0123456789abcdef!');
}

/** What it costs to hold `size` bytes in chunks of these sizes, each a read of its own as from a socket. */
function costOf(size: number, chunkSize: (at: number) => number, readSize = chunkSize): number {
  const before = memoryInUse();
  const collector = new ByteCollector();
  for (let at = 0; at < size;) {
    const wanted = Math.min(chunkSize(at), size - at);
    collector.push(Buffer.allocUnsafeSlow(Math.max(wanted, readSize(at))).subarray(0, wanted));
    at += wanted;
  }
  const cost = memoryInUse() - before;
  assert.equal(collector.take().length, size);
  return cost;
}

const MB = 1024 * 1024;

describe('byte collector', () => {
  it('gives back the same bytes, whatever the chunks', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 400; round += 1) {
      const whole = bytes(Math.floor(random() ** 4 * 400_000));
      const most = [1, 3, 500, 5_000, 20_000, 100_000][round % 6] ?? 1;
      const collector = new ByteCollector();
      for (let at = 0; at < whole.length;) {
        const end = Math.min(whole.length, at + Math.ceil(random() * most));
        collector.push(whole.subarray(at, end));
        at = end;
        assert.equal(collector.size, at);
      }
      assert.ok(collector.take().equals(whole), `${whole.length} bytes in chunks of at most ${most}`);
      assert.equal(collector.size, 0);
    }
  });

  it('is empty after it has been emptied, and can be used again', () => {
    const collector = new ByteCollector();
    for (const parts of [['a'], ['b', 'c'], ['d'.repeat(20_000), 'e'], []]) {
      for (const part of parts) collector.push(Buffer.from(part));
      assert.equal(collector.take().toString(), parts.join(''));
      collector.push(Buffer.from('gone'));
      collector.clear();
      assert.equal(collector.size, 0);
    }
  });

  it('joins many bytes in pieces, and is empty from the beginning', () => {
    const random = seededRandom(8);
    for (const size of [0, 5, 70_000, MB, MB + 1, 5 * MB + 3]) {
      const whole = bytes(size);
      const collector = new ByteCollector();
      for (let at = 0; at < size;) {
        const end = Math.min(size, at + Math.ceil(random() * 60_000));
        collector.push(whole.subarray(at, end));
        at = end;
      }
      let pieces = 1;
      const taking = collector.taking();
      let step = taking.next();
      for (; step.done !== true; step = taking.next()) {
        assert.equal(collector.size, 0);
        pieces += 1;
      }
      assert.ok(step.value.equals(whole), `${size} bytes`);
      assert.ok(pieces >= Math.min(5, Math.floor(size / MB)), `${size} bytes in ${pieces} pieces`);
      assert.equal(collector.size, 0);
    }
  });

  it('does not copy what comes in one chunk', () => {
    const whole = Buffer.allocUnsafeSlow(100);
    const collector = new ByteCollector();
    collector.push(whole);
    assert.equal(collector.take(), whole);
  });

  for (const [what, chunkSize, readSize] of [
    ['single bytes', () => 1],
    ['a byte and a large chunk in turn', (at: number) => (at % 2 === 0 ? 1 : 16_384)],
    ['chunks just too small to be kept', () => 16_383],
    ['chunks in reads that brought little else', () => 1, () => 60_000],
    ['large chunks in reads that brought little else', () => 16_384, () => 65_536],
  ] as [string, (at: number) => number, ((at: number) => number)?][]) {
    it(`holds a small multiple of the bytes: ${what}`, () => {
      const size = readSize ? MB / 8 : 2 * MB;
      const cost = costOf(size, chunkSize, readSize);
      assert.ok(cost < 3 * size + MB / 2, `${cost} bytes for ${size}`);
    });
  }

  it('takes time in proportion to the bytes', () => {
    const time = (size: number): number => {
      const one = Buffer.allocUnsafeSlow(1);
      const collector = new ByteCollector();
      const from = process.cpuUsage().user;
      for (let at = 0; at < size; at += 1) collector.push(one);
      assert.equal(collector.take().length, size);
      return process.cpuUsage().user - from;
    };
    time(MB);
    const [short, long] = [time(MB), time(8 * MB)];
    assert.ok(long < 24 * short + 100_000, `${short} and ${long} us`);
  });
});
