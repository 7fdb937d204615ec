/** Whatever ends a wait, and whatever else happens in the same moment, a place is given back once. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RouterError } from '../../base/errors.ts';
import { VirtualClock } from '../../base/virtual-clock.ts';
import type { EdgeResponse } from '../../http/edge-response.ts';
import type { AdmissionSettings, PriorityClass } from '../../config/settings/settings.ts';
import { Admission } from '../../limits/admission.ts';
import { createMetrics } from '../../observe/metrics.ts';
import { waitForTurn } from './admit.ts';
import { ClientWatch, type Arrival } from '../arrive/arrival.ts';
import { ANYBODY, type Caller } from '../arrive/caller.ts';
import { Deadline } from '../arrive/deadline.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

const SETTINGS: AdmissionSettings = {
  maxConcurrent: 1,
  queueSize: 2,
  queueTimeoutMs: 1000,
  ratePerSecond: undefined,
};

/** What these steps touch of a router. */
function startDoor(changes: Partial<AdmissionSettings> = {}, requestMs = 5000) {
  const settings = { ...SETTINGS, ...changes };
  const clock = new VirtualClock();
  const admission = new Admission(settings, clock);
  const rt = {
    ...{ admission, clock, metrics: createMetrics() },
    settings: { admission: settings, timeouts: { requestMs } },
  } as unknown as Runtime;
  return {
    rt,
    clock,
    admission,
    ask: (flow = '', priority?: PriorityClass) => new Guest(rt, flow, priority),
  };
}

/** A request from its arrival at the door to its end. */
class Guest {
  readonly ended: Promise<void>;
  state: 'waiting' | 'inside' | 'done' | RouterError['code'] = 'waiting';
  ends = 0;
  readonly arrival: Arrival;
  readonly #response = new EventEmitter();
  readonly #work = Promise.withResolvers<undefined>();

  constructor(rt: Runtime, flow: string, priorityClass: PriorityClass = 'normal') {
    this.arrival = {
      releases: [],
      decision: { attempts: [], status: 0 },
      times: { queueMs: 0 },
      endpoint: { tokens: 'prompt_and_answer' },
      client: new ClientWatch({
        aborted: true,
        onClosed: (listener: () => void) => this.#response.once('close', listener),
      } as unknown as EdgeResponse),
    } as unknown as Arrival;
    const tenant = { name: flow, priorityClass };
    this.ended = this.#visit(rt, { ...ANYBODY, tenant } as unknown as Caller);
  }

  leave(): void {
    this.#response.emit('close');
    this.#work.resolve(undefined);
  }

  finish(): void {
    this.#work.resolve(undefined);
  }

  async #visit(rt: Runtime, caller: Caller): Promise<void> {
    const call = { ask: { promptTokens: () => 10 }, maxTokens: 10 } as unknown as Call;
    const deadline = new Deadline(rt, rt.clock.now(), () => this.#response.emit('close'));
    try {
      await waitForTurn(rt, this.arrival, caller, call, deadline);
      this.state = 'inside';
      await this.#work.promise;
      this.state = 'done';
    } catch (error) {
      this.state = error instanceof RouterError ? error.code : assert.fail(String(error));
    } finally {
      deadline.cancel();
      for (const release of this.arrival.releases) release();
      this.ends += 1;
    }
  }
}

async function ticks(count = 20): Promise<void> {
  for (let tick = 0; tick < count; tick += 1) await Promise.resolve();
}

describe('in the moment a place becomes free', () => {
  it('a client that leaves has it, and hands it on without a worker being asked', async () => {
    const { admission, ask } = startDoor();
    const inside = ask();
    await ticks();
    const [leaving, next] = [ask(), ask()];
    await ticks();
    inside.finish();
    while (admission.queued === 2) await Promise.resolve();
    leaving.leave();
    await ticks();
    assert.deepEqual([leaving.state, next.state], ['client_closed', 'inside']);
    next.finish();
    await ticks();
    assert.equal(admission.inFlight, 0);
  });

  it('nobody is needed for a client to leave the queue', async () => {
    const { admission, ask } = startDoor();
    const inside = ask();
    await ticks();
    const leaving = ask();
    await ticks();
    leaving.leave();
    await ticks();
    assert.deepEqual([leaving.state, inside.state, admission.queued], ['client_closed', 'inside', 0]);
    inside.finish();
    await ticks();
  });

  it('a client that has just left does not have it', async () => {
    const { admission, ask } = startDoor();
    const inside = ask();
    await ticks();
    const [leaving, next] = [ask(), ask()];
    leaving.leave();
    inside.finish();
    await ticks();
    assert.deepEqual([leaving.state, next.state], ['client_closed', 'inside']);
    next.finish();
    await ticks();
    assert.deepEqual([admission.inFlight, admission.queued], [0, 0]);
  });

  it('a router that shuts down lets nobody else in, and loses no place', async () => {
    const { admission, clock, ask } = startDoor();
    const inside = ask();
    await ticks();
    const [first, second] = [ask(), ask()];
    await ticks();
    inside.finish();
    while (admission.queued === 2) await Promise.resolve();
    admission.close();
    await ticks();
    assert.deepEqual([first.state, second.state], ['inside', 'shutting_down']);
    first.finish();
    await ticks();
    assert.deepEqual([admission.inFlight, clock.pending], [0, 0]);
  });

  it('a request whose time is up ends by its deadline or comes in, never both', async () => {
    for (const order of ['deadline first', 'place first'] as const) {
      const { admission, clock, ask } = startDoor({ queueTimeoutMs: 60_000 }, 1000);
      const inside = ask();
      clock.advance(500);
      await ticks();
      const late = ask();
      await ticks();
      clock.advance(999);
      if (order === 'place first') {
        inside.finish();
        while (admission.queued === 1) await Promise.resolve();
      }
      clock.advance(1);
      inside.finish();
      await ticks();
      assert.equal(late.state, order === 'place first' ? 'inside' : 'deadline_exceeded');
      late.finish();
      await ticks();
      assert.deepEqual([admission.inFlight, clock.pending], [0, 0]);
    }
  });
});

