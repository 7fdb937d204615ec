import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from './nearest-name.ts';

const NAMES = ['meta-llama/Llama-3.1-70B', 'meta-llama/Llama-3.1-8B', 'Qwen/Qwen3-8B', 'gpt-4'];
const anything = (): boolean => true;

test('the name that was probably meant is found', () => {
  for (const [asked, meant] of [
    ['meta-llama/Llama-3.1-70', 'meta-llama/Llama-3.1-70B'],
    ['meta-llama/llama-3.1-70b', 'meta-llama/Llama-3.1-70B'],
    ['Qwen3-8B', 'Qwen/Qwen3-8B'],
    ['other/qwen3-8b', 'Qwen/Qwen3-8B'],
    ['gtp-4', 'gpt-4'],
  ] as const) {
    assert.equal(nearestName(asked, NAMES, anything), meant, asked);
  }
});

test('what is not near is not suggested', () => {
  for (const asked of ['', 'x', 'claude-3', 'gpt-4-turbo-preview', 'x'.repeat(100_000)]) {
    assert.equal(nearestName(asked, NAMES, anything), undefined, asked.slice(0, 30));
  }
  assert.equal(nearestName('70B', ['a/70B', 'b/70B'], anything), undefined, 'two are as near');
});

test('a name that may not be named gives its place to the next', () => {
  const names = ['team-a/model-1', 'team-b/model-1'];
  assert.equal(
    nearestName('team-a/model-1x', names, (name) => name !== 'team-a/model-1'),
    'team-b/model-1',
  );
  assert.equal(
    nearestName('team-a/model-1x', names, () => false),
    undefined,
  );
});

test('neither long names nor many make it slow', () => {
  const many = Array.from(
    { length: 20_000 },
    (_, index) => `organisation/model-${index}-${'y'.repeat(index % 90)}`,
  );
  let compared = 0;
  const before = process.cpuUsage().user;
  for (let turn = 0; turn < 20; turn += 1) {
    nearestName('organisation/mdoel-17-yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy', many, () => {
      compared += 1;
      return true;
    });
  }
  const perTurnMs = (process.cpuUsage().user - before) / 1000 / 20;
  assert.ok(compared > 0);
  assert.ok(perTurnMs < 50, `${perTurnMs} ms`);
});
