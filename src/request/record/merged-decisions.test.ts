import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import fc from 'fast-check';
import { PortChannel, PortChannels } from '../../base/port-channel.ts';
import { JoinedMemory, SharedMemory } from '../../base/thread-memory.ts';
import type { Decision, DecisionQuery } from './decision.ts';
import { DecisionRing } from './decision-ring.ts';
import { findDecisions, offerDecisions } from './merged-decisions.ts';

const BEGAN = Date.UTC(2026, 10, 3);

function record(id: number, more: Partial<Decision> = {}): Decision {
  return {
    schema_version: 5,
    timestamp: new Date(BEGAN + id).toISOString(),
    request_id: String(id),
    http_method: 'POST',
    route: '/v1/chat/completions',
    status: 200,
    outcome: 'ok',
    stream: false,
    attempts: [],
    queue_ms: 0,
    duration_ms: 1,
    total_ms: 1,
    request_bytes: 1,
    response_bytes: 1,
    ...more,
  };
}

const LIMITS = { maxRecords: 10_000, maxBytes: 1e9 };

interface Together {
  readonly channels: PortChannels;
  readonly control: DecisionRing;
  readonly rings: readonly DecisionRing[];
  readonly close: () => void;
}

function together(count: number, limits = LIMITS): Together {
  const memory = new SharedMemory(count);
  const control = new DecisionRing(limits, memory);
  const channels = new PortChannels();
  const ports: { close(): void }[] = [];
  channels.onEnded((row) => {
    control.reclaim(row);
  });
  const rings = Array.from({ length: count }, (_, index) => {
    const row = index + 1;
    const { port1, port2 } = new MessageChannel();
    ports.push(port1);
    channels.add(row, port1);
    const ring = new DecisionRing(limits, new JoinedMemory(memory.regions, { rows: memory.rows, self: row }));
    offerDecisions(ring, row, new PortChannel(port2));
    return ring;
  });
  const close = (): void => {
    for (const port of ports) port.close();
  };
  return { channels, control, rings, close };
}

function opened(t: TestContext, count: number, limits = LIMITS): Together {
  const all = together(count, limits);
  t.after(all.close);
  return all;
}

const ids = (records: readonly Decision[]): number[] => records.map(({ request_id: id }) => Number(id));

describe('the decision records of several threads', () => {
  it('are found as those of one thread are, with filters and limits', async () => {
    const worker = fc.constantFrom('w1', 'w2');
    const records = fc.array(fc.record({ thread: fc.nat(2), worker, model: fc.constantFrom('m1', 'm2') }), {
      maxLength: 40,
    });
    const query = fc.record({
      limit: fc.integer({ min: 1, max: 45 }),
      worker: fc.option(worker, { nil: undefined }),
      model: fc.option(fc.constantFrom('m1', 'm3'), { nil: undefined }),
      since: fc.option(
        fc.nat(45).map((ms) => BEGAN + ms),
        { nil: undefined },
      ),
    });
    await fc.assert(
      fc.asyncProperty(records, query, async (list, wanted: DecisionQuery) => {
        const { channels, rings, control, close } = together(3);
        try {
          const alone = new DecisionRing(LIMITS);
          for (const [index, { thread, ...more }] of list.entries()) {
            alone.push(record(index, more));
            rings[thread]?.push(record(index, more));
          }
          assert.deepEqual(await findDecisions(channels, wanted), alone.find(wanted));
          assert.deepEqual(
            [control.size, control.bytes, control.total],
            [alone.size, alone.bytes, alone.total],
          );
        } finally {
          close();
        }
      }),
      { seed: 7, numRuns: 60 },
    );
  });

  it('come in parts, and whole, where there are many', async (t) => {
    const { channels, rings } = opened(t, 2, { maxRecords: 20_000, maxBytes: 1e9 });
    for (let id = 0; id < 12_000; id += 1)
      rings[id % 2]?.push(record(id, { worker: id < 100 ? 'old' : 'new' }));
    assert.deepEqual(
      ids(await findDecisions(channels, { limit: 1000 })),
      Array.from({ length: 1000 }, (_, index) => 11_000 + index),
    );
    // The latest that match are behind thousands that do not.
    assert.deepEqual(
      ids(await findDecisions(channels, { limit: 1000, worker: 'old' })),
      Array.from({ length: 100 }, (_, index) => index),
    );
  });

  it('are ordered by their end, and never against the order in which their thread had them', async (t) => {
    const { channels, rings } = opened(t, 2);
    const [first, second] = rings;
    first?.push(record(0, { total_ms: 500 }));
    // As after a step of the wall clock.
    first?.push(record(1, { timestamp: new Date(BEGAN - 9000).toISOString() }));
    second?.push(record(2, { total_ms: 400 }));
    second?.push(record(3, { total_ms: 700 }));
    assert.deepEqual(ids(await findDecisions(channels, { limit: 10 })), [2, 0, 1, 3]);
  });

  it('are the latest, as many as may be kept, whichever threads have made them', async () => {
    const made = fc.array(fc.nat(2), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(made, fc.integer({ min: 1, max: 9 }), async (threads, maxRecords) => {
        const { channels, rings, control, close } = together(3, { maxRecords, maxBytes: 1e9 });
        try {
          for (const [id, thread] of threads.entries()) rings[thread]?.push(record(id));
          const all = threads.map((_, id) => id);
          assert.equal(control.size, Math.min(all.length, maxRecords));
          assert.deepEqual(ids(await findDecisions(channels, { limit: 50 })), all.slice(-maxRecords));
          for (const ring of rings) ring.reconfigure({ maxRecords: 2, maxBytes: 1e9 });
          assert.deepEqual(
            ids(await findDecisions(channels, { limit: 50 })),
            all.slice(-Math.min(2, maxRecords)),
          );
        } finally {
          close();
        }
      }),
      { seed: 7, numRuns: 60 },
    );
  });

  it('take no more bytes than there may be, of which each thread has its share', (t) => {
    const { rings, control } = opened(t, 2, { maxRecords: 1000, maxBytes: 10_000 });
    for (let id = 0; id < 10; id += 1) rings[0]?.push(record(id));
    assert.ok(control.size > 1 && control.bytes <= 5_000, `${control.size} records, ${control.bytes} bytes`);
    for (let id = 10; id < 20; id += 1) rings[1]?.push(record(id));
    assert.ok(control.bytes > 5_000 && control.bytes <= 10_000, `${control.bytes} bytes`);
  });

  it('lose those of a thread that ends, not their number; one that does not answer is left out', async (t) => {
    const { channels, rings, control } = opened(t, 2);
    rings[0]?.push(record(0));
    rings[1]?.push(record(1));
    channels.end(1);
    assert.deepEqual([control.size, control.total], [1, 2]);
    assert.deepEqual(ids(await findDecisions(channels, { limit: 10 })), [1]);
    const { port1 } = new MessageChannel();
    t.after(() => {
      port1.close();
    });
    channels.add(1, port1);
    assert.deepEqual(ids(await findDecisions(channels, { limit: 10 })), [1]);
  });
});
