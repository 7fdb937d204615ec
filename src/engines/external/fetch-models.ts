import type { Clock } from '../../base/clock.ts';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { WorkerClient } from '../client.ts';
import { collect } from '../collect.ts';
import { providerHeaders } from './provider-headers.ts';
import { providerPath } from './provider-path.ts';

const TIMEOUT_MS = 30_000;
const MOST_BYTES = 8 * 1024 * 1024;
const MOST_MODELS = 4096;
const LONGEST_NAME = 1024;

export type FetchedModels =
  | { readonly kind: 'models'; readonly names: ReadonlySet<string> }
  | { readonly kind: 'failed'; readonly reason: string };

/** Asks a provider for its list of models: the names that clients of the router have for them. Never rejects. */
export async function fetchModels(
  client: WorkerClient,
  { apiKey, baseUrl, traits: { external } }: WorkerSpec,
  requestId: string,
  clock: Clock,
): Promise<FetchedModels> {
  if (!external) return { kind: 'failed', reason: 'it is no external backend' };
  const answer = await collect(
    client,
    {
      method: 'GET',
      path: providerPath('/v1/models', baseUrl, external, '') ?? '/models',
      headers: providerHeaders({ headers: [], requestId, apiKey }, external),
      ...{ body: undefined, upgrade: undefined },
    },
    clock,
    { timeoutMs: TIMEOUT_MS, maxBytes: MOST_BYTES },
  );
  if (answer.kind === 'failed') return { kind: 'failed', reason: answer.message };
  if (answer.status !== 200) return { kind: 'failed', reason: `it answers ${answer.status}` };
  const names = namesIn(answer.body, external.modelPrefix);
  return names
    ? { kind: 'models', names }
    : { kind: 'failed', reason: 'what it answers is no list of models' };
}

/** Undefined for what is no list; of a very long one the beginning. */
function namesIn(body: Buffer, prefix: string): ReadonlySet<string> | undefined {
  const data = listIn(body);
  if (!data) return undefined;
  const ids = data
    .map((card: unknown) => (typeof card === 'object' && card !== null && 'id' in card ? card.id : undefined))
    .filter((id) => typeof id === 'string' && id !== '' && id.length <= LONGEST_NAME && id.startsWith(prefix))
    .map((id) => String(id).slice(prefix.length));
  return new Set(ids.slice(0, MOST_MODELS));
}

function listIn(body: Buffer): readonly unknown[] | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString());
    const data = typeof parsed === 'object' && parsed !== null && 'data' in parsed ? parsed.data : undefined;
    return Array.isArray(data) ? (data as readonly unknown[]) : undefined;
  } catch {
    return undefined;
  }
}