describe('in the moment a request is pushed out', () => {
  it('its client leaves: one end, and the place is the other’s', async () => {
    const { rt, admission, ask } = startDoor();
    const inside = ask('flood');
    await ticks();
    const flood = [ask('flood'), ask('flood')];
    await ticks();
    const other = ask('other', 'high');
    flood[1]?.leave();
    await ticks();
    assert.deepEqual([flood[1]?.state, flood[1]?.ends], ['queue_full', 1]);
    assert.equal(rt.metrics.queuePushedOutTotal.with('normal').value, 1);
    inside.finish();
    await ticks();
    assert.equal(other.state, 'inside');
    for (const guest of [other, ...flood]) guest.leave();
    await ticks();
    assert.deepEqual([admission.inFlight, admission.queued], [0, 0]);
  });

  it('the router closes: it was pushed out, the rest is told', async () => {
    const { admission, ask } = startDoor();
    const inside = ask('flood');
    await ticks();
    const flood = [ask('flood'), ask('flood')];
    await ticks();
    const other = ask('other', 'high');
    admission.close();
    await ticks();
    assert.deepEqual(
      [...flood, other].map(({ state }) => state),
      ['shutting_down', 'queue_full', 'shutting_down'],
    );
    inside.finish();
    await ticks();
    assert.deepEqual([admission.inFlight, admission.queued], [0, 0]);
  });
});

it('a deadline that passed before the wait began ends it at once', async () => {
  const { clock, ask, admission } = startDoor({}, 0);
  const inside = ask();
  await ticks();
  assert.equal(inside.state, 'inside');
  const late = ask();
  await ticks();
  assert.equal(late.state, 'deadline_exceeded');
  inside.finish();
  await ticks();
  assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [0, 0, 0]);
});

it('the line of a tenant is charged for what its answer really took', async () => {
  const { admission, ask } = startDoor({ queueSize: 9 });
  const first = ask('a');
  await ticks();
  const [a] = [ask('a'), ask('a'), ask('b'), ask('b')];
  await ticks();
  first.finish();
  await ticks();
  assert.equal(a?.state, 'inside');
  const deficit = (): number => admission.flows(9).find(({ name }) => name === 'a')?.deficit ?? 0;
  const before = deficit();
  const { decision } = a?.arrival ?? assert.fail();
  decision.attempts.push({ worker: 'w', reason: '', duration_ms: 1 });
  decision.prompt_tokens = 300;
  decision.completion_tokens = 1700;
  a?.finish();
  await ticks();
  assert.ok(before - deficit() >= 1900 && before - deficit() <= 2000, `${before} and ${deficit()}`);
  admission.close();
});

describe('any interleaving', () => {
  const which = fc.nat(30);
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('ask' as const),
        flow: fc.constantFrom('a', 'b', ''),
        priority: fc.constantFrom<PriorityClass[]>('high', 'normal', 'low'),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('leave' as const, 'finish' as const), which }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.nat(600) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('narrow' as const), size: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const) }) },
  );
  // Steps follow each other without a pause, or with a few turns of the microtask queue between them.
  const steps = fc.array(fc.tuple(step, fc.nat(4)), { maxLength: 50, size: 'max' });

  it('ends every request once and gives every place back', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const { admission, clock, ask } = startDoor({ maxConcurrent: 2, queueSize: 3 }, 1500);
        const guests: Guest[] = [];
        for (const [one, pause] of list) {
          if (one.do === 'ask') guests.push(ask(one.flow, one.priority));
          else if (one.do === 'advance') clock.advance(one.ms);
          else if (one.do === 'close') admission.close();
          else if (one.do === 'narrow')
            admission.reconfigure({ ...SETTINGS, maxConcurrent: 2, queueSize: one.size });
          else guests[one.which % Math.max(1, guests.length)]?.[one.do]();
          await ticks(pause);
          assert.ok(admission.inFlight <= 2);
        }
        await ticks();
        assert.equal(admission.inFlight, guests.filter(({ state }) => state === 'inside').length);
        assert.equal(admission.queued, guests.filter(({ state }) => state === 'waiting').length);
        for (const guest of guests) guest.leave();
        await Promise.all(guests.map(({ ended }) => ended));
        assert.ok(guests.every(({ ends }) => ends === 1));
        assert.deepEqual([admission.inFlight, admission.queued, clock.pending], [0, 0, 0]);
      }),
      { numRuns: 300, seed: 21 },
    );
  });
});
