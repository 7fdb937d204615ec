import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Clock } from '../base/clock.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { AdmissionSettings, PriorityClass } from '../config/settings/settings.ts';
import { Admission } from './admission.ts';
import type { Entry, Newcomer, Ticket, Waiting, WaitOutcome } from './admission.ts';

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

function of(flow: string, priority: PriorityClass = 'normal', tokens = 100): Newcomer {
  return { flow, priority, tokens: () => tokens };
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
    assert.deepEqual(admission.enter(), { kind: 'full', limit: 'concurrency', retryAfterSecs: 1 });
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
    assert.deepEqual(admission.enter(), { kind: 'full', limit: 'rate', retryAfterSecs: 8 });
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

describe('the order', () => {
  it('is by class, whoever came first', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 10 });
    let ticket = admitted(admission.enter());
    const names = ['low', 'normal', 'high'] as const;
    const queue = names.map((name) => [name, waiting(admission.enter(of('', name)))] as const);
    assert.deepEqual([admission.queuedOf('high'), admission.queuedOf('normal')], [1, 1]);
    for (const name of names.toReversed()) {
      ticket.release();
      const next = queue.find(([one]) => one === name)?.[1] ?? assert.fail();
      ticket = await ticketOf(next);
    }
    assert.equal(admission.queued, 0);
  });

  it('is fair to a flow beside a flood', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 100 });
    const ticket = admitted(admission.enter(of('flood')));
    const flood = Array.from({ length: 50 }, () => waiting(admission.enter(of('flood', 'normal', 600))));
    const other = waiting(admission.enter(of('other', 'normal', 600)));
    ticket.release();
    for (let turn = 0; turn < 2; turn += 1)
      for (const waiter of flood) if ((await peek(waiter)) === 'admitted') (await ticketOf(waiter)).release();
    assert.equal(await peek(other), 'admitted');
  });

  it('is corrected by what a request really took, before the place goes to the next', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 100 });
    const first = admitted(admission.enter());
    const [liar1, liar2] = [1, 2, 3].map(() => waiting(admission.enter(of('liar', 'normal', 10))));
    const others = [1, 2, 3, 4].map(() => waiting(admission.enter(of('other', 'normal', 500))));
    first.release();
    const ticket = await ticketOf(liar1 ?? assert.fail());
    ticket.settle(1800);
    ticket.settle(1800);
    ticket.release();
    for (const other of others.slice(0, 2)) (await ticketOf(other)).release();
    assert.equal(await peek(others[2] ?? assert.fail()), 'admitted');
    assert.equal(await peek(liar2 ?? assert.fail()), 'still waiting');
    const owing = admission.flows(1)[0]?.deficit;
    ticket.settle(90_000);
    assert.equal(admission.flows(1)[0]?.deficit, owing);
    const released = await ticketOf(others[2] ?? assert.fail());
    released.release();
    released.settle(90_000);
    assert.equal(admission.flows(9).find(({ name }) => name === 'other')?.waiting, 1);
    assert.ok((admission.flows(9).find(({ name }) => name === 'other')?.deficit ?? -1e9) > -10_000);
    assert.equal(await peek(liar2 ?? assert.fail()), 'admitted');
    assert.deepEqual(
      admission.flows(1).map(({ name, priority, waiting: count }) => [name, priority, count]),
      [['liar', 'normal', 1]],
    );
  });

  it('does not ask a request that need not wait, nor one whose flow waits alone, what it will take', () => {
    const { admission } = setUp({ maxConcurrent: 1 });
    const newcomer: Newcomer = { flow: 'a', priority: 'normal', tokens: () => assert.fail('asked') };
    const ticket = admitted(admission.enter(newcomer));
    for (let request = 0; request < 3; request += 1) waiting(admission.enter(newcomer));
    ticket.release();
    assert.equal(admission.queued, 2);
  });
});

describe('a full queue', () => {
  it('takes in who has fewer waiting, in place of the newest of who has most', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 4 });
    admitted(admission.enter());
    const flood = [1, 2, 3, 4].map(() => waiting(admission.enter(of('flood'))));
    assert.equal(admission.enter(of('flood')).kind, 'full');
    const other = waiting(admission.enter(of('other')));
    assert.deepEqual(await Promise.all(flood.map(peek)), [
      ...['still waiting', 'still waiting', 'still waiting'],
      'pushed_out',
    ]);
    assert.deepEqual(await flood[3]?.wait, { kind: 'pushed_out', retryAfterSecs: 1 });
    assert.equal(flood[3]?.leave(), false);
    waiting(admission.enter(of('other')));
    // Two each: from here on they would only push each other out in turn.
    assert.equal(admission.enter(of('other')).kind, 'full');
    assert.equal(admission.enter(of('flood')).kind, 'full');
    waiting(admission.enter(of('third')));
    assert.equal(await peek(other), 'still waiting');
    assert.equal(admission.queued, 4);
  });

  it('takes in a higher class in place of a lower', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 3 });
    admitted(admission.enter());
    const low = [1, 2].map(() => waiting(admission.enter(of('a', 'low'))));
    const normal = waiting(admission.enter(of('b')));
    assert.equal(admission.enter(of('a', 'low')).kind, 'full');
    const high = [1, 2, 3].map(() => waiting(admission.enter(of('d', 'high'))));
    assert.deepEqual(await Promise.all(low.map(peek)), ['pushed_out', 'pushed_out']);
    assert.equal(await peek(normal), 'pushed_out');
    assert.equal(admission.enter(of('e', 'normal')).kind, 'full');
    assert.deepEqual(new Set(await Promise.all(high.map(peek))), new Set(['still waiting']));
  });

  it('has places again as soon as somebody has waited too long, however late the timer', async () => {
    const clock = new VirtualClock();
    let lateMs = 0;
    const late: Clock = { ...bound(clock), now: () => clock.now() + lateMs };
    const admission = new Admission({ ...settings, maxConcurrent: 1, queueSize: 1 }, late);
    admitted(admission.enter());
    const first = waiting(admission.enter());
    lateMs = settings.queueTimeoutMs;
    waiting(admission.enter());
    assert.equal(await peek(first), 'timeout');
  });
});

