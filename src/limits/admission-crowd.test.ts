/** Crowds before a door: what must hold whatever they do. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
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

type Step =
  | { readonly do: 'enter'; readonly flow: string; readonly priority: PriorityClass; readonly tokens: number }
  | { readonly do: 'release'; readonly which: number; readonly took: number | undefined }
  | { readonly do: 'leave'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'reconfigure'; readonly limits: Limits };

type Limits = Pick<AdmissionSettings, 'maxConcurrent' | 'queueSize' | 'ratePerSecond'>;

const limits: fc.Arbitrary<Limits> = fc.record({
  maxConcurrent: fc.integer({ min: 1, max: 4 }),
  queueSize: fc.nat(6),
  ratePerSecond: fc.option(fc.double({ min: 0.3, max: 20, noNaN: true }), { nil: undefined }),
});
const tokens = fc.oneof(fc.nat(600), fc.nat(40_000));

function steps(flows: readonly string[], priorities: readonly PriorityClass[]): fc.Arbitrary<Step[]> {
  const enter = fc.record({
    do: fc.constant('enter' as const),
    flow: fc.constantFrom(...flows),
    priority: fc.constantFrom(...priorities),
    tokens,
  });
  const release = fc.record({
    do: fc.constant('release' as const),
    which: fc.nat(20),
    took: fc.option(tokens, { nil: undefined }),
  });
  const leave = fc.record({ do: fc.constant('leave' as const), which: fc.nat(20) });
  const advance = fc.record({ do: fc.constant('advance' as const), ms: fc.nat(700) });
  return fc.array(
    fc.oneof({ weight: 5, arbitrary: enter }, { weight: 3, arbitrary: release }, leave, advance),
    { maxLength: 80, size: 'max' },
  );
}

interface Place {
  readonly number: number;
  readonly newcomer: Newcomer;
  readonly waiter: Waiting;
  readonly since: number;
  outcomes: WaitOutcome['kind'][];
}

/** A door with people before it, all of whom are counted. */
class Crowd {
  readonly clock: VirtualClock;
  readonly admission: Admission;
  readonly tickets: Ticket[] = [];
  readonly places: Place[] = [];
  /** Everything that happened to anybody, in order. */
  readonly events: string[] = [];
  limits: Limits;
  admissions = 0;

  constructor(first: Limits) {
    this.limits = first;
    this.clock = new VirtualClock();
    this.admission = new Admission({ ...settings, ...first }, this.clock);
  }

