import { isDeepStrictEqual } from 'node:util';
import type { WorkerDefaults, WorkerSpec } from '../config/settings/settings.ts';
import { ranksOf } from '../config/settings/worker-specs.ts';
import type { Worker } from '../workers/worker.ts';

/** What is to be done so that the workers of the configuration are those that it names now. */
export interface WorkerChanges {
  readonly join: readonly WorkerSpec[];
  /** Named, but on their way out: they stay, and take requests again. */
  readonly keep: readonly Worker[];
  /** Stay where they are, with another key or other traits. */
  readonly respec: readonly { readonly worker: Worker; readonly spec: WorkerSpec }[];
  readonly retire: readonly Worker[];
  /** What cannot be done. */
  readonly conflicts: readonly string[];
}

/** The workers that are there, and who brought them. */
export interface FleetView {
  readonly workers: readonly Worker[];
  get(id: string): Worker | undefined;
  /** It came through the API, or registered itself. */
  cameLater(worker: Worker): boolean;
  /** It is to go, or being drained. */
  isLeaving(worker: Worker): boolean;
  /** What such a worker is by the new configuration, which may have another key for it. */
  specOf(worker: Worker): WorkerSpec;
}

/**
 * Compares workers that came from the configuration, and only those: what was registered through the API or found in
 * some other way stays, even where the configuration once named it too. After it every worker that is named is in
 * service: one that was drained or removed through the API is taken back.
 */
export function workerChanges(
  before: readonly WorkerSpec[],
  after: readonly WorkerSpec[],
  fleet: FleetView,
): WorkerChanges {
  const named = new Set(after.map(({ id }) => id));
  const retire = before.flatMap(({ id }) => {
    const worker = named.has(id) ? undefined : fleet.get(id);
    return worker === undefined || fleet.isLeaving(worker) || fleet.cameLater(worker) ? [] : [worker];
  });
  const join = after.filter(({ id }) => fleet.get(id) === undefined);
  const there = after.flatMap((spec) => {
    const worker = fleet.get(spec.id);
    return worker === undefined ? [] : [{ worker, spec }];
  });
  const later = fleet.workers.filter((worker) => fleet.cameLater(worker));
  const wanted = [
    // What was said of a worker since counts, even where the configuration names it too.
    ...there.filter(({ worker }) => !fleet.cameLater(worker)),
    ...later.map((worker) => ({ worker, spec: fleet.specOf(worker) })),
  ];
  return {
    join,
    keep: there.filter(({ worker }) => fleet.isLeaving(worker)).map(({ worker }) => worker),
    respec: wanted.filter(({ worker, spec }) => !isDeepStrictEqual(now(worker), spec)),
    retire,
    conflicts: [...otherForms(join, fleet, new Set(retire)), ...otherRoles(wanted)],
  };
}

/** What was learnt of how it hands over KV blocks is nobody's word. */
function now({ spec, traits }: Worker): WorkerSpec {
  return { ...spec, traits: { ...traits, kvTransfer: spec.traits.kvTransfer } };
}

/** Requests under way were placed by what the worker is. */
function otherRoles(wanted: readonly { readonly worker: Worker; readonly spec: WorkerSpec }[]): string[] {
  return wanted.flatMap(({ worker, spec }) => {
    const { role } = worker.traits;
    if (role === spec.traits.role) return [];
    return [`${worker.id} is a ${role} worker; to make it a ${spec.traits.role} worker, remove it first`];
  });
}

/** A server is known by its ranks or as a whole: both would count its requests twice. */
function otherForms(join: readonly WorkerSpec[], fleet: FleetView, retire: ReadonlySet<Worker>): string[] {
  const staying = fleet.workers.filter((worker) => !fleet.isLeaving(worker) && !retire.has(worker));
  const forms = new Map(staying.map(({ spec }) => [spec.baseUrl, spec]));
  return join.flatMap(({ id, baseUrl, rank }) => {
    const other = forms.get(baseUrl);
    if (!other || (other.rank === undefined) === (rank === undefined)) return [];
    return [`${id} cannot join: the same server is registered as ${other.id}; remove that one first`];
  });
}

/** Worker ids, where all ranks of a server stand together its URL alone. */
export function idsOf(specs: readonly WorkerSpec[], defaults: WorkerDefaults): string[] {
  return [...Map.groupBy(specs, ({ baseUrl }) => baseUrl)].flatMap(([baseUrl, ranks]) => {
    const all = ranksOf(defaults, ranks[0]?.traits.role ?? 'regular');
    return all > 1 && ranks.length === all ? [baseUrl] : ranks.map(({ id }) => id);
  });
}
