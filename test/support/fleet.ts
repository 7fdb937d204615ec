import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { CAUGHT_UP } from '../../src/admin/remote-messages.ts';
import type { App, AppDeps } from '../../src/app.ts';
import type { Random } from '../../src/base/random.ts';
import type { VirtualClock } from '../../src/base/virtual-clock.ts';
import { configFromOptions } from '../../src/config/load/load.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { Settings } from '../../src/config/settings/settings.ts';
import type { RequestThreads } from '../../src/threads/request-threads.ts';
import { openApp } from '../../src/threads/open-app.ts';
import { ownPlugins } from '../../src/plugins/own-plugins.ts';
import { silentLog, type Log } from '../../src/observe/log.ts';
import type { Decision } from '../../src/request/record/decision.ts';
import {
  startSimLmcache,
  type SimLmcache,
  type SimLmcacheOptions,
} from '../../src/sim/lmcache/lmcache-server.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import { startSimWorker, type SimWorker } from '../../src/sim/server/server.ts';
import { inShape, isPrefill, pairOptions, registered } from './fleet-shape.ts';

export interface FleetOptions {
  /** One simulated worker per entry; default two plain ones. */
  readonly workers?: readonly SimOptions[];
  /** Why the test is about workers that serve whole requests, where it is: they do so, whatever `TEST_SHAPE` says. */
  readonly onlyRegular?: string;
  /** Worker URLs beside the simulated ones. */
  readonly extraWorkerUrls?: readonly string[];
  readonly router?: Omit<RouterOptions, 'workerUrls'>;
  /** A simulated controller of LMCache, which the router is told of; the workers have 8,192 blocks on the CPU then. */
  readonly lmcache?: SimLmcacheOptions;
  readonly log?: Log;
  /** The router's clock and chance, where a test turns them itself; the workers keep real time. */
  readonly clock?: VirtualClock;
  readonly random?: Random;
  /** How many connections the router is to think it may have. */
  readonly descriptors?: AppDeps['descriptors'];
  /** As if it had been started from a file, which always says the same. */
  readonly reloadable?: boolean;
  /** In the place of `router`: the configuration, and where it is read again. */
  readonly load?: (workers: readonly SimWorker[]) => Extract<
    ReturnType<typeof configFromOptions>,
    { kind: 'ok' }
  > & {
    readonly source?: AppDeps['source'];
  };
  /** Why the test is about one thread, where it is: it has only one then, however many `TEST_THREADS` says. */
  readonly oneThread?: string;
  /** Wait until every simulated worker is healthy; default true. */
  readonly waitForWorkers?: boolean;
}

/** As for `Array.prototype.find`. */
type Match = (decision: Decision, index: number, all: readonly Decision[]) => boolean;

/** A router in front of simulated workers, on free ports. */
export interface Fleet extends AsyncDisposable {
  readonly app: App;
  /** Where there are several. */
  readonly threads: RequestThreads | undefined;
  /** Those that answer. */
  readonly workers: readonly SimWorker[];
  /** Those that compute prompts for others, in the order of the options. */
  readonly prefills: readonly SimWorker[];
  /** All of them, in the order in which the router knows them. */
  readonly all: readonly SimWorker[];
  /** Where there is one. */
  readonly lmcache: SimLmcache | undefined;
  /** The router's address, e.g. `http://127.0.0.1:41234`. */
  readonly url: string;
  readonly port: number;
  readonly metricsUrl: string;
  /** The newest decision record that satisfies `match`; waits until there is one. */
  decision(match?: Match): Promise<Decision>;
  metrics(): Promise<string>;
  /** Stops everything, then checks that no lease, ticket or body byte is left behind. */
  stop(): Promise<void>;
}

/** Of workers with LMCache. */
const LMCACHED: SimOptions = { model: { cpuBlocks: 8192 } };

/** Speed of the simulated engines in tests: fast, but with real batching and prefill. */
const TIME_SCALE = 0.05;

/**
 * Starts a fleet. `await using fleet = await startFleet()` stops it at the end of the test and fails the test when
 * anything leaked.
 */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const started = await Promise.allSettled(
    inShape(
      (options.workers ?? [{}, {}]).map((worker, index) => ({
        ...{ seed: index, timeScale: TIME_SCALE, ...(options.lmcache && LMCACHED), ...worker },
      })),
      options.onlyRegular ?? notInShape(options),
    ).map((worker) => startSimWorker(worker)),
  );
  const workers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  let lmcache: SimLmcache | undefined;
  try {
    for (const result of started) if (result.status === 'rejected') throw result.reason;
    lmcache = options.lmcache && (await startSimLmcache(workers, options.lmcache));
    return await routeTo(workers, lmcache, lmcache ? lookingAt(lmcache, options) : options);
  } catch (error) {
    await Promise.all([...workers, ...(lmcache ? [lmcache] : [])].map((part) => part.stop()));
    throw error;
  }
}

