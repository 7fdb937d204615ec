import { isObject } from '../../api/prompt-sink.ts';
import { VERSION } from '../../config/version.ts';
import { externalCards } from '../understand/external-models.ts';
import { aliasesFor } from '../understand/aliases.ts';
import { modelNotFound } from '../understand/model-not-found.ts';
import { collect } from '../../engines/collect.ts';
import { joinedHeader } from '../../http/headers.ts';
import { healthRequest, leastRequest } from '../../engines/http/one-token.ts';
import { servesAlone } from '../../engines/prefill-decode/index.ts';
import { RouterError } from '../../base/errors.ts';
import type { FleetRole } from '../../config/settings/settings.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Arrival } from './arrival.ts';
import type { Caller } from './caller.ts';
import type { LocalName } from './endpoints.ts';
import { homePage } from './home-page.ts';
import { reply, type LocalAnswer } from '../answer/reply.ts';
import type { Runtime } from '../runtime.ts';

/** Answers what the router knows by itself. False = not one of those endpoints. */
export function answerLocally(rt: Runtime, arrival: Arrival, caller: Caller): false | Promise<true> {
  const { local } = arrival.endpoint;
  return local !== undefined && answer(rt, arrival, caller, local);
}

async function answer(rt: Runtime, arrival: Arrival, caller: Caller, local: LocalName): Promise<true> {
  await reply(rt, arrival, await ANSWERS[local](rt, caller, arrival));
  return true;
}

const ANSWERS: Readonly<
  Record<LocalName, (rt: Runtime, caller: Caller, arrival: Arrival) => LocalAnswer | Promise<LocalAnswer>>
> = {
  home: (_rt, _caller, { req }) => homePage(joinedHeader(req.rawHeaders, 'accept')),
  liveness: () => text(200, 'OK'),
  readiness,
  health,
  health_generate: healthGenerate,
  models,
  model,
  version,
  server_info: serverInfo,
  model_info: modelInfo,
};

/** Ready = at least one worker can be used, all threads turn, and the router is not about to stop. */
function readiness(rt: Runtime): LocalAnswer {
  const workers = serving(rt);
  const healthy = workers.filter(isServing).length;
  const pools = stagePools(rt);
  const total = { total_workers: workers.length, ...pools };
  const reason = rt.stopping()
    ? 'shutting down'
    : rt.threadMissing.isUp
      ? 'a thread does not respond'
      : missingWorkers(healthy, pools);
  if (reason !== undefined) return json(503, { status: 'not_ready', reason, ...total });
  return json(200, { status: 'ready', healthy_workers: healthy, ...total });
}

/** Whom it is about: providers only where there is nobody else, since nothing goes there by itself. */
function serving({ registry: { fleet, externals }, settings }: Runtime): readonly Worker[] {
  return fleet.length === 0 && !settings.gateway ? externals : fleet;
}

interface PoolCount {
  readonly healthy: number;
  readonly total: number;
}

/** By type, where requests may be split. */
type StagePools = Readonly<Record<FleetRole, PoolCount>>;

function stagePools({ registry: { fleet: workers } }: Runtime): StagePools | undefined {
  if (workers.every(({ traits }) => traits.role === 'regular')) return undefined;
  const counts = {
    prefill: { healthy: 0, total: 0 },
    decode: { healthy: 0, total: 0 },
    regular: { healthy: 0, total: 0 },
  };
  for (const worker of workers) {
    const { role } = worker.traits;
    if (role === 'external') continue;
    const count = counts[role];
    count.total += 1;
    if (isServing(worker)) count.healthy += 1;
  }
  return counts;
}

/** A regular worker serves alone, else one of each stage is needed. */
function missingWorkers(healthy: number, pools: StagePools | undefined): string | undefined {
  if (!pools) return healthy > 0 ? undefined : 'no healthy workers available';
  if (pools.regular.healthy > 0) return undefined;
  const missing = (['prefill', 'decode'] as const).filter((stage) => pools[stage].healthy === 0);
  return missing.length === 0
    ? undefined
    : `no healthy ${missing.join(' and no healthy ')} workers available`;
}

/** Healthy = there are workers and none is unhealthy or has stalled. */
function health(rt: Runtime): LocalAnswer {
  const workers = serving(rt);
  const unhealthy = workers
    .filter(({ health: { healthy }, progress }) => !healthy || progress.state === 'stalled')
    .map((worker) => worker.id);
  if (workers.length === 0) return text(503, 'No workers registered');
  if (unhealthy.length === 0) return text(200, 'All servers healthy');
  return text(
    503,
    rt.settings.exposeRoutingHeaders
      ? `Unhealthy servers: ${JSON.stringify(unhealthy)}`
      : `${unhealthy.length} unhealthy servers`,
  );
}

