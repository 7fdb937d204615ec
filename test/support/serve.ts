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

/**
 * Starts `vllm-router` with these flags on a free port, without metrics and warm-up; resolves when it listens. `nodeFlags` are those
 * of Node.
 */
export async function serve(
  t: TestContext,
  flags: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<Served> {
  const program = start(
    t,
    process.execPath,
    [...nodeFlags, LAUNCHER, '--port', '0', '--no-metrics', '--no-warm-up', '--log-format', 'json', ...flags],
    { cwd: ROOT },
  );
  const [, url = '', port = ''] = await program.printed(/"url":"(https?:\/\/127\.0\.0\.1:(\d+))"/);
  return { program, url, port: Number(port) };
}
