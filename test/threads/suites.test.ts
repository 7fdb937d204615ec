/** What a second thread could break is tested with two as well: the same files, other routers. `npm test -- --threads 2` runs all. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { start } from '../programs.ts';
import { ROOT } from '../support/serve.ts';

/** Files whose tests are about what threads share, or hand to each other. */
const FILES = [
  'admin-drain',
  'admin-inspect',
  'admin-workers',
  'admission-queue',
  'client-disconnect',
  'client-keys',
  'decision-log',
  'fair-queue',
  'half-open-stampede',
  'inflight-body-bytes',
  'reload',
  'retry-budget',
  'stored-responses',
  'tenant-limits',
];

describe('with two threads', () => {
  for (const file of FILES)
    it(`${file} is as with one`, async (t) => {
      const args = ['--test', '--test-timeout=60000', `test/wire/${file}.test.ts`];
      const { status, stdout } = await start(t, process.execPath, args, {
        cwd: ROOT,
        // Every thread of every router loads all of it: half of that is taking the types out.
        env: { TEST_THREADS: '2', NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/vllm-router') },
      }).ended;
      assert.equal(status, 0, stdout.slice(-4000));
      assert.match(stdout, /^ℹ pass [1-9]/m);
    });
});
