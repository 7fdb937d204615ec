import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JoinedMemory, SharedMemory } from '../base/thread-memory.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import type { TenantSettings } from '../config/settings/settings.ts';
import { Tenant, TenantAccess, type OverLimit, type Reservation, type Visit } from './tenant.ts';
import { Tenants } from './tenants.ts';

const SETTINGS: TenantSettings = {
  name: 'blue',
  digests: ['d1'],
  enabled: true,
  ratePerSecond: 100,
  maxConcurrent: 2,
  tokensPerMinute: 600,
  allowedModels: ['*'],
  priorityClass: 'normal',
  metadata: {},
  allowExternal: false,
};

function make(more: Partial<TenantSettings> = {}): { clock: VirtualClock; tenant: Tenant } {
  const clock = new VirtualClock();
  return { clock, tenant: new Tenant({ ...SETTINGS, ...more }, clock) };
}

function visit(entry: Visit | OverLimit): Visit {
  assert.equal(entry.kind, 'admitted');
  return entry;
}

function reserved(entry: Reservation | OverLimit): Reservation {
  assert.equal(entry.kind, 'reserved');
  return entry;
}

describe('a tenant', () => {
  it('has a place for as many as it may, each given back once', () => {
    const { tenant } = make();
    const first = visit(tenant.enter());
    visit(tenant.enter());
    assert.deepEqual(tenant.enter(), { kind: 'over_limit', limit: 'concurrency', retryAfterSecs: 1 });
    first.leave();
    first.leave();
    assert.equal(tenant.inFlight, 1);
    visit(tenant.enter());
    assert.equal(tenant.enter().kind, 'over_limit');
    assert.equal(tenant.totalRequests, 3);
    assert.equal(tenant.totalRateLimited, 2);
  });

  it('tells who finds no place when one may be free, from how long requests take', () => {
    const { clock, tenant } = make({ maxConcurrent: 1 });
    const first = visit(tenant.enter());
    clock.advance(20_000);
    first.leave();
    visit(tenant.enter());
    assert.deepEqual(tenant.enter(), { kind: 'over_limit', limit: 'concurrency', retryAfterSecs: 20 });
    const slow = make({ maxConcurrent: 1 });
    const hour = visit(slow.tenant.enter());
    slow.clock.advance(3_600_000);
    hour.leave();
    visit(slow.tenant.enter());
    const refused = slow.tenant.enter();
    assert.ok(refused.kind === 'over_limit' && refused.retryAfterSecs === 60);
  });

  it('does not spend its rate on who finds no place', () => {
    const { tenant } = make({ maxConcurrent: 1, ratePerSecond: 2 });
    const first = visit(tenant.enter());
    for (let turn = 0; turn < 10; turn += 1) assert.equal(tenant.enter().kind, 'over_limit');
    first.leave();
    visit(tenant.enter()).leave();
    assert.deepEqual(tenant.enter(), { kind: 'over_limit', limit: 'requests', retryAfterSecs: 1 });
  });

  it('settles what was reserved by what was used, once', () => {
    const { tenant } = make();
    const first = reserved(tenant.reserve(400));
    assert.equal(tenant.tokenLevel()?.remaining, 200);
    assert.equal(tenant.reserve(201).kind, 'over_limit');
    first.settle(150);
    first.settle(0);
    assert.equal(tenant.tokenLevel()?.remaining, 450);
    assert.equal(tenant.tokensUsed, 150);
  });

  it('can never reserve more than a minute’s tokens', () => {
    const { tenant } = make();
    assert.deepEqual(tenant.reserve(601), { kind: 'over_limit', limit: 'tokens', retryAfterSecs: undefined });
    reserved(tenant.reserve(600));
    assert.deepEqual(tenant.reserve(60), { kind: 'over_limit', limit: 'tokens', retryAfterSecs: 6 });
    // What takes none goes on.
    reserved(tenant.reserve(0));
  });

  it('counts tokens without limiting them where there is no limit', () => {
    const { tenant } = make({ tokensPerMinute: undefined });
    reserved(tenant.reserve(1e12)).settle(7);
    assert.equal(tenant.tokensUsed, 7);
    assert.equal(tenant.tokenLevel(), undefined);
    assert.equal(tenant.countsTokens, false);
  });

  it('settles into the budget it was taken from when the limit is lifted and set again meanwhile', () => {
    const { tenant } = make();
    const first = reserved(tenant.reserve(500));
    tenant.reconfigure({ ...SETTINGS, tokensPerMinute: undefined });
    tenant.reconfigure({ ...SETTINGS, tokensPerMinute: 1000 });
    first.settle(500);
    assert.equal(tenant.tokenLevel()?.remaining, 1000);
    assert.equal(tenant.tokensUsed, 500);
  });

  it('adds up, whatever comes and goes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 300 })), { maxLength: 80 }),
        (steps) => {
          const { tenant } = make({ maxConcurrent: 5 });
          const open: { leave: () => void; settle: (used: number) => void }[] = [];
          let used = 0;
          for (const [enters, amount] of steps) {
            if (enters) {
              const entry = tenant.enter();
              if (entry.kind !== 'admitted') continue;
              const reservation = tenant.reserve(amount);
              if (reservation.kind === 'reserved')
                open.push({ leave: entry.leave, settle: reservation.settle });
              else entry.leave();
            } else {
              const one = open.shift();
              if (!one) continue;
              used += amount;
              one.settle(amount);
              one.leave();
            }
            assert.equal(tenant.inFlight, open.length);
          }
          for (const one of open) {
            one.settle(0);
            one.leave();
          }
          assert.equal(tenant.inFlight, 0);
          assert.equal(tenant.tokensUsed, used);
          assert.equal(tenant.tokenLevel()?.remaining, Math.max(0, 600 - used));
        },
      ),
    );
  });
});

