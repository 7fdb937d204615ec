import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../base/clock.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { AdmissionSettings } from '../config/settings.ts';
import { Admission } from './admission.ts';
import type { Entry, Ticket, Waiting, WaitOutcome } from './admission.ts';

const settings: AdmissionSettings = {
  maxConcurrent: 2,
  queueSize: 3,
  queueTimeoutMs: 1000,
  ratePerSecond: undefined,
};

function setUp(changes: Partial<AdmissionSettings> = {}) {
  const clock = new VirtualClock();
  const admission = new Admission({ ...settings, ...changes }, clock);
  return { clock, admission };
}

function admitted(entry: Entry): Ticket {
  assert.equal(entry.kind, 'admitted');
  return entry.kind === 'admitted' ? entry.ticket : assert.fail();
}

function waiting(entry: Entry): Waiting {
  assert.equal(entry.kind, 'waiting');
  return entry.kind === 'waiting' ? entry : assert.fail();
}

/** The outcome if there is one, once the microtasks have run. */
async function peek({ wait }: Waiting): Promise<WaitOutcome['kind'] | 'still waiting'> {
  let kind: WaitOutcome['kind'] | 'still waiting' = 'still waiting';
  void wait.then((outcome) => {
    kind = outcome.kind;
  });
  await Promise.resolve();
  await Promise.resolve();
  return kind;
}

async function ticketOf({ wait }: Waiting): Promise<Ticket> {
  const outcome = await wait;
  return outcome.kind === 'admitted' ? outcome.ticket : assert.fail(outcome.kind);
}

describe('concurrency', () => {
  it('is bounded until responses end, not until they begin', async () => {
    const { admission, clock } = setUp();
    const first = admitted(admission.enter());
    admitted(admission.enter());
    const third = waiting(admission.enter());
    clock.advance(900);
    assert.equal(await peek(third), 'still waiting');
    assert.deepEqual([admission.inFlight, admission.queued], [2, 1]);
    assert.equal(first.release(), true);
    assert.equal(first.release(), false);
    const ticket = await ticketOf(third);
    assert.deepEqual([admission.inFlight, admission.queued], [2, 0]);
    ticket.release();
    assert.equal(admission.inFlight, 1);
    assert.equal(clock.pending, 0);
  });

  it('serves the queue first come, first served', async () => {
    const { admission } = setUp({ maxConcurrent: 1 });
    const ticket = admitted(admission.enter());
    const queue = [waiting(admission.enter()), waiting(admission.enter()), waiting(admission.enter())];
    ticket.release();
    assert.deepEqual(await Promise.all(queue.map(peek)), ['admitted', 'still waiting', 'still waiting']);
  });

  it('turns away when the queue is full, or there is none', () => {
    const { admission } = setUp();
    for (let request = 0; request < 5; request++) admission.enter();
    assert.deepEqual(admission.enter(), { kind: 'full', retryAfterSecs: 1 });
    const none = setUp({ queueSize: 0, maxConcurrent: 1 }).admission;
    const ticket = admitted(none.enter());
    assert.equal(none.enter().kind, 'full');
    ticket.release();
    assert.equal(none.enter().kind, 'admitted');
  });
});

describe('a waiting request', () => {
  it('times out', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    admission.enter();
    const early = waiting(admission.enter());
    clock.advance(400);
    const late = waiting(admission.enter());
    clock.advance(599);
    assert.equal(await peek(early), 'still waiting');
    clock.advance(1);
    assert.equal(await peek(early), 'timeout');
    assert.equal(await peek(late), 'still waiting');
    clock.advance(400);
    assert.equal(await peek(late), 'timeout');
    assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [1, 0, 0]);
  });

  it('leaves its place to the next', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    const ticket = admitted(admission.enter());
    const first = waiting(admission.enter());
    const second = waiting(admission.enter());
    assert.equal(first.leave(), true);
    assert.equal(first.leave(), false);
    assert.equal(await peek(first), 'left');
    ticket.release();
    assert.equal(second.leave(), false);
    (await ticketOf(second)).release();
    assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [0, 0, 0]);
  });

  it('leaves when its client does', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    const ticket = admitted(admission.enter());
    const client = new AbortController();
    const first = waiting(admission.enter(client.signal));
    client.abort();
    assert.equal(await peek(first), 'left');
    assert.equal(await peek(waiting(admission.enter(client.signal))), 'left');
    assert.equal(admission.queued, 0);
    assert.equal(clock.pending, 0);
    ticket.release();
    // Who need not wait is not asked.
    assert.equal(admission.enter(client.signal).kind, 'admitted');
  });

  it('lets go of the signal when the wait is over', async () => {
    const { admission } = setUp({ maxConcurrent: 1 });
    const ticket = admitted(admission.enter());
    const client = new AbortController();
    const first = waiting(admission.enter(client.signal));
    assert.equal(getEventListeners(client.signal, 'abort').length, 1);
    ticket.release();
    await ticketOf(first);
    assert.equal(getEventListeners(client.signal, 'abort').length, 0);
  });

  it('is told when the router shuts down', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    const ticket = admitted(admission.enter());
    const queue = [waiting(admission.enter()), waiting(admission.enter())];
    admission.close();
    assert.deepEqual(await Promise.all(queue.map(peek)), ['closed', 'closed']);
    assert.equal(admission.enter().kind, 'closed');
    ticket.release();
    assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [0, 0, 0]);
  });
});

