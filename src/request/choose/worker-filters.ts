import { RouterError } from '../../base/errors.ts';
import type { WorkerFilters } from '../../workers/pool-view.ts';

/** Only workers of at least this priority. */
export const HEADER_WORKER_PRIORITY = 'x-worker-priority';
/** Only workers of at most this cost. */
export const HEADER_MAX_COST = 'x-max-cost';

/** What the client says about which workers it wants; undefined for nearly every request. Throws `invalid_request`. */
export function readWorkerFilters(headers: readonly string[]): WorkerFilters | undefined {
  let minPriority: number | undefined;
  let maxCost: number | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const { length } = name;
    // Looked at for every request: length and first letter tell nearly all other headers apart.
    if (length !== HEADER_WORKER_PRIORITY.length && length !== HEADER_MAX_COST.length) continue;
    if ((name.charCodeAt(0) | LOWER_CASE) !== LETTER_X) continue;
    const lower = name.toLowerCase();
    if (lower === HEADER_WORKER_PRIORITY)
      minPriority ??= numberIn(headers[i + 1], PRIORITY, lower, 'an integer from 0 to 4294967295');
    else if (lower === HEADER_MAX_COST)
      maxCost ??= numberIn(headers[i + 1], COST, lower, 'a number of at least 0, such as 1.5');
  }
  if (minPriority === undefined && maxCost === undefined) return undefined;
  return { minPriority: minPriority ?? -Infinity, maxCost: maxCost ?? Infinity };
}

const LETTER_X = 0x78;
const LOWER_CASE = 0x20;
const PRIORITY = /^\d{1,10}$/;
const COST = /^(\d{1,15}(\.\d{0,15})?|\.\d{1,15})$/;
const HIGHEST = 0xffff_ffff;

function numberIn(given: string | undefined, pattern: RegExp, header: string, expected: string): number {
  const text = given?.trim() ?? '';
  const value = pattern.test(text) ? Number(text) : NaN;
  if (value <= HIGHEST || (pattern === COST && !Number.isNaN(value))) return value;
  throw new RouterError(
    'invalid_request',
    `${header}: expected ${expected}, got ${JSON.stringify(text.slice(0, 64))}`,
  );
}