describe('allowed models', () => {
  it('are names, beginnings of names, or all', () => {
    const access = new TenantAccess({ ...SETTINGS, allowedModels: ['gpt-4', 'llama-*'] });
    assert.equal(access.restricted, true);
    for (const model of ['gpt-4', 'llama-', 'llama-8b']) assert.equal(access.mayUse(model), true, model);
    for (const model of ['', 'gpt-4o', 'GPT-4', 'llama', 'my-llama-8b', 'llama*'])
      assert.equal(access.mayUse(model), false, model);
    const all = new TenantAccess({ ...SETTINGS, allowedModels: ['gpt-4', '*'] });
    assert.equal(all.restricted, false);
    assert.equal(all.mayUse('whatever'), true);
  });
});

describe('tenants over a reload', () => {
  const auth = (...tenants: Partial<TenantSettings>[]) => ({
    kind: 'tenants' as const,
    tenants: tenants.map((one) => ({ ...SETTINGS, ...one })),
  });

  it('keep what they have spent and who is inside where the name stays, whatever their keys', () => {
    const tenants = new Tenants(
      auth({ name: 'a', digests: ['1'] }, { name: 'b', digests: ['2'] }),
      new VirtualClock(),
    );
    const before = tenants.withKey('1');
    assert.ok(before);
    const inside = visit(before.enter());
    const tokens = reserved(before.reserve(100));
    const access = before.access;
    const gone = tenants.reconfigure(
      auth(
        { name: 'a', digests: ['3', '4'], maxConcurrent: 1, allowedModels: ['x'] },
        { name: 'c', digests: ['2'] },
      ),
    );
    assert.deepEqual(gone, ['b']);
    assert.equal(tenants.withKey('1'), undefined);
    assert.equal(tenants.withKey('4'), before);
    assert.equal(tenants.withKey('2')?.access.name, 'c');
    assert.equal(before.inFlight, 1);
    assert.equal(before.enter().kind, 'over_limit');
    // Requests under way keep the rights they began with.
    assert.equal(access.mayUse('y'), true);
    assert.equal(before.access.mayUse('y'), false);
    inside.leave();
    tokens.settle(40);
    assert.equal(before.tokenLevel()?.remaining, 560);
    assert.deepEqual(tenants.reconfigure({ kind: 'open' }), ['a', 'c']);
    assert.equal(tenants.withKey('4'), undefined);
    assert.deepEqual(tenants.all(), []);
  });
});

