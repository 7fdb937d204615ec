import type { Clock } from '../../base/clock.ts';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import type { WorkerSpec } from '../../config/settings/settings.ts';
import { collect, type Collected } from '../collect.ts';
import type { WorkerClient } from '../client.ts';

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

export interface ProbeSettings {
  readonly healthPath: string;
  readonly timeoutMs: number;
  /** Whether the first question goes out on a connection that is made for it. */
  readonly anew?: boolean;
}

/** What one look at a worker found. `refused` = nothing listens there. */
export type ProbeResult =
  | {
      readonly ok: true;
      readonly models?: { readonly ids: ReadonlySet<string>; readonly cards: readonly JsonObject[] };
      readonly version?: string;
    }
  | {
      readonly ok: false;
      readonly reason: string;
      /** The router could not ask: that says nothing about the worker. */
      readonly unasked?: true;
    };

/** Health first, then what the worker serves. Models and version are best effort: not every engine offers them. */
export async function probeWorker(
  client: WorkerClient,
  spec: WorkerSpec,
  clock: Clock,
  settings: ProbeSettings,
): Promise<ProbeResult> {
  const get = (path: string, once = false): Promise<Collected> =>
    collect(
      client,
      {
        ...{ method: 'GET', path, headers: probeHeaders(spec), body: undefined, upgrade: undefined },
        ...{ reserved: true, once },
      },
      clock,
      {
        timeoutMs: settings.timeoutMs,
        maxBytes: MAX_ANSWER_BYTES,
      },
    );
  const health = await get(settings.healthPath, settings.anew);
  if (health.kind === 'failed') {
    const reason = `${health.code}: ${health.message}`;
    return health.code === 'out_of_sockets' ? { ok: false, reason, unasked: true } : { ok: false, reason };
  }
  if (health.status < 200 || health.status > 299) return { ok: false, reason: `status ${health.status}` };
  // One after the other, so that one connection is enough.
  const models = await get('/v1/models');
  const version = await get('/version');
  const cards = modelCards(jsonOf(models));
  const versionText = versionOf(version);
  return {
    ok: true,
    ...(cards ? { models: { ids: new Set(cards.map((card) => String(card['id']))), cards } } : {}),
    ...(versionText === undefined ? {} : { version: versionText }),
  };
}

export function probeHeaders(spec: WorkerSpec): string[] {
  const headers = ['user-agent', 'vllm-router'];
  if (spec.apiKey !== undefined) headers.push('authorization', `Bearer ${spec.apiKey}`);
  return headers;
}

/** The entries of what `/v1/models` answered; undefined where it is something else. */
export function modelCards(body: unknown): readonly JsonObject[] | undefined {
  const data = isObject(body) ? body['data'] : undefined;
  if (!Array.isArray(data)) return undefined;
  return (data as unknown[]).filter(
    (card): card is JsonObject => isObject(card) && typeof card['id'] === 'string',
  );
}

function versionOf(answer: Collected): string | undefined {
  const body = jsonOf(answer);
  return isObject(body) && typeof body['version'] === 'string' ? body['version'] : undefined;
}

function jsonOf(answer: Collected): unknown {
  if (answer.kind === 'failed' || answer.status !== 200) return undefined;
  try {
    return JSON.parse(answer.body.toString('utf8'));
  } catch {
    return undefined;
  }
}
