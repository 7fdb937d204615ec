import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judge, SteadyVerdict, type Accuracy, type Evidence } from './judge.ts';
import { REMEDIES, VERDICTS, type VerdictName } from './verdicts.ts';

/** A hundred answers of 1,000 tokens each. */
function told(predicted: number, actual: number): Accuracy {
  const [over, under] = [Math.max(0, predicted - actual), Math.max(0, actual - predicted)];
  return { answers: 100, prompt: 100_000, predicted, actual, over, under };
}

const WELL: Evidence = {
  ...{ prefixCaching: true, blockSize: 16, expectedBlockSize: 16, eventsMissing: undefined },
  ...{ known: told(60_000, 59_000), unreported: 0, forgotten: 0 },
};

const CASES: Readonly<Record<string, [Partial<Evidence>, string, RegExp?]>> = {
  'predictions that come true': [{}, 'ok', /60% .* 59% cached; off by 1%/],
  'prefix caching off': [{ prefixCaching: false, known: told(0, 0) }, 'prefix_caching_off'],
  'another block size': [{ blockSize: 32 }, 'block_size_differs', /32, expected 16/],
  'any block size where none is configured': [{ blockSize: 32, expectedBlockSize: undefined }, 'ok'],
  'no events': [{ eventsMissing: 'none comes' }, 'events_off', /none comes/],
  'answers that do not tell': [
    { known: { ...told(0, 0), answers: 0 }, unreported: 50 },
    'cached_tokens_not_reported',
    /50 of 50/,
  ],
  'hits that never come': [{ known: told(60_000, 1_000) }, 'template_differs', /60% .* 1% cached/],
  'prompts that are gone': [{ known: told(60_000, 1_000), forgotten: 40 }, 'cache_thrashing', /40 of 100/],
  'half of the hits that were expected': [{ known: told(60_000, 30_000) }, 'ok', /off by 30%/],
  'nothing that could be found': [{ known: told(0, 0) }, 'ok'],
};

describe('the verdict on a worker', () => {
  for (const [name, [differs, verdict, finding = /./]] of Object.entries(CASES))
    it(`${name}: ${verdict}`, () => {
      const found = judge({ ...WELL, ...differs });
      assert.equal(found?.name, verdict);
      assert.match(found.finding, finding);
    });

  it('is none where too few have answered', () => {
    assert.equal(judge({ ...WELL, known: { ...told(60_000, 0), answers: 19 } }), undefined);
  });

  it('has a remedy, unless all is well', () => {
    const without = VERDICTS.filter((name) => REMEDIES[name] === undefined);
    assert.deepEqual(without, ['unknown', 'ok']);
  });

  it('changes when it is found twice in a row, and says its latest numbers', () => {
    const steady = new SteadyVerdict();
    const [ok, off] = [
      { name: 'ok', finding: '' },
      { name: 'events_off', finding: '' },
    ] as const;
    const changes = [off, ok, off, ok, off, undefined, off, off].map((found) => steady.take(found));
    assert.deepEqual(changes, [false, true, false, false, false, false, true, false]);
    steady.take({ ...off, finding: 'still' });
    assert.deepEqual(steady.current, { name: 'events_off', finding: 'still' });
  });

  it('is over with what shows without any answer, and not with the lack of answers', () => {
    const steady = new SteadyVerdict();
    const take = (name: VerdictName): void => {
      for (let time = 0; time < 2; time++) steady.take({ name, finding: '' });
    };
    take('events_off');
    assert.deepEqual([steady.take(undefined), steady.take(undefined)], [false, true]);
    assert.match(steady.current.finding, /is over/);
    take('template_differs');
    assert.deepEqual([steady.take(undefined), steady.take(undefined)], [false, false]);
    assert.equal(steady.current.name, 'template_differs');
  });
});