function lookingAt({ url, workerMap }: SimLmcache, options: FleetOptions): FleetOptions {
  const lmcache = { controllerUrl: url, workerMap, ...options.router?.lmcache };
  return { ...options, router: { ...options.router, lmcache } };
}

async function routeTo(
  workers: readonly SimWorker[],
  lmcache: SimLmcache | undefined,
  options: FleetOptions,
): Promise<Fleet> {
  const { log = silentLog, clock, random, descriptors } = options;
  const own = ownPlugins(options.router ?? {});
  if (own.problems.length > 0) throw new Error(own.problems.join('\n'));
  const { settings, config, material, source }: ReturnType<NonNullable<FleetOptions['load']>> =
    options.load?.(workers) ?? withSource(options, workers, own);
  let threads: RequestThreads | undefined;
  const ended: (() => void)[] = [];
  const app = await openApp(inThreads(settings, options), {
    ...{ log, config, material, source, plugins: own.plugins, warmUp: false },
    onThreads: (started) => {
      threads = started;
      // Heard before control takes back what the thread held.
      started.channels.onEnded(() => {
        for (const listener of ended) listener();
      });
    },
    pluginSources: own.plugins.isEmpty ? [] : undefined,
    ...(clock && { clock }),
    ...(random && { random }),
    ...(descriptors && { descriptors }),
  });
  const { port, metricsPort } = await app.start();
  // The first checks come a moment after the start.
  clock?.advance(200);
  if (options.waitForWorkers !== false)
    await allHealthy(app).catch(async (error: unknown) => {
      await app.stop({ immediately: true });
      throw error;
    });
  const url = `${settings.listen.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const metricsUrl = `http://127.0.0.1:${metricsPort ?? 0}/metrics`;
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const atTheirEnd: Left[] = [];
    ended.push(() => atTheirEnd.push(left(app)));
    const stopping = app.stop({ immediately: true });
    // Its timers, too, run on the test's clock.
    clock?.advance(5_000);
    await stopping;
    await Promise.all([...workers, ...(lmcache ? [lmcache] : [])].map((part) => part.stop()));
    await settled(app);
    for (const what of [...atTheirEnd, left(app)]) assert.deepEqual(what, {}, 'left behind');
  };
  return {
    ...{ app, threads },
    workers: workers.filter((worker) => !isPrefill(worker)),
    prefills: workers.filter(isPrefill),
    all: workers,
    lmcache,
    url,
    port,
    metricsUrl,
    decision: (match = () => true) => findDecision(app, match),
    metrics: async () => (await fetch(metricsUrl)).text(),
    stop: () => (stopped ??= stop()),
    [Symbol.asyncDispose]: () => (stopped ??= stop()),
  };
}

/** Why a fleet cannot have another shape: what it is told of its workers is the test's own. */
function notInShape({ load, router }: FleetOptions): string | undefined {
  const isOwn =
    load !== undefined ||
    router?.workers?.some((one) => !('workerType' in one) || one.workerType !== 'external') === true;
  return isOwn ? 'the test names the workers to the router' : undefined;
}

/** `TEST_THREADS=2` has all routers of tests serve with two threads, but for those of which a test holds a part in its hands. */
const TEST_THREADS = Number(process.env['TEST_THREADS'] ?? 1);

function inThreads(settings: Settings, { router, ...options }: FleetOptions): Settings {
  const { clock, random, descriptors, log, oneThread } = options;
  const isOneThread = [clock, random, descriptors, log, oneThread].some((one) => one !== undefined);
  if (settings.threads !== 1 || isOneThread || router?.plugins !== undefined) return settings;
  return { ...settings, threads: TEST_THREADS };
}

function withSource(
  options: FleetOptions,
  workers: readonly SimWorker[],
  own: ReturnType<typeof ownPlugins>,
): ReturnType<NonNullable<FleetOptions['load']>> {
  const resolved = resolve(options, workers, own);
  if (options.reloadable !== true) return resolved;
  return { ...resolved, source: { file: 'router.yaml', files: [], reread: () => resolved } };
}

