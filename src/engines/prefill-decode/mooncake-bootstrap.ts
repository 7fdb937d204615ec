import { isObject } from '../../api/prompt-sink.ts';
import type { Clock } from '../../base/clock.ts';
import { collect, type Collected } from '../collect.ts';
import type { PoolSettings } from '../http/connection-pool.ts';
import { HttpWorkerClient } from '../http/http-client.ts';
import type { OutboundSockets } from '../http/outbound-sockets.ts';
import type { Peer } from './connector.ts';
import { bootstrapAddress } from './peer-address.ts';

const MOST_BYTES = 256 * 1024;
/** Ranks of one server, and characters of an id, beyond which an answer is not one of vLLM's. */
const MOST_RANKS = 1024;
const LONGEST_ID = 512;
const TIMEOUT_MS = 5000;
const PATH = '/query';
const HEADERS = ['user-agent', 'vllm-router', 'accept', 'application/json', 'accept-encoding', 'identity'];

/** The ids of engines by data-parallel rank. */
export type EngineIds = Readonly<Record<string, string>>;

export type BootstrapAnswer =
  | { readonly kind: 'told'; readonly engineIds: EngineIds }
  /** Nobody answered, or its engines have not registered there yet. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** What answers is no bootstrap server. */
  | { readonly kind: 'malformed'; readonly reason: string };

/**
 * Asks the bootstrap server of a prefill worker's Mooncake which engines it has. It is on the worker's own host, and gets no key: it
 * checks none.
 */
export async function askBootstrap(
  worker: Peer,
  pool: PoolSettings,
  deps: { readonly clock: Clock; readonly sockets: OutboundSockets },
): Promise<BootstrapAnswer> {
  const client = new HttpWorkerClient({ baseUrl: bootstrapAddress(worker) }, pool, deps);
  try {
    const request = { method: 'GET', path: PATH, headers: HEADERS, body: undefined, upgrade: undefined };
    return readBootstrapAnswer(
      await collect(client, { ...request, reserved: true }, deps.clock, {
        timeoutMs: TIMEOUT_MS,
        maxBytes: MOST_BYTES,
      }),
    );
  } finally {
    client.close();
  }
}

/** `{"<rank>": {"engine_id": "...", "worker_addr": {...}}, ...}`: vLLM's `mooncake_utils.py`. */
export function readBootstrapAnswer(answer: Collected): BootstrapAnswer {
  if (answer.kind === 'failed') return { kind: 'failed', reason: `${answer.code}: ${answer.message}` };
  if (answer.status !== 200) return { kind: 'failed', reason: `status ${answer.status}` };
  const body = parsed(answer.body);
  if (!isObject(body)) return { kind: 'malformed', reason: 'not a JSON object' };
  const entries = Object.entries(body);
  if (entries.length === 0) return { kind: 'failed', reason: 'no engine has registered there yet' };
  if (entries.length > MOST_RANKS) return { kind: 'malformed', reason: `more than ${MOST_RANKS} ranks` };
  const ids: [string, string][] = [];
  for (const [rank, entry] of entries) {
    const id = isObject(entry) ? entry['engine_id'] : undefined;
    if (!/^\d{1,10}$/.test(rank) || typeof id !== 'string' || id === '' || id.length > LONGEST_ID)
      return { kind: 'malformed', reason: 'a rank without the id of an engine' };
    ids.push([rank, id]);
  }
  return { kind: 'told', engineIds: Object.fromEntries(ids) };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
