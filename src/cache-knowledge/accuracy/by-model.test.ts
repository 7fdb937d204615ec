import assert from 'node:assert/strict';
import { it } from 'node:test';
import { accuracyByModel } from './by-model.ts';

const series = (value: number, ...labelValues: readonly string[]) => ({ labelValues, value });

it('sums are of all workers by model and source, and of the models that are asked most', () => {
  const many = Array.from({ length: 150 }, (_, at) => series(at, 'a', `m${at}`, 'events', 'prompt'));
  const byModel = accuracyByModel([
    ...many,
    series(1000, 'a', 'm', 'events', 'prompt'),
    series(500, 'b', 'm', 'events', 'prompt'),
    series(70, 'b', 'm', 'events', 'over'),
    series(9, 'b', 'm', 'predicted', 'actual'),
    series(9, 'b', 'm', 'another', 'actual'),
    series(9, 'b', 'm', 'events', 'toString'),
  ]);
  const none = { prompt: 0, predicted: 0, actual: 0, over: 0, under: 0 };
  assert.deepEqual(byModel.get('m'), {
    events: { ...none, prompt: 1500, over: 70 },
    predicted: { ...none, actual: 9 },
  });
  assert.deepEqual([byModel.size, byModel.has('m149'), byModel.has('m10')], [100, true, false]);
});
