import assert from 'node:assert/strict';
import type { App } from '../../src/app.ts';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { AttemptRecord, Decision } from '../../src/request/record/decision.ts';
import type { SimOptions } from '../../src/sim/server/options.ts';
import type { SimWorker } from '../../src/sim/server/server.ts';
import type { Worker } from '../../src/workers/worker.ts';

/**
 * `TEST_SHAPE=pd` puts a prefill worker before the workers of every fleet, which become decode workers: what tests
 * of whole requests say of the worker that answers holds of the decode worker. But for fleets of which a test says why not.
 */
const TEST_SHAPE = process.env['TEST_SHAPE'] ?? 'regular';

/** How many workers have a part in a request until its answer begins: so many leases it holds. */
export const LEGS = TEST_SHAPE === 'pd' ? 2 : 1;

/** Attempts at workers that answer. */
export function answering({ attempts }: Pick<Decision, 'attempts'>): readonly AttemptRecord[] {
  return attempts.filter(({ role }) => role !== 'prefill');
}

/** A worker that answers got the very bytes of the client: where it is one of a pair, and among them what it is to fetch. */
export function assertSent(body: Buffer | undefined, text: string): void {
  const got = String(body);
  const of = LEGS === 1 ? got : got.replace(/,"kv_transfer_params":\{[^{}]*\}(?=\s*\}\s*$)/, '');
  assert.equal(of, text);
}

/** What the router knows of the workers that answer, in the order of the options; each rank is one. */
export function answeringWorkers({ app }: { readonly app: App }): readonly Worker[] {
  return app.runtime.registry.workers.filter(({ traits }) => traits.role !== 'prefill');
}

/** Who decides where a test names no policy. */
export const OWN_POLICY = TEST_SHAPE === 'pd' ? 'pair_cost' : 'least_work';

export function inShape(
  workers: readonly SimOptions[],
  onlyRegular: string | undefined,
): readonly SimOptions[] {
  const isPlain = workers.every(({ role, kvConnector }) => role === undefined && kvConnector === undefined);
  const [first] = workers;
  const isKept = TEST_SHAPE !== 'pd' || onlyRegular !== undefined || !isPlain;
  if (!first || isKept || workers.some(({ socketPath }) => socketPath !== undefined)) return workers;
  const { port: _, faults: __, kvEvents: ___, ...like } = first;
  const models = [...new Set(workers.flatMap((worker) => worker.models ?? ['sim-model']))];
  const loras = [...new Set(workers.flatMap((worker) => worker.loras ?? []))];
  return [
    { ...like, models, loras, role: 'prefill' },
    ...workers.map((worker): SimOptions => ({ ...worker, role: 'decode' })),
  ];
}

type WorkerEntry = NonNullable<RouterOptions['workers']>[number];

/**
 * How the router is told of workers: of plain ones by URL, of the others what the configuration has to say. Those that
 * register themselves are not named.
 */
export function registered(workers: readonly SimWorker[]): Pick<RouterOptions, 'workerUrls' | 'workers'> {
  const named = workers.filter(({ kvTransfer }) => kvTransfer?.registersItself !== true);
  const [plain, others] = [named.filter(isPlain), named.filter((worker) => !isPlain(worker))];
  return {
    workerUrls: plain.map(({ url }) => url),
    ...(others.length > 0 && { workers: others.map(entryOf) }),
  };
}

function isPlain({ kvTransfer }: SimWorker): boolean {
  return kvTransfer === undefined || kvTransfer.role === 'both';
}

/** What a configuration says of the workers of a fleet. */
export function configured({
  all,
}: {
  readonly all: readonly SimWorker[];
}): Pick<RouterOptions, 'workerUrls' | 'workers' | 'pd'> {
  return { ...registered(all), ...pairOptions(all, undefined) };
}

export function isPrefill({ kvTransfer }: SimWorker): boolean {
  return kvTransfer?.role === 'prefill';
}

function entryOf({ url, host, kvTransfer }: SimWorker): WorkerEntry {
  if (!kvTransfer) return { url };
  const { connector, role, port, engineIds } = kvTransfer;
  if (role === 'decode') {
    const receiver = { host, initPorts: [port], allocPorts: [port] };
    return { url, workerType: 'decode', ...(connector === 'lmcache' && { kvTransfer: { receiver } }) };
  }
  const hasBootstrap = connector === 'mooncake' || connector === 'sglang';
  const [engineId = ''] = engineIds;
  return {
    ...{ url, workerType: 'prefill' },
    ...(hasBootstrap && { bootstrapPort: port }),
    ...(connector === 'nixl-push' && { kvTransfer: { engineId, host, port, tpSize: 1, ppSize: 1 } }),
  };
}

/** What the router is to do with pairs: all that a pair can carry goes through one, unless a test says something else. */
export function pairOptions(
  workers: readonly SimWorker[],
  own: RouterOptions['pd'],
): Pick<RouterOptions, 'pd'> {
  const prefill = workers.find(isPrefill);
  if (!prefill?.kvTransfer) return own ? { pd: own } : {};
  return {
    pd: {
      split: 'always',
      kvConnector: prefill.kvTransfer.connector,
      // In a suite of whole requests what fails has to fail as there, not to be served by somebody else.
      ...(TEST_SHAPE === 'pd' && { fallback: 'none' }),
      ...own,
    },
  };
}
