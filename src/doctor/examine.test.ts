import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../base/random.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { configFromOptions } from '../config/load/load.ts';
import { DEFAULT_TRAITS } from '../config/settings/settings.ts';
import type { WorkerClient } from '../engines/client.ts';
import type { Check } from './check.ts';
import { examine, isHealthy } from './examine.ts';
import { expectedOf } from './expected.ts';
import { fail, ok, skipped, type Finding } from './finding.ts';
import { Patient } from './patient.ts';
import { Turns } from './turns.ts';

const TIMEOUT_MS = 1000;
const spec = {
  ...{ baseUrl: 'http://w', rank: undefined, id: 'http://w', apiKey: undefined },
  traits: DEFAULT_TRAITS,
};
/** The checks of these tests ask nothing. */
const client: WorkerClient = {
  send: () => ({ pause: () => undefined, resume: () => undefined, abort: () => undefined }),
  close: () => undefined,
};

const never = (): never => {
  throw new Error('nothing is asked here');
};

const defaults = configFromOptions({ workerUrls: ['http://w'] });
assert.ok(defaults.kind === 'ok');
const { settings } = defaults;

function newPatient(): { patient: Patient; clock: VirtualClock } {
  const clock = new VirtualClock();
  const expected = expectedOf(settings);
  const random = seededRandom(1);
  return {
    patient: new Patient({
      spec,
      client,
      expected,
      clock,
      random,
      text: never,
      lmcache: never,
      open: never,
      askBootstrap: never,
      turns: new Turns(),
      fleet: [spec],
      timeoutMs: TIMEOUT_MS,
    }),
    clock,
  };
}

function check(name: string, needs: readonly string[], run: Check['run']): Check {
  return { name, about: name, needs, run };
}

const gives = (finding: Finding) => () => Promise.resolve(finding);

describe('examine', () => {
  it('runs the checks in their order and skips what has nothing to stand on', async () => {
    const { patient } = newPatient();
    const asked: string[] = [];
    const { results } = await examine(patient, {
      checks: [
        check('first', [], gives(ok('fine'))),
        check('second', ['first'], gives(fail('broken', 'mend it'))),
        check('third', ['second'], gives(ok('never asked'))),
        check('fourth', ['third'], gives(ok('never asked'))),
        check('fifth', ['first'], gives(skipped('not configured'))),
      ],
      onCheck: (name) => asked.push(name),
    });
    assert.deepEqual(
      results.map(({ check: name, mark, text }) => `${name} ${mark} ${text}`),
      [
        'first ok fine',
        'second fail broken',
        'third skipped needs second',
        'fourth skipped needs third',
        'fifth skipped not configured',
      ],
    );
    assert.deepEqual(asked, ['first', 'second', 'third', 'fourth', 'fifth']);
    assert.equal(isHealthy({ results }), false);
  });

  it('ends a check at its deadline, and what it had under way', async () => {
    const { patient, clock } = newPatient();
    let given: AbortSignal | undefined;
    const done = examine(patient, {
      checks: [
        check('slow', [], (_, signal) => {
          given = signal;
          return new Promise(() => undefined);
        }),
        check('next', [], gives(ok('fine'))),
      ],
    });
    clock.advance(TIMEOUT_MS - 1);
    assert.equal(given?.aborted, false);
    clock.advance(1);
    const { results } = await done;
    assert.equal(given.aborted, true);
    assert.deepEqual(
      results.map(({ mark, ms }) => [mark, ms]),
      [
        ['fail', TIMEOUT_MS],
        ['ok', 0],
      ],
    );
  });

  it('goes on after a check that throws', async () => {
    const { patient } = newPatient();
    const broken = check('broken', [], () => Promise.reject(new Error('a\nb')));
    const { results } = await examine(patient, { checks: [broken, check('next', [], gives(ok('fine')))] });
    assert.deepEqual(
      results.map(({ mark, text }) => `${mark} ${text}`),
      ['fail the check itself failed: a b', 'ok fine'],
    );
  });

  it('stops when nobody wants the report any more', async () => {
    const { patient } = newPatient();
    const givenUp = new AbortController();
    const done = examine(patient, {
      checks: [check('hangs', [], () => new Promise(() => undefined)), check('next', [], gives(ok('fine')))],
      signal: givenUp.signal,
    });
    givenUp.abort();
    const { results } = await done;
    assert.deepEqual(
      results.map(({ mark, text }) => `${mark} ${text}`),
      ['skipped given up', 'skipped given up'],
    );
  });
});
