/**
 * What a second thread could break is tested with two as well, and what a pair of workers has to do as one does through pairs:
 * the same files, other routers and fleets. `npm test -- --threads 2` and `npm test -- --shape pd` run all.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { start } from './programs.ts';
import { ROOT } from './support/serve.ts';

interface Variant {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  /** Of test/wire. */
  readonly files: readonly string[];
}

const VARIANTS: readonly Variant[] = [
  {
    name: 'with two threads',
    env: { TEST_THREADS: '2' },
    // Their tests are about what threads share, or hand to each other.
    files: [
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
    ],
  },
  {
    name: 'through pairs of workers',
    env: { TEST_SHAPE: 'pd' },
    // What a client is to see whoever serves it, and what becomes of those who fail.
    files: [
      'admission-queue',
      'answer-cache',
      'circuit-breaker',
      'client-disconnect',
      'decision-log',
      'fair-queue',
      'gateway',
      'graceful-shutdown',
      'hook-failures',
      'model-rules',
      'retry-budget',
      'retry-with-body',
      'tenant-limits',
      'tenant-usage',
      'worker-dies-in-prefill',
      'worker-dies-mid-stream',
      'worker-hangs',
    ],
  },
];

for (const { name, env, files } of VARIANTS)
  describe(name, () => {
    for (const file of files)
      it(`${file} is as without`, async (t) => {
        const args = ['--test', '--test-timeout=60000', `test/wire/${file}.test.ts`];
        const { status, stdout } = await start(t, process.execPath, args, {
          cwd: ROOT,
          // Every thread of every router loads all of it: half of that is taking the types out.
          env: { ...env, NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/vllm-router') },
        }).ended;
        assert.equal(status, 0, stdout.slice(-4000));
        assert.match(stdout, /^ℹ pass [1-9]/m);
      });
  });
