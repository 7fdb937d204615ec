import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JoinedMemory, ownMemory, SharedMemory } from '../base/thread-memory.ts';
import { AnsweredPrompts, keyOf, type CutChain } from './answered-prompts.ts';
import { PromptHasher } from './prompt-hash.ts';

function chainOf(messages: readonly string[]): CutChain {
  const hasher = new PromptHasher('m');
  for (const [index, text] of messages.entries()) {
    hasher.role(index % 2 === 0 ? 'user' : 'assistant');
    hasher.text(text);
  }
  return { blocks: hasher.finish({ charsPerToken: 4 }), ends: hasher.ends() };
}

const QUESTION = 'What is a prefix cache, and who would want one? '.repeat(5);
const ANSWER = 'One that keeps the keys and values of beginnings. '.repeat(4);
const ANSWERED = { promptTokens: 61, answerTokens: 40, slot: 3 };

function noted(prompts: AnsweredPrompts, messages: readonly string[], answered = ANSWERED): void {
  const key = keyOf(chainOf(messages));
  assert.ok(key);
  prompts.note(key, answered);
}

describe('a prompt that was answered', () => {
  it('is the beginning of those that go on from it, and of itself, of no other one', () => {
    const prompts = new AnsweredPrompts(ownMemory());
    noted(prompts, [QUESTION]);
    for (const more of [[], [ANSWER], [ANSWER, 'And then?'], [ANSWER, 'a', 'b', 'c', 'd']]) {
      const found = prompts.beginningOf(chainOf([QUESTION, ...more]), 'm');
      assert.deepEqual([found?.tokens, found?.answer], [61, { slot: 3, tokens: 40 }], String(more.length));
    }
    for (const other of [[`${QUESTION}x`, ANSWER], [`x${QUESTION}`, ANSWER], [QUESTION.slice(1)], ['short']])
      assert.equal(prompts.beginningOf(chainOf(other), 'm'), undefined);
  });

  it('gives way to a longer one', () => {
    const prompts = new AnsweredPrompts(ownMemory());
    noted(prompts, [QUESTION]);
    noted(prompts, [QUESTION, ANSWER, 'And then?'], { promptTokens: 120, answerTokens: 9, slot: 1 });
    const chain = chainOf([QUESTION, ANSWER, 'And then?', 'Nothing.', 'Really?']);
    assert.equal(prompts.beginningOf(chain, 'm')?.tokens, 120);
    assert.equal(prompts.beginningOf(chainOf([QUESTION, ANSWER, 'No.']), 'm')?.tokens, 61);
  });

  it('is not remembered where it is shorter than a block, or its numbers cannot be', () => {
    assert.equal(keyOf(chainOf(['hi'])), undefined);
    const prompts = new AnsweredPrompts(ownMemory());
    noted(prompts, [QUESTION], { ...ANSWERED, promptTokens: 2 ** 40 });
    assert.equal(prompts.beginningOf(chainOf([QUESTION]), 'm'), undefined);
  });

  it('is known in every thread at once', () => {
    const control = new SharedMemory(2);
    new AnsweredPrompts(control);
    const [one, other] = [1, 2].map(
      (self) => new AnsweredPrompts(new JoinedMemory(control.regions, { rows: control.rows, self })),
    );
    noted(one!, [QUESTION]);
    assert.equal(other!.beginningOf(chainOf([QUESTION]), 'm')?.tokens, 61);
  });

  it('stays until another one takes its place, however many there are', () => {
    const prompts = new AnsweredPrompts(ownMemory());
    for (let at = 0; at < 50_000; at++) noted(prompts, [`${at} ${QUESTION}`]);
    const found = (from: number): number => {
      let count = 0;
      for (let at = from; at < from + 1000; at++)
        if (prompts.beginningOf(chainOf([`${at} ${QUESTION}`]), 'm')) count++;
      return count;
    };
    assert.ok(found(49_000) > 900, String(found(49_000)));
    assert.ok(found(0) < 200, String(found(0)));
  });
});

describe('an answer', () => {
  it('is expected to come again until it is found not to, for each model by itself', () => {
    const prompts = new AnsweredPrompts(ownMemory());
    noted(prompts, [QUESTION]);
    const chain = chainOf([QUESTION, ANSWER]);
    const expects = (model: string) => prompts.beginningOf(chain, model)?.expectsAnswer;
    assert.equal(expects('m'), true);
    prompts.learnReturn('m', false);
    assert.deepEqual([expects('m'), expects('other')], [false, true]);
    for (let turn = 0; turn < 3; turn++) prompts.learnReturn('m', true);
    assert.equal(expects('m'), true);
  });
});