/** Has one worker generate one token: the only proof that a model answers. Of workers that serve nothing but halves it is their health. */
async function healthGenerate(rt: Runtime): Promise<LocalAnswer> {
  // One token of a provider's costs money.
  if (rt.registry.fleet.length === 0 && rt.registry.externals.length > 0) return health(rt);
  const able = rt.registry.fleet.filter((one) => isServing(one) && one.traits.role !== 'prefill');
  const worker = able[Math.floor(rt.random() * able.length)];
  if (!worker) return text(503, 'No healthy worker');
  const [model] = worker.models;
  const request = servesAlone(rt.settings.pd.connector, worker)
    ? leastRequest(worker.spec, { route: '/v1/completions', model: model ?? '' })
    : healthRequest(worker.spec, rt.settings.health.path);
  const answer = await collect(rt.clientOf(worker), request, rt.clock, {
    timeoutMs: rt.settings.health.timeoutMs,
    maxBytes: 1024 * 1024,
  });
  if (answer.kind === 'response' && answer.status === 200) return text(200, 'OK');
  return text(
    503,
    answer.kind === 'response' ? `a worker answered ${answer.status}` : `a worker failed: ${answer.code}`,
  );
}

/** The union over workers, as they were last seen, and other names for them: what the caller may use of it. */
function models(rt: Runtime, caller: Caller): LocalAnswer {
  return json(200, { object: 'list', data: cardsFor(rt, caller) });
}

/** One entry of that list: what stands in none does not exist, whether nobody has it or the caller may not use it. */
function model(rt: Runtime, caller: Caller, { match }: Arrival): LocalAnswer {
  const id = match.kind === 'endpoint' ? decoded(match.id ?? '') : '';
  const card = cardsFor(rt, caller).find((one) => cardId(one) === id);
  if (!card) throw modelNotFound(rt, caller, id);
  return json(200, card);
}

function cardsFor(rt: Runtime, caller: Caller): readonly unknown[] {
  const known = rt.registry.modelCards();
  // A gateway may have no models at some time, and regularly begins so.
  const outside = externalCards(rt, caller);
  if (known.length === 0 && outside.length === 0 && !rt.settings.gateway && !rt.settings.externalOnly)
    throw new RouterError('no_worker_available', 'no worker has told its models yet');
  const listed = known.filter((card) => caller.mayUse(cardId(card)));
  const own = [...listed, ...aliasesFor(rt, caller).values()];
  const names = new Set(own.map(cardId));
  return [...own, ...outside.filter((card) => !names.has(cardId(card)))];
}

/** What a normalised path still has escaped. */
function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function cardId(card: unknown): string {
  const id = isObject(card) ? card['id'] : undefined;
  return typeof id === 'string' ? id : '';
}

function version(rt: Runtime): LocalAnswer {
  const versions = [
    ...new Set(
      rt.registry.fleet.map((worker) => rt.versionOf(worker)).filter((known) => known !== undefined),
    ),
  ];
  return json(200, { version: versions.length === 1 ? versions[0] : versions, router_version: VERSION });
}

function serverInfo(rt: Runtime, caller: Caller): LocalAnswer {
  const show = rt.settings.exposeRoutingHeaders;
  const now = rt.clock.now();
  return json(200, {
    router_version: VERSION,
    router_type: rt.settings.externalOnly ? 'openai' : stagePools(rt) ? 'prefill_decode' : 'regular',
    policy: rt.policies.default.name,
    workers: rt.registry.workers.map((worker) => ({
      ...(show ? { url: worker.id } : {}),
      worker_type: worker.traits.role,
      is_healthy: worker.health.healthy,
      // Why the last check failed; it may name the address.
      ...(show && worker.health.reason !== undefined ? { reason: worker.health.reason } : {}),
      circuit_breaker: worker.breaker.state(now),
      progress: worker.progress.state,
      engine: worker.engine,
      version: rt.versionOf(worker) ?? null,
      models: [...worker.models].filter((model) => caller.mayUse(model)),
      load: rt.ledger.running(worker.slot),
    })),
  });
}

/** One entry per model; `model_path` is the first one's root, where older clients look. */
function modelInfo(rt: Runtime, caller: Caller): LocalAnswer {
  const known = rt.registry
    .modelCards()
    .filter(isObject)
    .filter((card) => caller.mayUse(cardId(card)));
  const first = known[0];
  return json(200, {
    model_path: first?.['root'] ?? first?.['id'] ?? null,
    models: known.map((card) => ({
      id: card['id'],
      root: card['root'] ?? null,
      max_model_len: card['max_model_len'] ?? null,
      workers: workersFor(rt, String(card['id'])),
    })),
  });
}

/** Of all types. */
function workersFor({ registry }: Runtime, model: string): number {
  const whole = registry.membersFor(model).members.length;
  return whole + (registry.hasPrefill(model) ? registry.membersFor(model, 'prefill').members.length : 0);
}

function isServing(worker: Worker): boolean {
  const { health, draining, engine, progress } = worker;
  return health.healthy && !draining && engine === 'running' && progress.state !== 'stalled';
}

function text(status: number, body: string): LocalAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

function json(status: number, value: unknown): LocalAnswer {
  return { status, contentType: 'application/json', body: JSON.stringify(value) };
}
