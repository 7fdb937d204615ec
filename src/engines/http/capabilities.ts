import type { Clock } from '../../base/clock.ts';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { WorkerClient } from '../client.ts';
import { collect } from '../collect.ts';
import { probeHeaders } from './probe.ts';

/** Routes that a worker offers or not. Undefined: it gave no clear answer. */
export type Capabilities = Readonly<
  Record<'metrics' | 'tokenize' | 'responses' | 'messages' | 'reset_prefix_cache', boolean | undefined>
>;

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/**
 * Finds out what a worker offers by trying, without changing anything there: GET on a route that wants POST is
 * 405 where the route exists and 404 where it does not.
 */
export async function tryCapabilities(
  client: WorkerClient,
  spec: WorkerSpec,
  clock: Clock,
  timeoutMs: number,
): Promise<Capabilities> {
  const isThere = async (path: string): Promise<boolean | undefined> => {
    const request = {
      ...{ method: 'GET', path, headers: probeHeaders(spec), body: undefined, upgrade: undefined },
      reserved: true,
    };
    const answer = await collect(client, request, clock, { timeoutMs, maxBytes: MAX_ANSWER_BYTES });
    return answer.kind === 'response' ? isOffered(answer.status) : undefined;
  };
  // One after the other, so that they share a connection: whole fleets are registered at once.
  return {
    metrics: await isThere('/metrics'),
    tokenize: await isThere('/tokenize'),
    responses: await isThere('/v1/responses'),
    messages: await isThere('/v1/messages'),
    reset_prefix_cache: await isThere('/reset_prefix_cache'),
  };
}

function isOffered(status: number): boolean | undefined {
  if (status === 404 || status === 501) return false;
  if ((status >= 200 && status < 300) || status === 405 || status === 400 || status === 422) return true;
  return undefined;
}
