import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { KeyVerdicts, type Opinion } from './key-verdicts.ts';

const SETTINGS = { urls: ['u'], ttlMs: 60_000, refusalTtlMs: 10_000, timeoutMs: 5_000 };

/** Services that answer when the test says so. */
function make(urls: readonly string[] = ['u']) {
  const clock = new VirtualClock();
  const questions: { key: string; url: string; answer: (opinion: Opinion) => void }[] = [];
  const verdicts = new KeyVerdicts(
    { ...SETTINGS, urls },
    (url, key) => new Promise((answer) => questions.push({ url, key, answer })),
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
    const verdicts = new KeyVerdicts(SETTINGS, () => ((asked += 1), Promise.resolve('refused')), clock);
    for (let key = 0; key < 10_001; key += 1) await verdicts.of(`k${key}`, `d${key}`);
    assert.equal(verdicts.of('k10000', 'd10000'), 'refused');
    assert.equal(asked, 10_001);
    await verdicts.of('k0', 'd0');
    assert.equal(asked, 10_002);
  });
});
