import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../base/virtual-clock.ts';
import { DeficitRoundRobin, MOST_TOKENS, QUANTUM_TOKENS, type Charge } from './deficit-round-robin.ts';

function setUp() {
  const clock = new VirtualClock();
  const order = new DeficitRoundRobin<string>(clock);
  const add = (flow: string, tokens: number, waiter = flow) => order.add(flow, waiter, () => tokens);
  const take = (): string => order.take()?.waiter ?? 'nobody';
  const takeAll = (): string[] => Array.from({ length: order.size }, take);
  const charged = (): Charge => order.take()?.charge ?? assert.fail('not charged');
  const deficitOf = (flow: string): number | undefined =>
    [...order.states()].find(({ name }) => name === flow)?.deficit;
  return { clock, order, add, take, takeAll, charged, deficitOf };
}

/** Tokens served to each flow out of `turns` turns, where each flow always has another request waiting. */
function serve(costs: Readonly<Record<string, () => number>>, turns: number): Map<string, number[]> {
  const order = new DeficitRoundRobin<readonly [flow: string, cost: number]>(new VirtualClock());
  const served = new Map(Object.keys(costs).map((flow) => [flow, [0]]));
  const come = (flow: string): void => {
    const cost = costs[flow]?.() ?? assert.fail();
    order.add(flow, [flow, cost], () => cost);
  };
  for (const flow of served.keys()) for (let ahead = 0; ahead < 2; ahead += 1) come(flow);
  for (let turn = 0; turn < turns; turn += 1) {
    const [flow, cost] = order.take()?.waiter ?? assert.fail('nobody was served');
    come(flow);
    for (const [name, sums] of served) sums.push((sums.at(-1) ?? 0) + (name === flow ? cost : 0));
  }
  return served;
}

describe('between flows', () => {
  it('tokens are shared, not turns: one long prompt is worth many short ones', () => {
    const served = serve({ long: () => 8000, short: () => 40 }, 4000);
    const [long = 0, short = 0] = [...served.values()].map((sums) => sums.at(-1));
    assert.ok(Math.abs(long - short) <= 8000 + QUANTUM_TOKENS, `${long} and ${short}`);
    assert.ok(short > 100_000);
  });

  it('a flood waits behind itself', () => {
    const { add, takeAll } = setUp();
    for (let request = 0; request < 100; request += 1) add('flood', 400);
    add('other', 400);
    add('other', 400);
    assert.ok(takeAll().lastIndexOf('other') <= 4);
  });

  it('any two that wait all the time are never further apart than a quantum and two requests', () => {
    const cost = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 20_000 }));
    fc.assert(
      fc.property(
        fc.array(fc.array(cost, { minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 6 }),
        (flows) => {
          const most = Math.max(...flows.flat());
          const served = serve(
            Object.fromEntries(
              flows.map((costs, flow) => {
                let next = 0;
                return [`flow ${flow}`, () => costs[next++ % costs.length] ?? 1];
              }),
            ),
            300,
          );
          const sums = [...served.values()];
          for (const left of sums) {
            for (const right of sums) {
              // The farthest apart in any interval is how far their distance ever moves.
              const distances = left.map((tokens, turn) => tokens - (right[turn] ?? 0));
              const moved = Math.max(...distances) - Math.min(...distances);
              assert.ok(moved <= QUANTUM_TOKENS + 2 * most, `${moved} apart, largest ${most}`);
            }
          }
        },
      ),
      { numRuns: 150, seed: 11 },
    );
  });

  it('the order is that of going through the rounds one by one', () => {
    const lists = fc.array(fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 12 }), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(lists, (flows) => {
        const { add, takeAll } = setUp();
        for (const [flow, costs] of flows.entries())
          for (const [number, cost] of costs.entries()) add(String(flow), cost, `${flow}.${number}`);
        assert.deepEqual(takeAll(), roundByRound(flows));
      }),
      { numRuns: 300, seed: 12 },
    );
  });

  it('a request of any size has its turn: nobody has to pay more than the most', () => {
    const { order, add, take } = setUp();
    add('vast', Infinity);
    for (let request = 0; request < MOST_TOKENS / 1024 + 10; request += 1) add('other', 1024);
    let turns = 1;
    while (take() !== 'vast') turns += 1;
    assert.ok(Math.abs(turns - MOST_TOKENS / 1024) <= 2, String(turns));
    assert.ok(order.size > 0);
  });

  it('what makes no sense as a number of tokens counts as one', () => {
    const { order, charged, deficitOf } = setUp();
    for (const tokens of [NaN, -5, 0, 1]) order.add(`costs ${tokens}`, '', () => tokens);
    order.add('another', '', () => 1);
    for (let turn = 0; turn < 4; turn += 1) assert.equal(charged().tokens, 1);
    assert.equal(deficitOf('costs NaN'), QUANTUM_TOKENS - 1);
  });
});