function resolve(
  options: FleetOptions,
  workers: readonly SimWorker[],
  own: ReturnType<typeof ownPlugins>,
): Extract<ReturnType<typeof configFromOptions>, { kind: 'ok' }> {
  const named = registered(workers);
  const resolved = configFromOptions(
    {
      port: 0,
      metrics: { port: 0 },
      slowStartSecs: 0,
      // After the first checks none comes unasked, so that what a test waits for is what it caused.
      healthCheck: { checkIntervalSecs: 2_000_000 },
      loadCheckIntervalSecs: 0,
      shutdownTimeoutSecs: 5,
      ...own.rest,
      ...named,
      ...pairOptions(workers, own.rest.pd),
      workerUrls: [...(named.workerUrls ?? []), ...(options.extraWorkerUrls ?? [])],
    },
    own.plugins,
  );
  if (resolved.kind === 'error')
    throw new Error(resolved.problems.map(({ at, message }) => `${at}: ${message}`).join('\n'));
  return resolved;
}

function allHealthy(app: App): Promise<void> {
  const { registry } = app.runtime;
  const done = (): boolean =>
    registry.workers.every(({ health, models, traits }) =>
      traits.external ? health.healthy : health.healthy && models.size > 0,
    );
  return until(done, (check) => registry.on(check));
}

async function findDecision(app: App, match: Match): Promise<Decision> {
  let found: Decision | undefined;
  const deadline = performance.now() + 10_000;
  while (!found && performance.now() < deadline) {
    found = (await app.allDecisions(1000)).findLast(match);
    if (!found) await pause(5);
  }
  if (!found) throw new Error('no such record within 10 s');
  return found;
}

/** Responses may still be finishing when the listener has closed. */
function settled(app: App): Promise<void> {
  return until(
    () =>
      app.runtime.ledger.openLeases === 0 &&
      app.runtime.admission.inFlight === 0 &&
      app.runtime.bodyBytes.held === 0,
    (check) => every(5, check),
    3_000,
  ).catch(() => undefined);
}

/** What is counted as held, by name; what is at zero is not in it. */
type Left = Readonly<Record<string, number>>;

function left({ runtime }: App): Left {
  const { ledger, admission, bodyBytes, registry, workerWait } = runtime;
  const held = {
    leases: ledger.openLeases,
    'places in flight': admission.inFlight,
    'requests in the queue': admission.queued,
    'requests waiting for a worker': workerWait.size,
    'bytes of requests': bodyBytes.held,
    ...Object.fromEntries(
      registry.workers.flatMap(({ id, slot }) => {
        // Other routers may have requests there.
        const { running, prefillTokens, kvTokens } = ledger.ownLoad(slot, runtime.clock.now());
        return [
          [`requests on ${id}`, running],
          [`prefill tokens on ${id}`, prefillTokens],
          [`KV tokens on ${id}`, kvTokens],
        ];
      }),
    ),
  };
  return Object.fromEntries(Object.entries(held).filter(([, count]) => count !== 0));
}

/** Resolves when `done` holds, asked at once and at every notice of `subscribe`; rejects after `timeoutMs`. */
export function until(
  done: () => boolean,
  subscribe: (check: () => void) => () => void,
  timeoutMs = 10_000,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let stop = (): void => undefined;
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`not within ${timeoutMs} ms: ${done.toString()}`));
    }, timeoutMs);
    const check = (): void => {
      if (!done()) return;
      clearTimeout(timer);
      stop();
      resolve();
    };
    stop = subscribe(check);
    check();
  });
}

/** Resolves when `done` holds, for what has no event of its own. */
export function eventually(done: () => boolean, timeoutMs?: number): Promise<void> {
  return until(done, (check) => every(2, check), timeoutMs);
}

/** Resolves to the value when it has stood still for a while: for what is over when nothing happens any more. */
export async function settledAt(value: () => number): Promise<number> {
  let last = -1;
  let unchanged = 0;
  await eventually(() => {
    unchanged = value() === last ? unchanged + 1 : 0;
    last = value();
    return unchanged > 50;
  });
  return last;
}

/** Resolves when whatever has been set off inside the router so far has had its effect there, in all its threads. */
export async function roundTrip({ url, threads }: Pick<Fleet, 'url' | 'threads'>): Promise<void> {
  // Control tells some of it at the end of this turn.
  await Promise.resolve();
  await threads?.channels.askAll(CAUGHT_UP, undefined, 10_000);
  await (await fetch(`${url}/liveness`)).text();
}

/** Lets virtual time go by, in step with real time, until `work` is done. */
export async function advanceUntil<T>(clock: VirtualClock, stepMs: number, work: Promise<T>): Promise<T> {
  const stop = every(1, () => clock.advance(stepMs));
  return work.finally(stop);
}

/** A subscription for what has no event of its own. */
export function every(intervalMs: number, check: () => void): () => void {
  const interval = setInterval(check, intervalMs);
  return () => {
    clearInterval(interval);
  };
}
