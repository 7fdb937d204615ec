import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../base/random.ts';
import { faultJson, parseFault, parseFaultHeader } from './faults.ts';
import { FaultSet } from './fault-set.ts';

function set(sources: readonly unknown[]): FaultSet {
  const faults = new FaultSet(seededRandom(1), () => undefined);
  faults.set(sources);
  return faults;
}

describe('faults', () => {
  it('reads the same from text and from an object', () => {
    const text = parseFault('status:code=503,rate=0.5,retry_after=2,times=3,path=/v1/chat');
    const object = parseFault({
      kind: 'status',
      code: 503,
      rate: 0.5,
      retry_after: 2,
      times: 3,
      path: '/v1/chat',
    });
    assert.equal(text.kind, 'fault');
    assert.deepEqual(text, object);
    if (text.kind === 'fault') {
      assert.deepEqual(faultJson(text.fault), {
        kind: 'status',
        code: 503,
        retry_after: 2,
        rate: 0.5,
        times: 3,
        path: '/v1/chat',
      });
    }
  });

  for (const [source, message] of [
    ['explode', /unknown fault "explode", expected one of refuse/],
    ['toString', /unknown fault/],
    ['status:code=abc', /status: code: expected a whole number from 200 to 599, not "abc"/],
    ['status:code=', /not ""/],
    ['hang:ms=5', /hang: ms: expected after, rate, times, path/],
    ['delay:ms', /expected key=value, not "ms"/],
    ['delay:at=tail', /expected head or body/],
    ['reset:partial=1', /expected true or false/],
    ['status:rate=2', /from 0 to 1/],
    [17, /a fault is a text/],
    [{}, /unknown fault "undefined"/],
  ] as const) {
    it(`refuses ${JSON.stringify(source)}`, () => {
      const parsed = parseFault(source);
      assert.equal(parsed.kind, 'error');
      if (parsed.kind === 'error') assert.match(parsed.message, message);
      assert.throws(() => set([source]), RangeError);
    });
  }

  it('reads several from a header', () => {
    assert.deepEqual(
      parseFaultHeader('delay:ms=5; reset:after=2').map(({ kind }) => kind),
      ['delay', 'reset'],
    );
  });

  it('hits inference routes, or the paths it names', () => {
    const faults = set(['status']);
    assert.ok(faults.plan('/v1/completions', true).status);
    assert.equal(faults.plan('/health', false).status, undefined);
    assert.ok(set(['status:path=/health']).plan('/health', false).status);
    assert.equal(set(['status:path=/health']).plan('/v1/completions', true).status, undefined);
    assert.ok(set(['status:path=*']).plan('/metrics', false).status);
  });

  it('hits as often as its rate says, the same each time', () => {
    const hits = (): number => {
      const faults = set(['status:rate=0.2']);
      return Array.from({ length: 1000 }, () => faults.plan('/x', true)).filter((plan) => plan.status).length;
    };
    assert.ok(hits() > 160 && hits() < 240);
    assert.equal(hits(), hits());
  });

  it('ends after so many times', () => {
    const faults = set(['hang:times=2']);
    const hits = Array.from({ length: 5 }, () => faults.plan('/x', true).cut !== undefined);
    assert.deepEqual(hits, [true, true, false, false, false]);
  });

  it('keeps the old faults when a new one is wrong', () => {
    const faults = set(['hang']);
    assert.throws(() => faults.set(['reset', 'nope']), RangeError);
    assert.equal(faults.list[0]?.kind, 'hang');
  });
});