function bound(clock: VirtualClock): Clock {
  return {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (delayMs, callback) => clock.after(delayMs, callback),
  };
}

describe('new settings', () => {
  it('let in at once whom a wider door has room for', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    admitted(admission.enter());
    const queue = [1, 2, 3].map(() => waiting(admission.enter()));
    admission.reconfigure({ ...settings, maxConcurrent: 3 });
    assert.deepEqual(await Promise.all(queue.map(peek)), ['admitted', 'admitted', 'still waiting']);
    clock.advance(settings.queueTimeoutMs);
    assert.equal(clock.pending, 0);
  });

  it('send nobody away who is inside: a narrower door is reached as requests end', async () => {
    const { admission } = setUp({ maxConcurrent: 3 });
    const tickets = [1, 2, 3].map(() => admitted(admission.enter()));
    const next = waiting(admission.enter());
    admission.reconfigure({ ...settings, maxConcurrent: 1 });
    assert.equal(admission.inFlight, 3);
    tickets[0]?.release();
    tickets[1]?.release();
    assert.equal(await peek(next), 'still waiting');
    tickets[2]?.release();
    assert.equal(await peek(next), 'admitted');
  });

  it('push out the newest of the longest flow where the queue is shorter, after letting in who can be', async () => {
    const { admission } = setUp({ maxConcurrent: 1, queueSize: 5 });
    admitted(admission.enter());
    const flood = [1, 2, 3].map(() => waiting(admission.enter(of('flood'))));
    const other = waiting(admission.enter(of('other')));
    admission.reconfigure({ ...settings, maxConcurrent: 2, queueSize: 2 });
    assert.deepEqual(await Promise.all(flood.map(peek)), ['admitted', 'still waiting', 'pushed_out']);
    assert.equal(await peek(other), 'still waiting');
    admission.reconfigure({ ...settings, maxConcurrent: 2, queueSize: 0 });
    assert.deepEqual([await peek(other), admission.queued], ['pushed_out', 0]);
  });

  it('push out the lowest class first', async () => {
    const { admission } = setUp({ maxConcurrent: 1 });
    admitted(admission.enter());
    const [low, high, normal] = (['low', 'high', 'normal'] as const).map((priority) =>
      waiting(admission.enter(of('', priority))),
    );
    admission.reconfigure({ ...settings, maxConcurrent: 1, queueSize: 1 });
    assert.deepEqual(await Promise.all([low, high, normal].map((one) => peek(one ?? assert.fail()))), [
      ...['pushed_out', 'still waiting', 'pushed_out'],
    ]);
  });

  it('count the deadline from when the wait began', async () => {
    const { admission, clock } = setUp({ maxConcurrent: 1 });
    admitted(admission.enter());
    const first = waiting(admission.enter());
    clock.advance(400);
    const second = waiting(admission.enter());
    admission.reconfigure({ ...settings, maxConcurrent: 1, queueTimeoutMs: 300 });
    assert.deepEqual([await peek(first), await peek(second)], ['timeout', 'still waiting']);
    admission.reconfigure({ ...settings, maxConcurrent: 1, queueTimeoutMs: 5000 });
    clock.advance(4999);
    assert.equal(await peek(second), 'still waiting');
    clock.advance(1);
    assert.equal(await peek(second), 'timeout');
    assert.equal(clock.pending, 0);
  });

  it('leave in the bucket what is there', () => {
    const rate = (ratePerSecond: number | undefined): AdmissionSettings => ({
      ...settings,
      ...{ maxConcurrent: 100, queueSize: 0, ratePerSecond },
    });
    const { admission, clock } = setUp(rate(10));
    const count = (): number => {
      let inside = 0;
      while (inside < 50 && admission.enter().kind === 'admitted') inside += 1;
      return inside;
    };
    for (let request = 0; request < 6; request += 1) admitted(admission.enter());
    admission.reconfigure(rate(20));
    assert.equal(count(), 4);
    clock.advance(10_000);
    admission.reconfigure(rate(5));
    assert.equal(count(), 5);
    clock.advance(200);
    assert.equal(count(), 1);
    admission.reconfigure(rate(undefined));
    assert.equal(count(), 50);
    admission.reconfigure({ ...rate(10), maxConcurrent: 1000 });
    assert.equal(count(), 10);
  });

  it('wake those for whom only a token was lacking', async () => {
    const { admission, clock } = setUp({ ratePerSecond: 0.01, queueTimeoutMs: 1e6 });
    admitted(admission.enter());
    const second = waiting(admission.enter());
    admission.reconfigure({ ...settings, ratePerSecond: 10, queueTimeoutMs: 1e6 });
    clock.advance(100);
    assert.equal(await peek(second), 'admitted');
  });

  it('do not open what is closed', () => {
    const { admission } = setUp();
    admission.close();
    admission.reconfigure({ ...settings, maxConcurrent: 9 });
    assert.equal(admission.enter().kind, 'closed');
  });
});
