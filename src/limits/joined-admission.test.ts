/** One door for all threads: what a thread takes by itself, what the queue in control gives it, and what is left when it dies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LinkedThreads } from '../../test/support/linked-threads.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { AdmissionSettings, PriorityClass } from '../config/settings/settings.ts';
import { Admission } from './admission.ts';
import type { Door, Newcomer, Ticket, WaitOutcome, Waiting } from './door.ts';
import { openDoor } from './open-door.ts';

const SETTINGS: AdmissionSettings = {
  maxConcurrent: 2,
  queueSize: 3,
  queueTimeoutMs: 1000,
  ratePerSecond: undefined,
};

/** A request at the door of one thread. */
interface Guest {
  readonly row: number;
  readonly waiter: Waiting | undefined;
  outcome: WaitOutcome['kind'] | undefined;
  ticket: Ticket | undefined;
}

/** A router with a virtual clock, whose threads are all here. */
class House {
  readonly clock = new VirtualClock();
  readonly threads: LinkedThreads;
  readonly control: Door;
  readonly doors = new Map<number, Door>();
  /** Who was let in or sent away after a wait, in that order. */
  readonly events: string[] = [];
  readonly guests: Guest[] = [];

  constructor(settings: Partial<AdmissionSettings> = {}, threads = 2) {
    this.threads = new LinkedThreads(threads);
    this.control = openDoor({ ...SETTINGS, ...settings }, this.clock, this.threads.control);
    for (let row = 1; row <= threads; row += 1) this.begin(row);
  }

  begin(row: number): void {
    // Its own settings are not what counts.
    const none = { ...SETTINGS, maxConcurrent: 0, ratePerSecond: 1 };
    this.doors.set(row, openDoor(none, this.clock, this.threads.begin(row)));
  }

  die(row: number): void {
    this.threads.end(row);
    for (const guest of this.guests)
      if (guest.row === row) Object.assign(guest, { outcome: guest.outcome ?? 'left', ticket: undefined });
  }

  ask(row: number, { flow = '', priority = 'normal', tokens = 100 }: Partial<Asked> = {}): Guest {
    const newcomer: Newcomer = { flow, priority, tokens: () => tokens };
    const entry = (this.doors.get(row) ?? this.control).enter(newcomer);
    const guest: Guest = {
      row,
      waiter: entry.kind === 'waiting' ? entry : undefined,
      outcome: entry.kind === 'waiting' ? undefined : entry.kind,
      ticket: entry.kind === 'admitted' ? entry.ticket : undefined,
    };
    const number = this.guests.push(guest) - 1;
    void guest.waiter?.wait.then((outcome) => {
      // Nobody is there any more in a thread that has died.
      if (guest.outcome !== undefined) return;
      guest.outcome = outcome.kind;
      this.events.push(`${number} ${outcome.kind}`);
      if (outcome.kind === 'admitted') guest.ticket = outcome.ticket;
    });
    return guest;
  }

  finish(guest: Guest | undefined, took?: number): void {
    if (took !== undefined) guest?.ticket?.settle(took);
    guest?.ticket?.release();
    if (guest) guest.ticket = undefined;
  }

  settle(): Promise<void> {
    return this.threads.settle();
  }

  get inside(): Guest[] {
    return this.guests.filter(({ ticket }) => ticket !== undefined);
  }

  get waiting(): Guest[] {
    return this.guests.filter(({ outcome }) => outcome === undefined);
  }
}

interface Asked {
  readonly flow: string;
  readonly priority: PriorityClass;
  readonly tokens: number;
}