describe('tenants of several threads', () => {
  const auth = (...tenants: Partial<TenantSettings>[]) => ({
    kind: 'tenants' as const,
    tenants: tenants.map((one) => ({ ...SETTINGS, ...one })),
  });

  function open(first: ReturnType<typeof auth>) {
    const clock = new VirtualClock();
    const memory = new SharedMemory(2);
    const control = new Tenants(first, clock, memory);
    const threads = [1, 2].map((self) => {
      const joined = new JoinedMemory(new Map(memory.regions), { rows: 3, self });
      return { joined, tenants: new Tenants(first, clock, joined) };
    });
    return {
      ...{ clock, control, memory },
      /** Of control, and of each thread. */
      named: (name: string) => [
        control.named(name) ?? assert.fail(),
        ...threads.map(({ tenants }) => tenants.named(name) ?? assert.fail()),
      ],
      /** As control does it: first itself, then the threads with what it has made. */
      reload: (next: ReturnType<typeof auth>) => {
        control.reconfigure(next);
        for (const { joined, tenants } of threads) {
          joined.adopt(new Map(memory.regions));
          tenants.reconfigure(next);
        }
      },
    };
  }

  it('have one number of places, one rate, one budget, and counts that add up', () => {
    const { clock, named } = open(auth({ maxConcurrent: 3, ratePerSecond: 4 }));
    const [blue, one, other] = named('blue');
    assert.ok(blue && one && other);
    const inside = [visit(one.enter()), visit(other.enter()), visit(one.enter())];
    assert.equal(other.enter().kind, 'over_limit');
    assert.deepEqual([blue.inFlight, one.inFlight, blue.totalRequests, blue.totalRateLimited], [3, 3, 3, 1]);
    for (const each of inside) each.leave();
    visit(other.enter()).leave();
    assert.deepEqual(one.enter(), { kind: 'over_limit', limit: 'requests', retryAfterSecs: 1 });
    assert.deepEqual(other.requestLevel(), { limit: 4, remaining: 0, resetMs: 1000 });
    clock.advance(250);
    visit(one.enter()).leave();
    const tokens = reserved(one.reserve(500));
    assert.equal(other.reserve(102).kind, 'over_limit');
    const more = reserved(other.reserve(100));
    tokens.settle(700);
    more.settle(0);
    assert.deepEqual([one.tokensUsed, blue.tokensUsed, other.tokenLevel()?.remaining], [700, 700, 0]);
    assert.deepEqual(blue.reserve(1), { kind: 'over_limit', limit: 'tokens', retryAfterSecs: 11 });
  });

  it('keep over reloads what was spent where the name stays, and begin anew where it comes again', () => {
    const { named, reload, memory } = open(auth({}, { name: 'red' }));
    const [, one, other] = named('blue');
    const [, red] = named('red');
    assert.ok(one && other && red);
    const inside = visit(one.enter());
    const tokens = reserved(one.reserve(400));
    const late = { visit: visit(red.enter()), tokens: reserved(red.reserve(300)) };
    const regions = memory.regions.size;
    reload(auth({ maxConcurrent: 1, tokensPerMinute: 1000 }));
    assert.ok(memory.regions.size < regions);
    assert.deepEqual([other.enter().kind, other.tokenLevel()?.remaining], ['over_limit', 600]);
    reload(auth({}, { name: 'red' }));
    const [anew, there] = named('red');
    assert.deepEqual([there?.inFlight, there?.tokenLevel()?.remaining, there?.totalRequests], [0, 600, 0]);
    // What still ran when it was dropped ends in what was dropped.
    late.visit.leave();
    late.tokens.settle(900);
    assert.deepEqual([anew?.inFlight, anew?.tokenLevel()?.remaining, anew?.tokensUsed], [0, 600, 0]);
    inside.leave();
    tokens.settle(100);
    assert.deepEqual([other.inFlight, other.tokenLevel()?.remaining], [0, 500]);
  });

  it('settle into the budget it was taken from, in each thread, when the limit is lifted and set again', () => {
    const { named, reload } = open(auth({}));
    const [, one, other] = named('blue');
    assert.ok(one && other);
    const tokens = reserved(one.reserve(500));
    reload(auth({ tokensPerMinute: undefined }));
    assert.equal(other.reserve(1e9).kind, 'reserved');
    reload(auth({ tokensPerMinute: 1000 }));
    assert.equal(other.tokenLevel()?.remaining, 1000);
    tokens.settle(500);
    reserved(one.reserve(300));
    assert.equal(other.tokenLevel()?.remaining, 700);
  });

  it('get back the places of a thread that has died, and keep what it had counted', () => {
    const { named, control } = open(auth({}));
    const [blue, one, other] = named('blue');
    assert.ok(blue && one && other);
    for (const each of [one, other]) visit(each.enter());
    reserved(one.reserve(100)).settle(60);
    control.reclaim(1);
    assert.deepEqual([blue.inFlight, blue.totalRequests, blue.tokensUsed], [1, 2, 60]);
    visit(other.enter());
    assert.equal(other.enter().kind, 'over_limit');
  });
});
