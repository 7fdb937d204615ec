import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RouterThreads } from '../../test/support/router-threads.ts';
import { VirtualClock } from '../base/virtual-clock.ts';
import { byControl, byServices, judgeForThreads } from './key-judges.ts';
import { KeyVerdicts, type Opinion } from './key-verdicts.ts';

const SETTINGS = { urls: ['u'], ttlMs: 60_000, refusalTtlMs: 10_000, timeoutMs: 5_000 };

/** Services that answer when the test says so. */
function make(urls: readonly string[] = ['u']) {
  const clock = new VirtualClock();
  const questions: { key: string; url: string; answer: (opinion: Opinion) => void }[] = [];
  const verdicts = new KeyVerdicts(
    { ...SETTINGS, urls },
    byServices((url, key) => new Promise((answer) => questions.push({ url, key, answer })), clock),
    clock,
  );
  const next = () => {
    const question = questions.shift();
    assert.ok(question);
    return question;
  };
  return { clock, questions, verdicts, next };
}

describe('the verdict on a key', () => {
  it('is shared by all who ask while it is being found', async () => {
    const { verdicts, questions, next } = make();
    const asked = [verdicts.of('k', 'd'), verdicts.of('k', 'd'), verdicts.of('k', 'd')];
    assert.equal(questions.length, 1);
    next().answer('accepted');
    assert.deepEqual(await Promise.all(asked.map((opinion) => Promise.resolve(opinion))), [
      'accepted',
      'accepted',
      'accepted',
    ]);
    // And then known at once.
    assert.equal(verdicts.of('k', 'd'), 'accepted');
  });

  it('is kept for its time: an acceptance longer than a refusal', async () => {
    const { clock, verdicts, questions, next } = make();
    const good = verdicts.of('good', 'g');
    const bad = verdicts.of('bad', 'b');
    next().answer('accepted');
    next().answer('refused');
    await Promise.all([good, bad]);
    clock.advance(9_999);
    assert.equal(verdicts.of('bad', 'b'), 'refused');
    clock.advance(1);
    void verdicts.of('bad', 'b');
    assert.equal(questions.length, 1);
    clock.advance(49_999);
    assert.equal(verdicts.of('good', 'g'), 'accepted');
    clock.advance(1);
    assert.notEqual(verdicts.of('good', 'g'), 'accepted');
  });

  it('is not kept when there is none', async () => {
    const { verdicts, questions, next } = make();
    const first = verdicts.of('k', 'd');
    next().answer('unavailable');
    assert.equal(await first, 'unavailable');
    void verdicts.of('k', 'd');
    assert.equal(questions.length, 1);
  });

  it('does not wait for the others once one accepts; a refusal takes all', async () => {
    const { verdicts, next } = make(['a', 'b', 'c']);
    const accepted = verdicts.of('k', 'd');
    const [, second] = [next(), next()];
    second.answer('accepted');
    assert.equal(await accepted, 'accepted');
    next();
    const doubtful = verdicts.of('k2', 'd2');
    next().answer('refused');
    next().answer('unavailable');
    next().answer('refused');
    assert.equal(await doubtful, 'unavailable');
  });

  it('of services that were replaced meanwhile counts for those who waited alone', async () => {
    const { verdicts, questions, next } = make();
    const before = verdicts.of('k', 'd');
    const old = next();
    verdicts.reconfigure({ ...SETTINGS, urls: ['v'] });
    const after = verdicts.of('k', 'd');
    old.answer('accepted');
    assert.equal(await before, 'accepted');
    assert.equal(questions.length, 1);
    const question = next();
    assert.equal(question.url, 'v');
    question.answer('refused');
    assert.equal(await after, 'refused');
    assert.equal(verdicts.of('k', 'd'), 'refused');
  });

  it('is not even asked for when too many are', () => {
    const { verdicts, questions } = make();
    for (let key = 0; key < 256; key += 1) void verdicts.of(`k${key}`, `d${key}`);
    assert.equal(verdicts.of('k256', 'd256'), 'unavailable');
    assert.equal(questions.length, 256);
  });

  it('is remembered for a bounded number of keys', async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const verdicts = new KeyVerdicts(
      SETTINGS,
      byServices(() => ((asked += 1), Promise.resolve('refused')), clock),
      clock,
    );
    for (let key = 0; key < 10_001; key += 1) await verdicts.of(`k${key}`, `d${key}`);
    assert.equal(verdicts.of('k10000', 'd10000'), 'refused');
    assert.equal(asked, 10_001);
    await verdicts.of('k0', 'd0');
    assert.equal(asked, 10_002);
  });
});

describe('the verdict on a key that several threads want', () => {
  /** Services, control, and request threads that ask it. */
  function router(count: number) {
    const clock = new VirtualClock();
    const threads = new RouterThreads(count);
    const asked: string[] = [];
    const judge = byServices((url, key) => {
      asked.push(`${key} at ${url}`);
      return Promise.resolve(key === 'good' ? 'accepted' : 'refused');
    }, clock);
    const control = new KeyVerdicts(SETTINGS, judge, clock);
    judgeForThreads(threads.channels, control);
    const ends = Array.from({ length: count }, (_, index) => threads.begin(index + 1));
    const verdicts = ends.map(({ channel }) => new KeyVerdicts(SETTINGS, byControl(channel, clock), clock));
    return { clock, threads, asked, control, verdicts };
  }

  it('is asked for once, and believed as long as the one who asked believes it', async () => {
    const { clock, threads, asked, verdicts } = router(2);
    const [one, other] = verdicts;
    const first = [one!.of('good', 'g'), other!.of('good', 'g'), other!.of('bad', 'b')];
    await threads.settle();
    const opinions = await Promise.all(first.map((opinion) => Promise.resolve(opinion)));
    assert.deepEqual(opinions, ['accepted', 'accepted', 'refused']);
    assert.deepEqual(asked, ['good at u', 'bad at u']);
    clock.advance(9_000);
    const second = one!.of('bad', 'b');
    await threads.settle();
    assert.equal(await second, 'refused');
    assert.equal(asked.length, 2);
    clock.advance(1_000);
    // What it was told after nine seconds holds for one more.
    const third = one!.of('bad', 'b');
    await threads.settle();
    assert.equal(await third, 'refused');
    assert.equal(asked.length, 3);
  });

  it('is of the services that the thread has, where control has others already', async () => {
    const { threads, asked, control, verdicts } = router(1);
    control.reconfigure({ ...SETTINGS, urls: ['v'] });
    const first = verdicts[0]!.of('good', 'g');
    await threads.settle();
    assert.equal(await first, 'accepted');
    void control.of('good', 'g');
    assert.deepEqual(asked, ['good at u', 'good at v']);
  });

  it('is not there where control does not answer', async () => {
    const { clock, threads, verdicts } = router(1);
    const hung = verdicts[0]!.of('good', 'g');
    clock.advance(6_000);
    assert.equal(await hung, 'unavailable');
    threads.end(1);
  });
});