describe('while nobody waits', () => {
  it('a thread takes places without a word to control, and gives them back so', () => {
    const house = new House();
    const [first, second] = [house.ask(1), house.ask(2)];
    assert.deepEqual([first.outcome, second.outcome, house.control.inFlight], ['admitted', 'admitted', 2]);
    house.finish(first);
    house.finish(second);
    assert.deepEqual([house.threads.deliver(), house.doors.get(1)?.inFlight], [false, 0]);
  });

  it('the rate is one for all threads', () => {
    const house = new House({ maxConcurrent: 1000, ratePerSecond: 10 });
    const count = (): number => {
      let inside = 0;
      for (let turn = 0; turn < 30; turn += 1)
        if (house.doors.get(1 + (turn % 2))?.enterAtOnce()) inside += 1;
      return inside;
    };
    assert.equal(count(), 10);
    house.clock.advance(500);
    assert.equal(count(), 5);
    house.control.reconfigure({ ...SETTINGS, maxConcurrent: 1000, ratePerSecond: 20 });
    house.clock.advance(500);
    assert.equal(count(), 10);
    house.control.reconfigure({ ...SETTINGS, maxConcurrent: 30 });
    assert.equal(count(), 5);
  });
});

describe('as soon as one waits', () => {
  it('nobody else gets in without asking, in whichever thread, even before control has heard of it', async () => {
    const house = new House({ maxConcurrent: 1 });
    const inside = house.ask(1);
    const first = house.ask(1);
    house.finish(inside);
    assert.equal(house.doors.get(2)?.enterAtOnce(), undefined);
    const second = house.ask(2);
    await house.settle();
    assert.deepEqual([first.outcome, second.outcome], ['admitted', undefined]);
    house.finish(first);
    await house.settle();
    assert.equal(second.outcome, 'admitted');
    house.finish(second);
    await house.settle();
    assert.ok(house.doors.get(2)?.enterAtOnce());
  });

  it('a place that another thread gives back wakes the queue, however the messages fall', async () => {
    for (const pick of [0, 1, 2, 3]) {
      const house = new House({ maxConcurrent: 2 });
      const inside = [house.ask(1), house.ask(2)];
      const waiting = [house.ask(1), house.ask(2)];
      for (const guest of inside) house.finish(guest);
      while (house.threads.deliver(pick)) await Promise.resolve();
      assert.deepEqual(
        waiting.map(({ outcome }) => outcome),
        ['admitted', 'admitted'],
      );
    }
  });

  it('it times out, is pushed out, finds no room and is told of the end as in a router of one thread', async () => {
    const house = new House({ maxConcurrent: 1, queueSize: 2 });
    house.ask(1);
    const flood = [house.ask(1, { flow: 'flood' }), house.ask(1, { flow: 'flood' })];
    await house.settle();
    assert.deepEqual([house.control.queued, house.control.queuedOf('normal')], [2, 2]);
    const none = house.ask(2, { flow: 'flood' });
    await house.settle();
    assert.deepEqual(await none.waiter?.wait, { kind: 'full', limit: 'concurrency', retryAfterSecs: 1 });
    const other = house.ask(2, { flow: 'other' });
    await house.settle();
    assert.deepEqual(await flood[1]?.waiter?.wait, { kind: 'pushed_out', retryAfterSecs: 1 });
    house.clock.advance(1000);
    await house.settle();
    assert.deepEqual([flood[0]?.outcome, other.outcome], ['timeout', 'timeout']);
    const last = [house.ask(1), house.ask(2)];
    await house.settle();
    house.doors.get(1)?.close();
    assert.equal(house.ask(1).outcome, 'closed');
    house.control.close();
    const late = house.ask(2);
    await house.settle();
    assert.deepEqual(
      [...last, late].map(({ outcome }) => outcome),
      ['closed', 'closed', 'closed'],
    );
    assert.deepEqual([house.control.queued, house.clock.pending], [0, 0]);
  });

  it('a place that comes free while somebody asks is not theirs, but of who has waited', async () => {
    const house = new House({ maxConcurrent: 1 });
    const inside = house.ask(2);
    const first = house.ask(1);
    await house.settle();
    const newcomer = house.ask(1);
    const { clock } = house;
    const now = clock.now.bind(clock);
    // Control looks at the clock when it has found no place for the first.
    clock.now = () => {
      house.finish(inside);
      return now();
    };
    await house.settle();
    assert.deepEqual([first.outcome, newcomer.outcome], ['admitted', undefined]);
  });

  it('who leaves while the answer is on its way leaves the place to the next', async () => {
    const house = new House({ maxConcurrent: 1 });
    const inside = house.ask(2);
    const [leaving, next] = [house.ask(1), house.ask(2)];
    await house.settle();
    house.finish(inside);
    // Control hears of the place, and answers; the client leaves before that is heard.
    assert.equal(house.threads.deliver(), true);
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(leaving.waiter?.leave(), true);
    assert.equal(leaving.waiter?.leave(), false);
    await house.settle();
    assert.deepEqual([leaving.outcome, next.outcome, house.control.inFlight], ['left', 'admitted', 1]);
  });

  it('what a request took is settled before anybody else has its place', async () => {
    const house = new House({ maxConcurrent: 1, queueSize: 9 });
    const first = house.ask(1);
    const liars = [1, 2].map(() => house.ask(1, { flow: 'liar', tokens: 10 }));
    const others = [1, 2].map(() => house.ask(2, { flow: 'other', tokens: 500 }));
    await house.settle();
    house.finish(first);
    await house.settle();
    assert.equal(liars[0]?.outcome, 'admitted');
    house.finish(liars[0], 1800);
    await house.settle();
    house.finish(others[0], 500);
    await house.settle();
    assert.deepEqual([others[1]?.outcome, liars[1]?.outcome], ['admitted', undefined]);
  });

  it('a tenant is not behind the flood of another one in another thread', async () => {
    const house = new House({ maxConcurrent: 1, queueSize: 100 });
    const inside = house.ask(1);
    const flood = Array.from({ length: 60 }, () => house.ask(1, { flow: 'flood', tokens: 600 }));
    const others = Array.from({ length: 10 }, () => house.ask(2, { flow: 'other', tokens: 600 }));
    await house.settle();
    house.finish(inside);
    await house.settle();
    for (let turn = 0; turn < 20; turn += 1) {
      house.finish(house.inside[0], 600);
      await house.settle();
    }
    const admitted = (guests: readonly Guest[]): number => guests.filter(({ outcome }) => outcome).length;
    assert.ok(Math.abs(admitted(others) - 10) <= 1 && Math.abs(admitted(flood) - 11) <= 1);
  });
});

