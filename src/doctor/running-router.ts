import { isObject, type JsonObject } from '../api/prompt-sink.ts';
import { collect, type Collected } from '../engines/collect.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import type { Check } from './check.ts';
import type { DoctorDeps } from './examine-worker.ts';
import { fail, ok, quote, quoteAll, skipped, warn, type Finding } from './finding.ts';

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What a running router says of its workers. */
export interface RunningRouter {
  readonly url: string;
  /** By id, as `GET /workers` shows them. */
  readonly workers: ReadonlyMap<string, JsonObject>;
  /** As `GET /admin/config` shows it; undefined where it does not. */
  readonly config: JsonObject | undefined;
}

/** Asks for the workers, and what they are held against; a text says why nothing came. */
export async function askRouter(
  url: string,
  adminKey: string | undefined,
  { settings, clock, timeoutMs }: Pick<DoctorDeps, 'settings' | 'clock' | 'timeoutMs'>,
): Promise<RunningRouter | string> {
  const { timeouts, listen, workerTls } = settings;
  const pool = {
    connectMs: timeouts.connectMs,
    maxHeaderSize: listen.maxHeaderSize,
    tls: workerTls.get(url),
  };
  const client = new HttpWorkerClient({ baseUrl: url }, pool, { clock });
  const headers = adminKey === undefined ? [] : ['x-admin-key', adminKey];
  const get = (path: string): Promise<Collected> =>
    collect(client, { method: 'GET', path, headers, body: undefined, upgrade: undefined }, clock, {
      ...{ timeoutMs, maxBytes: MAX_ANSWER_BYTES },
    });
  try {
    const answer = await get('/workers');
    if (answer.kind === 'failed') return `${answer.code}: ${quote(answer.message)}`;
    if (answer.status === 401 || answer.status === 403)
      return `status ${String(answer.status)}: give its admin key with --admin-api-key or VLLM_ROUTER_ADMIN_API_KEY`;
    if (answer.status !== 200) return `GET /workers: status ${String(answer.status)}`;
    const workers = workersIn(answer.body);
    if (!workers) return 'GET /workers: no answer of this router';
    const shown = await get('/admin/config');
    const config = shown.kind === 'response' && shown.status === 200 ? jsonOf(shown.body) : undefined;
    return { url, workers, config: isObject(config) ? config : undefined };
  } finally {
    client.close();
  }
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function workersIn(body: Buffer): ReadonlyMap<string, JsonObject> | undefined {
  const value = jsonOf(body);
  const list = isObject(value) ? value['workers'] : undefined;
  if (!Array.isArray(list)) return undefined;
  const views: readonly unknown[] = list;
  return new Map(
    views.filter(isObject).flatMap((view) => (typeof view['id'] === 'string' ? [[view['id'], view]] : [])),
  );
}

/** What the router says of each worker stands first among its checks. */
export function routerChecks({ workers }: RunningRouter): readonly Check[] {
  return [
    {
      ...{ name: 'router', about: 'What the running router says of the worker.', needs: [] },
      run: ({ spec }) => Promise.resolve(standing(workers.get(spec.id))),
    },
    {
      ...{ name: 'proof', about: 'Its verdict on what it knows of the cache, by past answers.', needs: [] },
      run: ({ spec }) => Promise.resolve(judged(workers.get(spec.id))),
    },
    {
      ...{
        name: 'local_tokens',
        about: "How the router's tokenizer compares, as the router says.",
        needs: [],
      },
      run: ({ spec }) => Promise.resolve(compared(workers.get(spec.id))),
    },
  ];
}

/** A finding with its numbers, or a remedy. */
const LONGEST_TEXT = 500;

/** Verdicts that do not make what is known of the cache wrong. */
const LESSER: readonly unknown[] = ['cached_tokens_not_reported', 'cache_thrashing'];

function judged(view: JsonObject | undefined): Finding {
  const proof = view?.['cache_proof'];
  if (!isObject(proof)) return skipped('the router has judged nothing of it');
  const { verdict } = proof;
  const finding = wordOf(proof['finding'], 'nothing more is said');
  if (verdict === 'ok') return ok(finding);
  if (verdict === 'unknown') return skipped(finding);
  const name = wordOf(verdict, 'another verdict');
  const remedy = wordOf(proof['remedy'], 'See its cache_proof in GET /workers.');
  return LESSER.includes(verdict) ? warn(`${name}: ${finding}`, remedy) : fail(`${name}: ${finding}`, remedy);
}

/** The worst of what its models' tokenizers came to. */
function compared(view: JsonObject | undefined): Finding {
  const verdicts = Array.isArray(view?.['tokenizers']) ? (view['tokenizers'] as readonly unknown[]) : [];
  const all = verdicts.filter(isObject);
  const wrong = all.find(({ local }) => local === 'differs' || local === 'unreadable');
  if (wrong)
    return fail(
      `${wordOf(wrong['model'], 'a model')}: ${wordOf(wrong['local'], '')}: ${wordOf(wrong['reason'], 'nothing more is said')}`,
      'The router asks the worker for the tokens of its prompts. Give it the directory of the model that the worker serves, with its chat template.',
    );
  const open = all.find(({ local }) => local !== 'proven');
  if (open)
    return skipped(`${wordOf(open['model'], 'a model')}: not compared: ${wordOf(open['reason'], 'not yet')}`);
  if (all.length === 0) return skipped('it has none for this worker');
  return ok(
    `the router has proved it equal for ${quoteAll(all.map(({ model }) => wordOf(model, 'a model')))}`,
  );
}

function standing(view: JsonObject | undefined): Finding {
  if (!view) return skipped('the router does not have it any more');
  const health = isObject(view['health']) ? view['health'] : {};
  const progress = isObject(view['progress']) ? view['progress'] : {};
  if (view['is_healthy'] !== true)
    return fail(
      `unhealthy: ${wordOf(health['reason'], 'not checked yet')}`,
      'It gets no requests. The checks below say more.',
    );
  const breaker = wordOf(view['circuit_breaker'], 'closed');
  if (breaker !== 'closed')
    return warn(
      `its circuit is ${breaker}`,
      'Its latest requests failed: /admin/decisions?worker=... shows them.',
    );
  if (view['draining'] === true) return warn('it is being drained', 'It gets no new requests.');
  const state = wordOf(progress['state'], 'moving');
  if (state !== 'moving')
    return warn(`it is ${state}`, 'It was asked and says nothing: see whether its engine hangs.');
  return ok(`healthy, its circuit is closed, ${wordOf(view['requests_sent'], 'no')} requests were sent`);
}

function wordOf(value: unknown, otherwise: string): string {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? quote(value, LONGEST_TEXT) : otherwise;
}