/** Deficit round robin as it is in the books. */
function roundByRound(flows: readonly (readonly number[])[]): string[] {
  const next = flows.map(() => 0);
  const deficits = flows.map(() => 0);
  const order: string[] = [];
  const total = flows.flat().length;
  while (order.length < total) {
    for (const [flow, costs] of flows.entries()) {
      if (next[flow] === costs.length) continue;
      deficits[flow] = (deficits[flow] ?? 0) + QUANTUM_TOKENS;
      for (;;) {
        const number = next[flow] ?? 0;
        const cost = costs[number];
        if (cost === undefined || cost > (deficits[flow] ?? 0)) break;
        deficits[flow] = (deficits[flow] ?? 0) - cost;
        order.push(`${flow}.${number}`);
        next[flow] = number + 1;
      }
    }
  }
  return order;
}

describe('the estimate', () => {
  it('is not asked of a flow that waits alone, and nothing is charged', () => {
    const { order } = setUp();
    for (let request = 0; request < 3; request += 1) order.add('alone', '', () => assert.fail('asked'));
    for (let turn = 0; turn < 3; turn += 1) assert.equal(order.take()?.charge, undefined);
    assert.equal(order.flows, 0);
  });

  it('is asked once, of those that stand first', () => {
    const { order } = setUp();
    const asked: string[] = [];
    const add = (flow: string, name: string): void => {
      order.add(flow, name, () => {
        asked.push(name);
        return 600;
      });
    };
    add('a', 'a1');
    add('a', 'a2');
    assert.deepEqual(asked, []);
    add('b', 'b1');
    assert.deepEqual(asked, ['a1', 'b1']);
    for (let turn = 0; turn < 2; turn += 1) order.take();
    assert.deepEqual(asked, ['a1', 'b1', 'a2']);
  });
});

