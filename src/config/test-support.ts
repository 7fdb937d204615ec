import assert from 'node:assert/strict';
import { problemLine } from './load/layer.ts';
import type { LoadResult } from './load/load.ts';

/** For tests: the good result, or a failure that shows the problems. */
export function good(result: LoadResult): LoadResult & { kind: 'ok' } {
  if (result.kind === 'error') assert.fail(result.problems.map(problemLine).join('\n'));
  if (result.kind !== 'ok') assert.fail(result.kind);
  return result;
}

/** For tests: the problems, one line each. */
export function lines(result: LoadResult): string[] {
  if (result.kind !== 'error') assert.fail(`expected problems, got ${result.kind}`);
  return result.problems.map(problemLine);
}
