import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AnswerLengths } from './answer-lengths.ts';

describe('how long answers are', () => {
  it('is learnt from those that have ended, and bounded by what a request allows', () => {
    const answers = new AnswerLengths();
    assert.equal(answers.expected(0), 256);
    for (let i = 0; i < 1000; i++) answers.learn(40);
    assert.ok(Math.abs(answers.expected(4096) - 40) < 1);
    assert.equal(answers.expected(8), 8);
  });

  it('is not moved by what is no length', () => {
    const answers = new AnswerLengths();
    for (const odd of [NaN, -1, Infinity]) answers.learn(odd);
    assert.equal(answers.expected(0), 256);
  });
});
