import type { Clock } from '../base/clock.ts';
import type { WorkerAdmission, WorkerDefaults, WorkerSpec } from '../config/settings/settings.ts';
import { traitsOf, type Registration } from '../config/schema/worker-entry.ts';
import { specsOf } from '../config/settings/worker-specs.ts';
import { workerId } from '../config/schema/worker-url.ts';
import type { Admittance } from '../doctor/admittance.ts';
import type { Inspection } from '../engines/http/worker-connections.ts';
import type { Capabilities } from '../engines/http/capabilities.ts';
import type { Log } from '../observe/log.ts';
import { isOpen, JobQueue, type Job, type StepResult } from '../workers/jobs.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import { Removals, type RemovalOutcome } from '../workers/removals.ts';
import type { WorkerRegistry } from '../workers/registry.ts';
import type { Worker } from '../workers/worker.ts';
import { isSame } from './registration.ts';

export type WorkerJob = Job<Registration>;

/** Who asked for a worker beside the configuration: a client of the worker API, or the worker itself, over ZeroMQ. */
export type JoinedBy = 'api' | 'zmq';

interface Asked {
  readonly registration: Registration;
  readonly by: JoinedBy;
}

export type AddOutcome =
  | { readonly kind: 'accepted'; readonly job: WorkerJob }
  /** Registered already, with the same settings. */
  | { readonly kind: 'present'; readonly workers: readonly Worker[] }
  /** It was being drained, and takes requests again. */
  | { readonly kind: 'undrained'; readonly workers: readonly Worker[] }
  | { readonly kind: 'conflict'; readonly message: string }
  | { readonly kind: 'full' };

export type RemoveOutcome =
  | RemovalOutcome<Registration>
  /** It was never registered: its registration has been given up. */
  | { readonly kind: 'withdrawn'; readonly job: WorkerJob }
  | { readonly kind: 'unknown' };

export interface AddOptions {
  /** In place of the configured one. */
  readonly admission?: WorkerAdmission | undefined;
  readonly by?: JoinedBy;
}

/** What the configuration says about registering. */
export interface RegistrarSettings {
  readonly defaults: WorkerDefaults;
  /** A worker that is not healthy for this long is not registered. */
  readonly startupTimeoutMs: number;
  /** Longest pause between two tries. */
  readonly startupCheckIntervalMs: number;
  /** What a worker has to pass where its registration does not say so. */
  readonly admission: WorkerAdmission;
}

export interface RegistrarDeps extends RegistrarSettings {
  readonly registry: WorkerRegistry;
  readonly ledger: LoadLedger;
  readonly clock: Clock;
  readonly log: Log;
  readonly inspect: (spec: WorkerSpec) => Promise<Inspection>;
  /** Has the doctor look at the workers of one registration. */
  readonly examine: (specs: readonly WorkerSpec[], signal: AbortSignal) => Promise<Admittance>;
  /** The registered worker's version, as inspected. */
  readonly onInspected: (spec: WorkerSpec, inspection: Inspection) => void;
  /** What there is to say about a worker that has been registered. */
  readonly noticesOf: (worker: Worker) => readonly string[];
  /** What was registered through the API has changed. */
  readonly onChange: () => void;
}

/** Drains of thousands of workers may wait side by side; probes go out a few at a time. */
const LIMITS = { running: { add: 64, remove: Infinity }, open: 20_000, ended: 1_000 };
const FIRST_PAUSE_MS = 200;
/** As in the reference routers. */
export const DRAIN_TIMEOUT_MS = 300_000;

/** Registers and removes workers while requests are under way, through jobs that outlive whoever asked. */
export class Registrar {
  readonly jobs: JobQueue<Registration>;
  readonly #deps: RegistrarDeps;
  #settings: RegistrarSettings;
  readonly #removals: Removals<Registration>;
  /** By worker id, from the moment it was accepted. */
  readonly #asked = new Map<string, Asked>();
  readonly #capabilities = new Map<string, Capabilities>();
  #closed = false;

