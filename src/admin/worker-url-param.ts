import { parseWorkerUrl, workerId, type ParsedWorkerUrl } from '../config/schema/worker-url.ts';
import { AdminError } from './admin-error.ts';
import { invalid } from './validate.ts';

/** The worker's name as the registry has it. Throws INVALID_REQUEST for what is no worker URL. */
export function targetOf(url: string, field: string): string {
  const parsed = readAny(url);
  if (parsed.kind === 'bad') throw invalid([{ path: field, message: `expected ${parsed.expected}` }]);
  return workerId(parsed.address);
}

/** The same, or undefined for what is no worker URL. */
export function targetIn(url: string): string | undefined {
  const parsed = readAny(url);
  return parsed.kind === 'ok' ? workerId(parsed.address) : undefined;
}

/** The same for a URL in a path, where what cannot be a worker's URL is one that is not there. */
export function targetOfPath(url: string): string {
  const target = targetIn(url);
  if (target === undefined) throw notFound(url);
  return target;
}

export function notFound(url: string): AdminError {
  return new AdminError('WORKER_NOT_FOUND', `Worker ${url} not found`);
}

/** Of a server of one's own, else of a provider, whose URL may end in /v1. */
function readAny(url: string): ParsedWorkerUrl {
  const parsed = parseWorkerUrl(url);
  if (parsed.kind === 'ok') return parsed;
  const external = parseWorkerUrl(url, 'external');
  return external.kind === 'ok' ? external : parsed;
}
