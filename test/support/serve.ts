import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start, type Program } from '../programs.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const LAUNCHER = fileURLToPath(new URL('../../bin/vllm-router.js', import.meta.url));

/** The router as a process of its own. */
export interface Served {
  readonly program: Program;
  /** Where it listens. */
  readonly url: string;
  readonly port: number;
}

/** For tests of what one heap takes, of which several threads have each a share, and of the order in which one thread does things. */
export const ONE_THREAD: readonly string[] = ['--threads', '1'];

const THREADS = process.env['TEST_THREADS'];

/**
 * Starts `vllm-router` with these flags on a free port, without metrics and warm-up; resolves when it listens. `nodeFlags` are those
 * of Node. With `TEST_THREADS=2` it has two threads, unless a test is about a number of them and says which.
 */
export async function serve(
  t: TestContext,
  flags: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<Served> {
  const threads = THREADS === undefined || flags.includes('--threads') ? [] : ['--threads', THREADS];
  const program = start(
    t,
    process.execPath,
    [
      ...nodeFlags,
      LAUNCHER,
      '--port',
      '0',
      '--no-metrics',
      '--no-warm-up',
      '--log-format',
      'json',
      ...threads,
      ...flags,
    ],
    { cwd: ROOT },
  );
  const [, url = '', port = ''] = await program.printed(/"url":"(https?:\/\/127\.0\.0\.1:(\d+))"/);
  return { program, url, port: Number(port) };
}
