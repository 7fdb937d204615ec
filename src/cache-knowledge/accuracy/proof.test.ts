import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BREAKER, HEALTH } from '../../../test/support/registry-settings.ts';
import { JoinedMemory, ownMemory, SharedMemory } from '../../base/thread-memory.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { DEFAULT_TRAITS } from '../../config/settings/settings.ts';
import { LoadLedger } from '../../workers/ledger.ts';
import { WorkerRegistry } from '../../workers/registry.ts';
import { CacheProof } from './proof.ts';
import { CacheTallies } from './tallies.ts';

function setUp(tallies = new CacheTallies(ownMemory())) {
  const clock = new VirtualClock();
  const ledger = new LoadLedger(clock);
  const registry = new WorkerRegistry({ clock, ledger, breaker: BREAKER, health: HEALTH, slowStartMs: 0 });
  const told: string[] = [];
  const proof = new CacheProof({
    ...{ registry, clock, tallies },
    eventsOf: () => undefined,
    expectedBlockSize: () => undefined,
    onVerdict: ({ id }, { name }, before) => told.push(`${id}: ${before.name} to ${name}`),
  });
  proof.start();
  const join = (id: string) =>
    registry.add({ baseUrl: id, id, rank: undefined, apiKey: undefined, traits: DEFAULT_TRAITS });
  const answer = (slot: number, count: number, predicted: number, actual: number): void => {
    for (let left = count; left > 0; left--)
      tallies.compare(slot, { source: 'predicted', prompt: 1000, predicted, actual });
  };
  return { clock, registry, proof, told, join, answer };
}

describe('workers are judged', () => {
  it('by what they told since the last time, and what changes is told once', () => {
    const { clock, proof, told, join, answer } = setUp();
    const { slot } = join('http://a');
    for (let round = 0; round < 3; round++) {
      answer(slot, 30, 600, 592);
      clock.advance(10_000);
    }
    assert.deepEqual(told, ['http://a: unknown to ok']);
    for (let round = 0; round < 3; round++) {
      answer(slot, 30, 600, 0);
      clock.advance(10_000);
    }
    assert.deepEqual(told.slice(1), ['http://a: ok to template_differs']);
    clock.advance(3_600_000);
    assert.equal(told.length, 2);
    proof.stop();
    assert.equal(clock.pending, 0);
  });

  it('by themselves: who comes to the slot of another starts anew', () => {
    const { clock, registry, proof, join, answer } = setUp();
    const first = join('http://a');
    answer(first.slot, 100, 600, 0);
    clock.advance(20_000);
    registry.remove(first);
    const second = join('http://b');
    assert.equal(second.slot, first.slot);
    assert.deepEqual(proof.of(second), {
      verdict: { name: 'unknown', finding: 'too few answers by now' },
      bySource: {},
      unreported: 0,
    });
    assert.equal(proof.of(first), undefined);
  });

  it('by the answers of all threads', () => {
    const memory = new SharedMemory(2);
    const all = new CacheTallies(memory);
    const { proof, join } = setUp(all);
    const worker = join('http://a');
    for (const self of [1, 2]) {
      const own = new CacheTallies(new JoinedMemory(memory.regions, { rows: memory.rows, self }));
      own.compare(worker.slot, { source: 'events', prompt: 100, predicted: 60, actual: 50 + 20 * self });
      own.unreported(worker.slot);
    }
    assert.deepEqual(proof.of(worker)?.bySource, {
      events: { answers: 2, prompt: 200, predicted: 120, actual: 160, over: 0, under: 40 },
    });
    assert.equal(proof.of(worker)?.unreported, 2);
  });
});
