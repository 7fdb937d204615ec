import { RouterError } from '../base/errors.ts';
import type { WorkerFilters } from '../workers/pool-view.ts';

/** Only workers of at least this priority. */
export const HEADER_WORKER_PRIORITY = 'x-worker-priority';
/** Only workers of at most this cost. */
export const HEADER_MAX_COST = 'x-max-cost';

/** What the client says about which workers it wants; undefined for nearly every request. Throws `invalid_request`. */
export function readWorkerFilters(headers: readonly string[]): WorkerFilters | undefined {
  let minPriority: number | undefined;
  let maxCost: number | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const length = headers[i]?.length;
    // Looked at for every request: two lengths tell nearly all other headers apart.
    if (length === HEADER_WORKER_PRIORITY.length && headers[i]?.toLowerCase() === HEADER_WORKER_PRIORITY)
      minPriority ??= numberIn(headers[i + 1], PRIORITY, HEADER_WORKER_PRIORITY, 'an integer from 0 to 4294967295');
    else if (length === HEADER_MAX_COST.length && headers[i]?.toLowerCase() === HEADER_MAX_COST)
      maxCost ??= numberIn(headers[i + 1], COST, HEADER_MAX_COST, 'a number of at least 0, such as 1.5');
  }
  if (minPriority === undefined && maxCost === undefined) return undefined;
  return { minPriority: minPriority ?? -Infinity, maxCost: maxCost ?? Infinity };
}

const PRIORITY = /^\d{1,10}$/;
const COST = /^(\d{1,15}(\.\d{0,15})?|\.\d{1,15})$/;
const HIGHEST = 0xffff_ffff;

function numberIn(given: string | undefined, pattern: RegExp, header: string, expected: string): number {
  const text = given?.trim() ?? '';
  const value = pattern.test(text) ? Number(text) : NaN;
  if (value <= HIGHEST || (pattern === COST && !Number.isNaN(value))) return value;
  throw new RouterError('invalid_request', `${header}: expected ${expected}, got ${JSON.stringify(text.slice(0, 64))}`);
}