  get waiting(): Place[] {
    return this.places.filter(({ outcomes }) => outcomes.length === 0);
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case 'enter':
        await this.#enter(step);
        break;
      case 'advance':
        this.clock.advance(step.ms);
        break;
      case 'leave':
        this.places[step.which % Math.max(1, this.places.length)]?.waiter.leave();
        break;
      case 'release': {
        const [ticket] = this.tickets.splice(step.which % Math.max(1, this.tickets.length), 1);
        if (step.took !== undefined) ticket?.settle(step.took);
        ticket?.release();
        break;
      }
      case 'reconfigure':
        this.limits = step.limits;
        this.admission.reconfigure({ ...settings, ...step.limits });
    }
    await settled();
  }

  async #enter({ flow, priority, tokens: estimate }: Step & { do: 'enter' }): Promise<void> {
    const newcomer: Newcomer = { flow, priority, tokens: () => estimate };
    const before = this.waiting;
    const entry = this.admission.enter(newcomer);
    await settled();
    if (entry.kind === 'admitted') {
      assert.equal(before.filter(({ outcomes }) => outcomes.length === 0).length, 0, 'overtook the queue');
      this.admissions += 1;
      this.tickets.push(entry.ticket);
    } else if (entry.kind === 'waiting') this.#wait(newcomer, entry);
    else assert.ok(before.length >= this.limits.queueSize);
    this.events.push(entry.kind);
    this.#checkPushedOut(newcomer, entry.kind, before);
  }

  #wait(newcomer: Newcomer, waiter: Waiting): void {
    const place: Place = {
      number: this.places.length,
      newcomer,
      waiter,
      since: this.clock.now(),
      outcomes: [],
    };
    this.places.push(place);
    void waiter.wait.then((outcome) => {
      place.outcomes.push(outcome.kind);
      this.events.push(`${place.number} ${outcome.kind}`);
      if (outcome.kind === 'timeout') assert.ok(this.clock.now() >= place.since + settings.queueTimeoutMs);
      if (outcome.kind !== 'admitted') return;
      this.admissions += 1;
      this.tickets.push(outcome.ticket);
      const { priority } = newcomer;
      const higher = RANKS.slice(0, RANKS.indexOf(priority));
      assert.ok(
        !this.waiting.some(
          (other) => other.number < place.number && higher.includes(other.newcomer.priority),
        ),
      );
    });
  }

  /** By the rules as they are told, instead of by heaps. */
  #checkPushedOut({ flow, priority }: Newcomer, kind: Entry['kind'], before: readonly Place[]): void {
    const gone = before.filter(({ outcomes }) => outcomes.includes('pushed_out'));
    if (before.length < this.limits.queueSize || this.limits.queueSize === 0) {
      assert.equal(gone.length, 0);
      return;
    }
    if (before.some(({ outcomes }) => outcomes.some((outcome) => outcome !== 'pushed_out'))) return;
    const lowest = RANKS.findLast((rank) => before.some(({ newcomer }) => newcomer.priority === rank));
    const ofLowest = before.filter(({ newcomer }) => newcomer.priority === lowest);
    const countOf = (name: string): number =>
      ofLowest.filter(({ newcomer }) => newcomer.flow === name).length;
    const longest = Math.max(...ofLowest.map(({ newcomer }) => countOf(newcomer.flow)));
    const rank = RANKS.indexOf(priority) - RANKS.indexOf(lowest ?? 'high');
    const entitled = rank < 0 || (rank === 0 && countOf(flow) + 1 < longest);
    if (kind === 'admitted') return;
    assert.equal(kind, entitled ? 'waiting' : 'full');
    assert.equal(gone.length, entitled ? 1 : 0);
    const [one] = gone;
    if (one === undefined) return;
    assert.equal(one.newcomer.priority, lowest);
    assert.equal(countOf(one.newcomer.flow), longest);
    assert.equal(
      one,
      ofLowest.findLast(({ newcomer }) => newcomer.flow === one.newcomer.flow),
    );
  }

  check(): void {
    const { admission, clock, tickets, waiting } = this;
    assert.equal(admission.inFlight, tickets.length);
    assert.equal(admission.queued, waiting.length);
    for (const rank of RANKS)
      assert.equal(
        admission.queuedOf(rank),
        waiting.filter(({ newcomer }) => newcomer.priority === rank).length,
      );
    assert.equal(
      admission.flows(1000).reduce((sum, flow) => sum + flow.waiting, 0),
      waiting.length,
    );
    assert.ok(admission.queued <= this.limits.queueSize);
    assert.ok(waiting.every(({ since }) => clock.now() < since + settings.queueTimeoutMs));
    assert.ok(this.places.every(({ outcomes }) => outcomes.length <= 1));
    // Nobody waits before an open door.
    if (waiting.length > 0 && this.limits.ratePerSecond === undefined)
      assert.ok(admission.inFlight >= this.limits.maxConcurrent);
  }

  async goHome(): Promise<void> {
    this.clock.advance(settings.queueTimeoutMs);
    await settled();
    while (this.tickets.length > 0) this.tickets.pop()?.release();
    assert.ok(this.places.every(({ outcomes }) => outcomes.length === 1));
    assert.deepEqual([this.admission.inFlight, this.admission.queued, this.clock.pending], [0, 0, 0]);
  }
}

const RANKS: readonly PriorityClass[] = ['high', 'normal', 'low'];

async function settled(): Promise<void> {
  await Promise.resolve();
  await Promise.resolve();
}

describe('properties', () => {
  it('keeps its bounds, loses nobody, and returns to zero', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps(['a', 'b', 'c'], RANKS), async (first, list) => {
        const crowd = new Crowd(first);
        for (const step of list) {
          await crowd.take(step);
          crowd.check();
          assert.ok(crowd.admission.inFlight <= first.maxConcurrent);
          const { ratePerSecond: rate } = first;
          if (rate !== undefined)
            assert.ok(crowd.admissions <= Math.max(1, rate) + (crowd.clock.now() / 1000) * rate + 1e-6);
        }
        await crowd.goHome();
      }),
      { numRuns: 400, seed: 7 },
    );
  });

  it('keeps all that while its limits change', async () => {
    const change = fc.record({ do: fc.constant('reconfigure' as const), limits });
    const lists = fc.array(fc.tuple(steps(['a', 'b', 'c'], RANKS), change), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(limits, lists, async (first, parts) => {
        const crowd = new Crowd(first);
        for (const step of parts.flatMap(([list, last]): Step[] => [...list, last])) {
          await crowd.take(step);
          crowd.check();
        }
        await crowd.goHome();
      }),
      { numRuns: 150, seed: 8 },
    );
  });

  it('is first come, first served where there is one flow', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps([''], ['normal']), async (first, list) => {
        const crowd = new Crowd(first);
        for (const step of list) await crowd.take(step);
        const order = crowd.events
          .filter((event) => event.endsWith(' admitted'))
          .map((event) => parseInt(event));
        assert.deepEqual(
          order,
          order.toSorted((left, right) => left - right),
        );
        await crowd.goHome();
      }),
      { numRuns: 200, seed: 9 },
    );
  });

  it('does the same each time', async () => {
    await fc.assert(
      fc.asyncProperty(limits, steps(['a', 'b', 'c'], RANKS), async (first, list) => {
        const runs = [new Crowd(first), new Crowd(first)];
        for (const crowd of runs) for (const step of list) await crowd.take(step);
        assert.deepEqual(runs[0]?.events, runs[1]?.events);
      }),
      { numRuns: 60, seed: 10 },
    );
  });
});