describe('a thread that dies', () => {
  it('leaves its places, those it was just given among them, and its waiters leave the queue', async () => {
    const house = new House({ maxConcurrent: 3, queueSize: 9 });
    const inside = [house.ask(1), house.ask(1), house.ask(2)];
    const lost = [house.ask(1), house.ask(1)];
    const waiting = [house.ask(2), house.ask(2), house.ask(2)];
    await house.settle();
    house.finish(inside[0]);
    // Control has the message and lets in one of the thread, which never hears of it.
    house.threads.deliver();
    await Promise.resolve();
    // What it asks last is lost with it, and so is what it gave back last.
    lost.push(house.ask(1));
    house.finish(inside[1]);
    house.die(1);
    await house.settle();
    assert.deepEqual(
      waiting.map(({ outcome }) => outcome),
      ['admitted', 'admitted', undefined],
    );
    assert.deepEqual([house.control.inFlight, house.control.queued], [3, 1]);
    house.finish(inside[2]);
    await house.settle();
    for (const guest of waiting) house.finish(guest);
    await house.settle();
    assert.equal(house.control.inFlight, 0);
    house.begin(1);
    assert.ok(house.doors.get(1)?.enterAtOnce());
    assert.equal(house.threads.deliver(), false);
  });
});

describe('any interleaving', () => {
  const which = fc.nat(30);
  const priority = fc.constantFrom<PriorityClass[]>('high', 'normal', 'low');
  const row = fc.integer({ min: 1, max: 3 });
  const took = fc.option(fc.nat(4000), { nil: undefined });
  const ask = fc.record({
    do: fc.constant('ask' as const),
    ...{ row, priority, flow: fc.constantFrom('a', 'b', 'c'), tokens: fc.nat(3000) },
  });
  const finish = fc.record({ do: fc.constant('finish' as const), which, took });
  const leave = fc.record({ do: fc.constant('leave' as const), which });
  const advance = fc.record({ do: fc.constant('advance' as const), ms: fc.nat(600) });
  const limits = fc.record({
    maxConcurrent: fc.integer({ min: 1, max: 4 }),
    queueSize: fc.nat(6),
    ratePerSecond: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
  });
  const reconfigure = fc.record({ do: fc.constant('reconfigure' as const), limits });
  const deliver = fc.record({ do: fc.constant('deliver' as const), which });
  const die = fc.record({ do: fc.constant('die' as const), row });

  type StepOf<A> = A extends fc.Arbitrary<infer S> ? S : never;
  type Step = StepOf<typeof ask | typeof finish | typeof leave | typeof advance | typeof reconfigure>;

  function take(house: House, step: Step): void {
    const guest = 'which' in step ? house.guests[step.which % Math.max(1, house.guests.length)] : undefined;
    if (step.do === 'ask') house.ask(step.row, step);
    else if (step.do === 'finish') house.finish(guest, step.took);
    else if (step.do === 'leave') guest?.waiter?.leave();
    else if (step.do === 'advance') house.clock.advance(step.ms);
    else house.control.reconfigure({ ...SETTINGS, ...step.limits });
  }

  it('lets in no more than may be, forgets nobody who waits, and every place returns', async () => {
    const step = fc.oneof(
      ...[{ weight: 5, arbitrary: ask }, { weight: 4, arbitrary: finish }, leave, advance, die],
      { weight: 6, arbitrary: deliver },
    );
    await fc.assert(
      fc.asyncProperty(limits, fc.array(step, { maxLength: 80, size: 'max' }), async (first, steps) => {
        const house = new House(first, 3);
        const full = (): boolean => house.control.inFlight >= first.maxConcurrent;
        for (const one of steps) {
          if (one.do === 'deliver') house.threads.deliver(one.which);
          else if (one.do === 'die') {
            house.die(one.row);
            house.begin(one.row);
          } else take(house, one);
          assert.ok(house.inside.length <= house.control.inFlight);
          assert.ok(house.control.inFlight <= first.maxConcurrent);
        }
        await house.settle();
        assert.equal(house.control.inFlight, house.inside.length);
        assert.equal(house.control.queued, house.waiting.length);
        // Whoever waits does so for a place, or for the rate, whose timer runs.
        if (house.waiting.length > 0)
          assert.ok(full() || (first.ratePerSecond !== undefined && house.clock.pending > 0));
        for (const guest of house.guests) guest.waiter?.leave();
        for (const guest of house.inside) house.finish(guest);
        await house.settle();
        assert.deepEqual([house.control.inFlight, house.control.queued, house.clock.pending], [0, 0, 0]);
        // Nothing has been left of those who waited: the way in without asking is open.
        house.clock.advance(5000);
        assert.ok(house.doors.get(1)?.enterAtOnce());
      }),
      { numRuns: 400, seed: 47 },
    );
  });

  it('serves in the order of a router that has one thread', async () => {
    const step = fc.oneof(
      ...[{ weight: 5, arbitrary: ask }, { weight: 4, arbitrary: finish }, leave, advance, reconfigure],
    );
    await fc.assert(
      fc.asyncProperty(limits, fc.array(step, { maxLength: 80, size: 'max' }), async (first, steps) => {
        const [alone, together] = [new House(first, 0), new House(first, 3)];
        assert.ok(alone.control instanceof Admission);
        for (const one of steps)
          for (const house of [alone, together]) {
            const { events } = house;
            const before = events.length;
            take(house, one);
            await house.settle();
            // Threads hear at the same time of what happened in one step.
            events.push(...events.splice(before).sort());
          }
        // Where there is one thread it is told at once that there is no room.
        const events = together.events.filter((event) => !event.endsWith(' full'));
        assert.deepEqual(events, alone.events);
        assert.deepEqual(
          together.guests.map(({ outcome }) => outcome),
          alone.guests.map(({ outcome }) => outcome),
        );
        assert.deepEqual(together.control.flows(9), alone.control.flows(9));
      }),
      { numRuns: 300, seed: 48 },
    );
  });
});