describe('real usage', () => {
  /** `liar` says each request takes 10 tokens. */
  function lie() {
    const set = setUp();
    for (let request = 0; request < 200; request += 1) {
      set.add('liar', 10);
      set.add('honest', 500);
    }
    return set;
  }

  it('is made up for by who said too little', () => {
    const { order } = lie();
    const served = { liar: 0, honest: 0 };
    for (let turn = 0; turn < 150; turn += 1) {
      const { waiter, charge } = order.take() ?? assert.fail();
      const real = waiter === 'liar' ? 3000 : 500;
      served[waiter as keyof typeof served] += real;
      if (charge) order.settle(charge, real);
    }
    assert.ok(Math.abs(served.liar - served.honest) <= 2 * 3000 + QUANTUM_TOKENS, JSON.stringify(served));
  });

  it('is given back to who said too much and has waited ever since', () => {
    const { order, add, take, charged, deficitOf } = setUp();
    for (let request = 0; request < 10; request += 1) {
      add('careful', 500);
      add('other', 500);
    }
    const charge = charged();
    assert.equal(charge.flow, 'careful');
    const before = deficitOf('careful') ?? 0;
    order.settle(charge, 20);
    assert.equal(deficitOf('careful'), before + 480);
    assert.equal(take(), 'other');
    assert.equal(take(), 'careful');
  });

  it('gives nobody savings for a time when nothing of it waited', () => {
    const { order, add, take, charged, deficitOf } = setUp();
    add('came and went', 500);
    for (let request = 0; request < 40; request += 1) add('a', 500);
    const charge = charged();
    assert.equal(charge.flow, 'came and went');
    for (let turn = 0; turn < 10; turn += 1) take();
    add('b', 500);
    for (let turn = 0; turn < 10; turn += 1) take();
    add('came and went', 500);
    order.settle(charge, 0);
    assert.ok((deficitOf('came and went') ?? 0) <= QUANTUM_TOKENS);
    assert.ok((deficitOf('a') ?? 0) >= -1, 'a is where it should be');
  });

  it('leaves a debt of which nobody dies', () => {
    const { order, add, take, charged } = setUp();
    add('debtor', 10);
    add('other', 10);
    const charge = charged();
    assert.equal(charge.flow, 'debtor');
    order.settle(charge, 1e12);
    add('debtor', 10);
    let turns = 0;
    do {
      add('other', 512);
      turns += 1;
    } while (take() !== 'debtor');
    assert.ok(turns > 100 && turns <= MOST_TOKENS / 512 + 3, String(turns));
  });

  it('of many requests at once leaves no more of it', () => {
    const { order, add, deficitOf } = setUp();
    for (let request = 0; request < 10; request += 1) add('debtor', 10);
    for (let request = 0; request < 200; request += 1) add('other', 500);
    const charges: Charge[] = [];
    while (charges.length < 8) {
      const { waiter, charge } = order.take() ?? assert.fail();
      if (waiter === 'debtor' && charge) charges.push(charge);
    }
    for (const charge of charges) order.settle(charge, MOST_TOKENS);
    assert.ok((deficitOf('debtor') ?? 0) >= -MOST_TOKENS, String(deficitOf('debtor')));
  });

  it('is owed for a while only, when the flow is idle', () => {
    const { clock, order, add, take, charged, deficitOf } = setUp();
    add('debtor', 10);
    add('other', 10);
    order.settle(charged(), 10_000);
    take();
    const owed = deficitOf('debtor') ?? 0;
    assert.ok(owed < -9000);
    clock.advance(30_000);
    assert.ok(Math.abs((deficitOf('debtor') ?? 0) - owed / 2) < QUANTUM_TOKENS);
    clock.advance(3_600_000);
    add('debtor', 10);
    add('other', 10);
    assert.deepEqual([take(), take()], ['debtor', 'other']);
  });

  it('is of a flow that is forgotten in the meantime', () => {
    const { order, add, charged, take, deficitOf } = setUp();
    add('a', 10);
    add('b', 10);
    const charge = charged();
    for (let rounds = 0; rounds < 5; rounds += 1) {
      add('b', 512);
      add('c', 512);
      take();
      take();
    }
    assert.equal(deficitOf('a'), undefined);
    order.settle(charge, 5);
    assert.equal(deficitOf('a'), undefined);
    order.settle({ ...charge }, 5000);
    assert.ok((deficitOf('a') ?? 0) < -4000);
  });
});