describe('the rate', () => {
  it('starts with a full bucket and lets in the queue as it refills', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 100, ratePerSecond: 4 });
    for (let request = 0; request < 4; request++) admitted(admission.enter()).release();
    const queue = [waiting(admission.enter()), waiting(admission.enter())];
    clock.advance(249);
    assert.deepEqual(await Promise.all(queue.map(peek)), ['still waiting', 'still waiting']);
    clock.advance(1);
    assert.deepEqual(await Promise.all(queue.map(peek)), ['admitted', 'still waiting']);
    clock.advance(250);
    assert.equal(await peek(queue[1] ?? assert.fail()), 'admitted');
    assert.equal(clock.pending, 0);
  });

  it('saves up no more than a second of requests', () => {
    const { admission, clock } = setUp({ maxConcurrent: 100, queueSize: 0, ratePerSecond: 4 });
    clock.advance(3_600_000);
    for (let request = 0; request < 4; request++) admitted(admission.enter());
    assert.equal(admission.enter().kind, 'full');
  });

  it('lets the queue go first when its timer is late', async () => {
    const clock = new VirtualClock();
    let lateMs = 0;
    const late: Clock = {
      now: () => clock.now() + lateMs,
      wall: () => clock.wall(),
      after: (delayMs, callback) => clock.after(delayMs, callback),
    };
    const admission = new Admission({ ...settings, queueSize: 1, ratePerSecond: 1 }, late);
    admitted(admission.enter());
    const first = waiting(admission.enter());
    lateMs = 1000;
    const second = waiting(admission.enter());
    assert.deepEqual([await peek(first), await peek(second)], ['admitted', 'still waiting']);
  });

  it('holds at least one token, however slow', async () => {
    const { admission, clock } = setUp({ ratePerSecond: 0.5, queueTimeoutMs: 60_000 });
    admitted(admission.enter()).release();
    const second = waiting(admission.enter());
    clock.advance(1999);
    assert.equal(await peek(second), 'still waiting');
    clock.advance(1);
    assert.equal(await peek(second), 'admitted');
  });

  it('tells when a place behind the queue would have its token', () => {
    const { admission } = setUp({ maxConcurrent: 100, ratePerSecond: 0.5 });
    admitted(admission.enter());
    for (let request = 0; request < 3; request++) waiting(admission.enter());
    assert.deepEqual(admission.enter(), { kind: 'full', retryAfterSecs: 8 });
  });

  it('wakes the queue when a request ends after the token came', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1, ratePerSecond: 1 });
    const ticket = admitted(admission.enter());
    const second = waiting(admission.enter());
    clock.advance(500);
    ticket.release();
    assert.equal(await peek(second), 'still waiting');
    clock.advance(500);
    assert.equal(await peek(second), 'admitted');
  });
});

type Step =
  | { readonly do: 'enter' }
  | { readonly do: 'release' | 'leave'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('enter' as const) }),
  fc.record({ do: fc.constantFrom('release' as const, 'leave' as const), which: fc.nat(20) }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.nat(700) }),
);

describe('properties', () => {
  it('keeps its bounds, loses nobody, and returns to zero', async () => {
    const limits = fc.record({
      maxConcurrent: fc.integer({ min: 1, max: 4 }),
      queueSize: fc.nat(4),
      ratePerSecond: fc.option(fc.double({ min: 0.3, max: 20, noNaN: true }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(limits, fc.array(step, { maxLength: 60, size: 'max' }), async (changes, steps) => {
        const { admission, clock } = setUp(changes);
        const tickets: Ticket[] = [];
        const queue: { readonly waiter: Waiting; readonly since: number; done: boolean }[] = [];
        const order: number[] = [];
        let admissions = 0;
        const enter = (): void => {
          const entry = admission.enter();
          if (entry.kind === 'admitted') {
            assert.ok(
              queue.every(({ done }) => done),
              'overtook the queue',
            );
            admissions += 1;
            tickets.push(entry.ticket);
          } else if (entry.kind === 'waiting') {
            const place = { waiter: entry, since: clock.now(), done: false };
            const number = queue.push(place);
            void entry.wait.then((outcome) => {
              place.done = true;
              if (outcome.kind === 'timeout') assert.ok(clock.now() >= place.since + settings.queueTimeoutMs);
              if (outcome.kind !== 'admitted') return;
              order.push(number);
              admissions += 1;
              tickets.push(outcome.ticket);
            });
          } else {
            assert.ok(admission.queued >= changes.queueSize);
          }
        };
        for (const one of steps) {
          if (one.do === 'enter') enter();
          else if (one.do === 'advance') clock.advance(one.ms);
          else if (one.do === 'leave') queue[one.which % Math.max(1, queue.length)]?.waiter.leave();
          else tickets.splice(one.which % Math.max(1, tickets.length), 1)[0]?.release();
          await Promise.resolve();
          await Promise.resolve();
          assert.equal(admission.inFlight, tickets.length);
          assert.equal(admission.queued, queue.filter(({ done }) => !done).length);
          assert.ok(admission.inFlight <= changes.maxConcurrent);
          assert.ok(admission.queued <= changes.queueSize);
          assert.ok(queue.every(({ done, since }) => done || clock.now() < since + settings.queueTimeoutMs));
          const { ratePerSecond: rate } = changes;
          if (rate !== undefined)
            assert.ok(admissions <= Math.max(1, rate) + (clock.now() / 1000) * rate + 1e-6);
        }
        assert.deepEqual(
          order,
          order.toSorted((left, right) => left - right),
        );
        clock.advance(settings.queueTimeoutMs);
        await Promise.resolve();
        await Promise.resolve();
        while (tickets.length > 0) tickets.pop()?.release();
        assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [0, 0, 0]);
      }),
      { numRuns: 300, seed: 7 },
    );
  });
});