  constructor(deps: RegistrarDeps) {
    const { clock, registry, ledger, log } = deps;
    this.#deps = deps;
    this.#settings = deps;
    this.jobs = new JobQueue({ clock, limits: LIMITS, onEnd: (job) => this.#onEnd(job) });
    this.#removals = new Removals({
      ...{ clock, registry, ledger, jobs: this.jobs },
      onRemoved: ({ id }, cut) => {
        if (cut > 0)
          log.warn({ worker: id, cut }, 'drain time is up: requests still running on the worker were cut');
      },
    });
    registry.on((event) => {
      if (event.type !== 'left') return;
      this.#asked.delete(event.worker.id);
      this.#capabilities.delete(event.worker.id);
    });
  }

  /** For registrations from now on; jobs under way go on as they began. */
  reconfigure(settings: RegistrarSettings): void {
    this.#settings = settings;
  }

  /** Drains and removes one worker that the configuration no longer names. False: no more jobs fit. */
  retire(worker: Worker): boolean {
    const limit = { timeoutMs: DRAIN_TIMEOUT_MS, explicit: false };
    const { kind } = this.#removals.start(worker.id, [worker], this.registrationOf(worker), limit);
    return kind === 'accepted' || kind === 'draining';
  }

  /** Calls off the removal of a worker that is being drained. */
  keep(worker: Worker): void {
    if (this.#removals.cancel([worker]).length === 0) return;
    this.#deps.registry.reportUndrained(worker);
    this.#deps.onChange();
  }

  /** Whether that many workers can be retired now. */
  hasRoomFor(jobs: number): boolean {
    return this.jobs.open + jobs <= LIMITS.open;
  }

  /** What a worker that was registered through the API is by these defaults: they may have another key for it. */
  specUnder(defaults: WorkerDefaults, worker: Worker): WorkerSpec {
    const [spec = worker.spec] = specsOf(this.registrationOf(worker), defaults);
    return spec;
  }

  /** Takes workers back from the state file. They are used once they are found healthy, as those of the configuration. */
  restore(registrations: readonly Registration[]): void {
    for (const registration of registrations) {
      for (const spec of specsOf(registration, this.#settings.defaults)) {
        // The configuration's own workers come first.
        if (this.#deps.registry.get(spec.id)) continue;
        this.#asked.set(spec.id, { registration: rankOf(registration, spec), by: 'api' });
        this.#join(spec, undefined);
      }
    }
  }

  /** What is to survive a restart: not what is about to leave, nor who will register itself again. */
  registrations(): readonly Registration[] {
    const { registry } = this.#deps;
    return [...this.#asked].flatMap(([id, { registration, by }]) => {
      const worker = registry.get(id);
      return by !== 'api' || (worker && this.#removals.has(worker)) ? [] : [registration];
    });
  }

  registrationOf(worker: Worker): Registration {
    const { baseUrl, rank, apiKey, traits } = worker.spec;
    // Not `worker.traits`: what was learnt of it is not what was asked for.
    return (
      this.#asked.get(worker.id)?.registration ?? { address: { baseUrl, rank }, ...traitsOf(traits), apiKey }
    );
  }

  /** Undefined for a worker of the configuration. */
  joinedBy(worker: Worker): JoinedBy | undefined {
    return this.#asked.get(worker.id)?.by;
  }

  capabilitiesOf(worker: Worker): Capabilities | undefined {
    return this.#capabilities.get(worker.id);
  }

  /** Time left for the worker's drain, ms; undefined when it is not drained. */
  drainLeftMs(worker: Worker): number | undefined {
    return this.#removals.of(worker)?.leftMs;
  }

  /** The worker's own job, or that of all ranks of its server. */
  jobOf(worker: Worker): WorkerJob | undefined {
    return this.#removals.of(worker)?.job ?? this.jobs.of(worker.id) ?? this.jobs.of(worker.spec.baseUrl);
  }

  /** The registered workers that a URL stands for: one, or all ranks of a server. */
  workersOf(target: string): readonly Worker[] {
    const { registry } = this.#deps;
    const worker = registry.get(target);
    return worker ? [worker] : registry.workers.filter(({ spec }) => spec.baseUrl === target);
  }

  add(
    registration: Registration,
    { admission = this.#settings.admission, by = 'api' }: AddOptions = {},
  ): AddOutcome {
    const { registry } = this.#deps;
    const { defaults } = this.#settings;
    const target = workerId(registration.address);
    const pending = this.#pendingAdd(target);
    if (pending)
      return isSame(pending.about, registration, defaults)
        ? { kind: 'accepted', job: pending }
        : { kind: 'conflict', message: `${target} is being registered with other settings` };
    const specs = specsOf(registration, defaults);
    const clash = this.#otherForm(specs);
    if (clash !== undefined) return { kind: 'conflict', message: clash };
    const known = specs.map(({ id }) => registry.get(id)).filter((worker) => worker !== undefined);
    const different = known.find((worker) => !isSame(this.registrationOf(worker), registration, defaults));
    if (different)
      return {
        kind: 'conflict',
        message: `${different.id} is registered ${differenceIn(different, registration)}; remove it first`,
      };
    const namesake = registration.external && registry.externalNamed(registration.external.name);
    if (namesake && known.length === 0)
      return {
        kind: 'conflict',
        message: `${namesake.id} has the name ${registration.external?.name ?? ''}`,
      };
    if (known.length < specs.length) return this.#submit({ registration, by }, specs, admission);
    if (this.#removals.cancel(known).length === 0) return { kind: 'present', workers: known };
    for (const worker of known) registry.reportUndrained(worker);
    this.#deps.onChange();
    return { kind: 'undrained', workers: known };
  }

  /** `timeoutMs` undefined: the usual time, or what an earlier call set. */
  remove(target: string, timeoutMs: number | undefined): RemoveOutcome {
    const pending = this.#pendingAdd(target);
    if (pending) this.jobs.cancel(pending, 'withdrawn before it was registered');
    const workers = this.workersOf(target);
    const [first] = workers;
    if (!first) return pending ? { kind: 'withdrawn', job: pending } : { kind: 'unknown' };
    const limit = { timeoutMs: timeoutMs ?? DRAIN_TIMEOUT_MS, explicit: timeoutMs !== undefined };
    const outcome = this.#removals.start(target, workers, this.registrationOf(first), limit);
    if (outcome.kind === 'accepted') this.#deps.onChange();
    return outcome;
  }

  /** Ends every job. What was being registered stays on record, to be taken up again after a restart. */
  close(): void {
    this.#closed = true;
    this.jobs.close('the router is stopping');
  }

  #pendingAdd(target: string): WorkerJob | undefined {
    const job = this.jobs.of(target);
    return job?.kind === 'add' && isOpen(job) ? job : undefined;
  }

  /** A server is known by its ranks or as a whole: both would count its requests twice. */
  #otherForm([first]: readonly WorkerSpec[]): string | undefined {
    if (!first) return undefined;
    const other = this.#deps.registry.workers.find(
      ({ spec }) =>
        spec.baseUrl === first.baseUrl && (spec.rank === undefined) !== (first.rank === undefined),
    );
    if (!other) return undefined;
    return first.rank === undefined
      ? `${first.baseUrl} is registered by its ranks (${other.id})`
      : `${first.baseUrl} is registered as a whole, without ranks`;
  }

  #submit({ registration, by }: Asked, specs: readonly WorkerSpec[], admission: WorkerAdmission): AddOutcome {
    const { clock, onChange } = this.#deps;
    const { startupTimeoutMs, startupCheckIntervalMs } = this.#settings;
    const startedAt = clock.now();
    let pauseMs = FIRST_PAUSE_MS;
    const submitted = this.jobs.submit({
      kind: 'add',
      target: workerId(registration.address),
      about: registration,
      step: async (signal) => {
        const result = await this.#tryAdd(registration, specs, { admission, signal });
        if (result.kind !== 'again') return result;
        const afterMs = Math.min(pauseMs, startupCheckIntervalMs);
        pauseMs = 2 * afterMs;
        if (clock.now() + afterMs - startedAt <= startupTimeoutMs) return { ...result, afterMs };
        return {
          kind: 'failed',
          reason: `not healthy within ${startupTimeoutMs / 1000} s: ${result.reason}`,
        };
      },
    });
    if (submitted.kind === 'full') return submitted;
    if (submitted.kind === 'busy')
      return { kind: 'conflict', message: `${submitted.job.target} has another job that has not ended` };
    for (const spec of specs) this.#asked.set(spec.id, { registration: rankOf(registration, spec), by });
    const { modelId } = registration;
    // Its model is no unknown one meanwhile.
    if (modelId !== undefined)
      void this.jobs.ended(submitted.job).then(this.#deps.registry.announce(modelId));
    onChange();
    return submitted;
  }

  async #tryAdd(
    registration: Registration,
    specs: readonly WorkerSpec[],
    { admission, signal }: { readonly admission: WorkerAdmission; readonly signal: AbortSignal },
  ): Promise<StepResult> {
    const [first] = specs;
    if (!first) return { kind: 'failed', reason: 'the URL stands for no worker' };
    // A provider is not asked how it is: what its answers say has to do.
    if (registration.external) {
      for (const spec of specs) if (!this.#deps.registry.get(spec.id)) this.#join(spec, undefined);
      return { kind: 'done', notices: [] };
    }
    const found = await this.#deps.inspect(first);
    if (signal.aborted) return { kind: 'failed', reason: 'given up' };
    if (!found.ok) return { kind: 'again', afterMs: 0, reason: found.reason };
    const { modelId } = registration;
    const listed = found.models && [...found.models.ids];
    if (modelId !== undefined && listed && !listed.includes(modelId))
      return {
        kind: 'failed',
        reason: `the worker lists ${listed.join(', ') || 'no model'}, not model_id ${modelId}`,
      };
    const examined = admission === 'doctor' ? await this.#deps.examine(specs, signal) : undefined;
    if (signal.aborted) return { kind: 'failed', reason: 'given up' };
    if (examined && examined.failures.length > 0)
      return { kind: 'failed', reason: `the doctor does not admit it: ${examined.failures.join(' ')}` };
    for (const spec of specs) {
      if (!this.#deps.registry.get(spec.id)) this.#join(spec, found);
    }
    const worker = this.#deps.registry.get(first.id);
    const warnings = examined?.warnings ?? [];
    return { kind: 'done', notices: [...warnings, ...(worker ? this.#deps.noticesOf(worker) : [])] };
  }

  /** The worker is usable at once where it has just been found healthy. */
  #join(spec: WorkerSpec, found: Extract<Inspection, { ok: true }> | undefined): void {
    const { registry, onInspected } = this.#deps;
    const worker = registry.add(spec);
    if (!found) return;
    if (found.models) registry.setModels(worker, found.models.ids, found.models.cards);
    onInspected(spec, found);
    this.#capabilities.set(spec.id, found.capabilities);
    registry.reportCheck(worker, true);
  }

  #onEnd(job: WorkerJob): void {
    const { log, registry, onChange } = this.#deps;
    const { defaults } = this.#settings;
    const about = { job: job.id, worker: job.target, tries: job.tries };
    const what = job.kind === 'add' ? 'registration' : 'removal';
    if (job.state.name === 'failed')
      log.warn({ ...about, reason: job.state.reason }, `worker ${what} failed`);
    else log.info({ ...about, ...noticesIn(job) }, `worker ${what} done`);
    if (this.#closed || job.kind !== 'add' || job.state.name !== 'failed') return;
    for (const { id } of specsOf(job.about, defaults)) if (!registry.get(id)) this.#asked.delete(id);
    onChange();
  }
}

function differenceIn({ traits: { role } }: Worker, registration: Registration): string {
  return role === registration.role ? 'with other settings' : `as a ${role} worker`;
}

function noticesIn({ state }: WorkerJob): { notices?: readonly string[] } {
  return state.name === 'done' && state.notices.length > 0 ? { notices: state.notices } : {};
}

/** The part of a registration that concerns one of its workers. */
function rankOf(registration: Registration, { baseUrl, rank }: WorkerSpec): Registration {
  return { ...registration, address: { baseUrl, rank } };
}