describe('who comes back', () => {
  it('from idleness has no savings: the others have not been waiting for it', () => {
    const { add, take, takeAll } = setUp();
    add('sleeper', 100);
    for (let request = 0; request < 200; request += 1) add('a', 500);
    for (let request = 0; request < 200; request += 1) add('b', 500);
    for (let turn = 0; turn < 200; turn += 1) take();
    for (let request = 0; request < 50; request += 1) add('sleeper', 500);
    const next = takeAll().slice(0, 30);
    const share = next.filter((flow) => flow === 'sleeper').length;
    assert.ok(share >= 9 && share <= 11, `${share} of 30`);
  });

  it('to find a flow that was alone for a while waits for no savings of that flow', () => {
    const { order, add, take } = setUp();
    add('a', 50_000, 'large');
    const others = Array.from({ length: 60 }, () => add('b', 500));
    for (let turn = 0; turn < 50; turn += 1) assert.equal(take(), 'b');
    for (const seat of others) order.leave(seat);
    for (let request = 0; request < 40; request += 1) add('a', 500);
    // It has saved up for long, and needs none of it now that nobody else waits.
    assert.equal(take(), 'large');
    for (let request = 0; request < 40; request += 1) add('c', 500);
    const turns = Array.from({ length: 10 }, take);
    assert.ok(turns.filter((flow) => flow === 'c').length >= 4, turns.join(' '));
  });

  it('again and again with one request at a time gets no more than its share', () => {
    const { order, add } = setUp();
    for (let request = 0; request < 300; request += 1) add('flood', 100);
    add('one by one', 100);
    const turns: string[] = [];
    while (turns.length < 200) {
      const waiter = order.take()?.waiter ?? assert.fail();
      turns.push(waiter);
      if (waiter === 'one by one') add('one by one', 100);
    }
    const share = turns.filter((flow) => flow === 'flood').length;
    assert.ok(share >= 95 && share <= 105, `${share} of 200`);
  });

  it('finds its place behind nobody for longer than a round', () => {
    const { add, takeAll, take } = setUp();
    for (const flow of ['a', 'b', 'c', 'd']) for (let request = 0; request < 50; request += 1) add(flow, 500);
    for (let turn = 0; turn < 42; turn += 1) take();
    add('new', 500);
    assert.ok(takeAll().indexOf('new') <= 4);
  });
});

describe('memory', () => {
  it('keeps no flow that neither waits nor owes', () => {
    const { order, add, takeAll } = setUp();
    for (let flow = 0; flow < 1000; flow += 1) add(`flow ${flow}`, 500);
    takeAll();
    for (let flow = 0; flow < 1000; flow += 1) {
      add('a', 500);
      add('b', 500);
      takeAll();
    }
    assert.ok(order.flows <= 3, String(order.flows));
  });

  it('keeps a bounded number of debtors, and forgets those first that have been idle longest', () => {
    const { order, add, charged, deficitOf } = setUp();
    for (let flow = 0; flow < 5000; flow += 1) {
      add(`flow ${flow}`, 10);
      add(`flow ${flow} too`, 10);
      order.settle(charged(), 10_000);
      order.take();
    }
    assert.ok(order.flows <= 4200, String(order.flows));
    assert.equal(deficitOf('flow 0'), undefined);
    assert.ok((deficitOf('flow 4999') ?? 0) < 0);
  });
});

describe('a seat', () => {
  it('is left once, from wherever it is', () => {
    const { order, add, takeAll } = setUp();
    const seats = [add('a', 500, 'a1'), add('a', 500, 'a2'), add('b', 500, 'b1'), add('a', 500, 'a3')];
    const [first, second, third] = seats;
    assert.ok(first && second && third);
    order.leave(second);
    order.leave(second);
    assert.equal(order.size, 3);
    order.leave(first);
    assert.equal(order.size, 2);
    order.leave(third);
    assert.deepEqual([order.longest, order.newestOfLongest?.waiter], [1, 'a3']);
    assert.deepEqual(takeAll(), ['a3']);
    assert.equal(order.take(), undefined);
  });

  it('left by a large request lets the smaller behind it go on at once', () => {
    const { order, add, takeAll } = setUp();
    const large = add('a', 100_000, 'large');
    add('a', 100, 'small');
    for (let request = 0; request < 3; request += 1) add('b', 500);
    order.leave(large);
    assert.deepEqual(takeAll(), ['small', 'b', 'b', 'b']);
  });
});
