import assert from 'node:assert/strict';
import { test } from 'node:test';
import { workerLabels } from './worker-labels.ts';

test('short addresses lose nothing but the scheme that all have', () => {
  assert.deepEqual(workerLabels(['http://gpu1:8000', 'http://gpu2:8001']), ['gpu1:8000', 'gpu2:8001']);
  assert.deepEqual(workerLabels(['https://gpu1', 'http://gpu2']), ['https://gpu1', 'http://gpu2']);
  assert.deepEqual(workerLabels([]), []);
});

test('long ones lose what all end with, and then their beginnings', () => {
  const at = (host: string): string => `http://${host}.inference.svc.cluster.local:8000`;
  assert.deepEqual(workerLabels([at('decode-0'), at('decode-1')]), ['decode-0', 'decode-1']);
  assert.deepEqual(workerLabels([at('a-very-long-name-of-a-pool-17'), at('b')]), [
    '…ong-name-of-a-pool-17',
    'b',
  ]);
});

test('one long address keeps its end', () => {
  const [label = ''] = workerLabels([`http://${'x'.repeat(60)}:8000`]);
  assert.equal(label, `…${'x'.repeat(16)}:8000`);
});
