/** Composition root: the one place that makes the parts and joins them. */
import type { Clock } from './base/clock.ts';
import { aloneInRouter, type OwnPart } from './base/thread-part.ts';
import type { Material, PortableConfig } from './config/load/material.ts';
import { systemClock } from './base/system-clock.ts';
import { systemRandom, type Random } from './base/random.ts';
import { Admin } from './admin/admin.ts';
import type { ReloadOutcome, ReloadRequest } from './admin/reload-report.ts';
import { ConfigWatch } from './app/config-watch.ts';
import { descriptorsFor, type DescriptorPlan } from './app/descriptors.ts';
import { EdgeFront } from './app/edge-front.ts';
import { examineWorkers } from './app/examine-workers.ts';
import type { Front } from './app/front.ts';
import { openDiscovery, type OpenDiscovery } from './app/open-discovery.ts';
import { openEdge } from './app/open-edge.ts';
import { IndexSweep } from './app/index-sweep.ts';
import { Listeners, type Address } from './app/listeners.ts';
import { logReload, Reloads, type Commit, type ConfigSource } from './app/reloads.ts';
import { Retirements } from './app/retirements.ts';
import { adoptSettings, closeOutbound, openState, runtimeOf, type SharedState } from './app/shared-state.ts';
import { showStores } from './app/show-stores.ts';
import { StartError } from './app/start-error.ts';
import { dropClientsOfLeft } from './app/worker-clients.ts';
import { WorkerWatches } from './app/worker-watches.ts';
import type { LoadResult } from './config/load/load.ts';
import { NO_PLUGINS, type KnownPlugins } from './config/schema/plugin-policy-schema.ts';
import type { Config } from './config/schema/schema.ts';
import type { LogSettings, Settings } from './config/settings/settings.ts';
import type { Log } from './observe/log.ts';
import type { Decision } from './request/record/decision.ts';
import { dryRun } from './request/choose/dry-run.ts';
import { LOCAL_PATHS } from './request/arrive/endpoints.ts';
import type { Runtime } from './request/runtime.ts';
import { observeRuntime, type LogCounts } from './request/runtime-metrics.ts';
import type { WorkerRegistry } from './workers/registry.ts';

export interface AppDeps {
  readonly log: Log;
  /** What the settings were compiled from. */
  readonly config: Config;
  readonly material: Material;
  /** The file that a reload reads again; absent where there is none. */
  readonly source?: ConfigSource | undefined;
  /** The plugins that were loaded for the configuration. */
  readonly plugins?: KnownPlugins;
  readonly clock?: Clock;
  readonly random?: Random;
  /** In the place of what the system's limit allows. */
  readonly descriptors?: DescriptorPlan;
  /** Log lines lost so far, for the metric. */
  readonly logCounts?: LogCounts;
  readonly setLogLevel?: (level: LogSettings['level']) => void;
  /** What this thread is in its router; the only one where it is absent. */
  readonly part?: OwnPart;
  /** Where clients come in, if not at a listener of this thread's own. */
  readonly openFront?: (control: Control) => Front;
}

/** What request threads are kept in step with. */
export interface Control {
  readonly state: SharedState;
  readonly admin: Admin;
  /** What a thread that begins has to know. */
  readonly portable: () => PortableConfig;
}

/** That of a thread which writes the registry itself. */
type OwnRuntime = Runtime & { readonly registry: WorkerRegistry };

/** What waits for the admin routes is told of the end, also where nothing else is waited for. */
const LAST_WORDS_MS = 100;

/** One running router. */
export class App {
  readonly #deps: AppDeps;
  readonly #state: SharedState<WorkerRegistry>;
  readonly #admin: Admin;
  readonly #front: Front;
  readonly #listeners: Listeners;
  readonly #watches: WorkerWatches;
  readonly #sweep: IndexSweep;
  readonly #discovery: OpenDiscovery;
  readonly #reloads: Reloads;
  readonly #retirements: Retirements;
  readonly #clock: Clock;
  #runtime: OwnRuntime;
  #watch: ConfigWatch | undefined;
  #stopping = false;
  #cutting = false;
  #endDelay: (() => void) | undefined;

  constructor(settings: Settings, deps: AppDeps) {
    this.#deps = deps;
    this.#clock = deps.clock ?? systemClock;
    const clock = this.#clock;
    const random = deps.random ?? systemRandom;
    this.#state = openState(settings, {
      part: deps.part ?? aloneInRouter(),
      clock,
      random,
      log: deps.log,
      plugins: deps.plugins ?? NO_PLUGINS,
      stopping: () => this.#stopping,
      descriptors: deps.descriptors ?? descriptorsFor(settings.metrics.enabled),
    });
    const { registry } = this.#state;
    this.#runtime = runtimeOf(this.#state, settings);
    this.#reloads = this.#openReloads(settings);
    this.#watches = new WorkerWatches(this.#state, settings);
    this.#admin = this.#openAdmin();
    this.#retirements = new Retirements({
      ...{ clock, registry },
      retire: (worker) => this.#admin.registrar.retire(worker),
    });
    this.#sweep = new IndexSweep(this.#state);
    this.#discovery = openDiscovery(this.#state, this.#admin.registrar);
    this.#front = deps.openFront?.(this.#control()) ?? this.#openOwnFront();
    this.#listeners = new Listeners(this.#state, this.#front, this.#discovery);
    observeRuntime(this.#runtime, deps.logCounts, this.#state.part.kind);
    dropClientsOfLeft(this.#state);
  }

  /** What new requests get; a reload replaces it. */
  get runtime(): OwnRuntime {
    return this.#runtime;
  }

  /** Whether requests are served in this thread. */
  get servesItself(): boolean {
    return this.#state.part.kind === 'alone';
  }

  /** Whether clients want something, or the router stops: what can wait should. */
  get isBusy(): boolean {
    return this.#state.admission.inFlight > 0 || this.#stopping;
  }

  /**
   * Listens at once; workers are probed meanwhile. Rejects with a `StartError` when an address cannot be listened on or
   * the decision log cannot be written, and with a `StateFileError` when the state file cannot be used.
   */
  async start(): Promise<Address> {
    const { settings, registry } = this.#state;
    for (const spec of settings.workers) registry.add(spec);
    await this.#admin.restore();
    await this.#openDecisionLog();
    const address = await this.#listeners.open();
    this.#watches.start();
    this.#sweep.start();
    this.#state.semantic.start();
    this.#state.replicas.start();
    this.#watchConfig();
    return address;
  }

  /** What it has of its replicas. */
  get replicas(): Pick<SharedState['replicas'], 'others' | 'heard'> {
    return this.#state.replicas;
  }

  /** Whether the limits of tenants are those of all replicas together at the moment. */
  get sharesLimits(): boolean {
    return this.#state.tenantBooks.isOpen;
  }

  /** Resolves to whether a worker became healthy within the start-up timeout. */
  firstWorker(): Promise<boolean> {
    return this.#watches.firstWorker();
  }

  /** Loads the admin routes, which takes a moment, before somebody asks for them. */
  prepareAdmin(): Promise<void> {
    return this.#admin.prepare();
  }

  /** Registrations and removals of workers that have not ended. */
  get openJobs(): number {
    return this.#admin.registrar.jobs.open;
  }

  /** The latest decision records of all threads, oldest first. */
  allDecisions(limit: number): Promise<readonly Decision[]> {
    return this.#state.view.records.find({ limit });
  }

  /**
   * Puts another configuration in force, by default what the file of the start says now, while requests are under way.
   * What is not valid changes nothing. Never rejects; leaves one line in the log, when requests are served by it in all threads.
   */
  async reload(request: ReloadRequest, loaded?: LoadResult): Promise<ReloadOutcome> {
    const outcome = await this.#reloads.run(request, loaded && (() => loaded));
    if (outcome.kind === 'done' && !request.dryRun) await this.#admin.caughtUp();
    logReload(this.#deps.log, request, outcome);
    return outcome;
  }

  /**
   * Readiness turns 503 at once; after the shutdown delay the listener closes, and every connection after its response.
   * What is still open at the shutdown timeout is cut.
   */
  async stop(options: { immediately?: boolean } = {}): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#front.announceStop();
    this.#watch?.stop();
    this.#retirements.close();
    const undiscovered = this.#discovery.close();
    const { shutdownDelayMs, shutdownTimeoutMs } = this.#state.settings;
    if (shutdownDelayMs > 0 && options.immediately !== true) await this.#pause(shutdownDelayMs);
    this.#watches.stop();
    this.#sweep.stop();
    const stopped = this.#front.stop();
    this.#state.admission.close();
    this.#state.workerWait.close();
    const closed = this.#admin.close();
    const atOnce = options.immediately === true || this.#cutting;
    const cut = this.#clock.after(atOnce ? LAST_WORDS_MS : shutdownTimeoutMs, () => {
      this.#front.cut();
    });
    await stopped;
    cut.cancel();
    await Promise.all([closed, undiscovered]);
    await this.#front.close();
    await closeOutbound(this.#state);
    await this.#state.decisionLog?.close();
    await this.#listeners.close();
  }

  /** Cuts what is still open, and ends the shutdown delay: the second signal. */
  cut(): void {
    this.#cutting = true;
    this.#endDelay?.();
    this.#front.cut();
  }

  async #openDecisionLog(): Promise<void> {
    const { decisionLog, settings } = this.#state;
    await decisionLog?.open().catch((error: unknown) => {
      const path = settings.decisionLog?.path ?? '';
      throw new StartError(`cannot write the decision log ${path} (--decision-log-export-path)`, error);
    });
  }

  #openOwnFront(): Front {
    const admin = this.#admin;
    return new EdgeFront(
      openEdge(
        this.#state,
        () => this.#runtime,
        (req, res) => admin.handle(req, res),
      ),
    );
  }

  #control(): Control {
    return { state: this.#state, admin: this.#admin, portable: () => this.#reloads.portable };
  }

  #openAdmin(): Admin {
    const { part, policies, connections, view } = this.#state;
    const inForce = {
      settings: () => this.#state.settings,
      config: () => this.#reloads.config,
    };
    return new Admin({
      ...this.#runtime,
      ...{ part, decisions: view.records },
      get settings() {
        return inForce.settings();
      },
      get config() {
        return inForce.config();
      },
      policies,
      tenants: this.#state.clients.tenants,
      plugins: this.#deps.plugins ?? NO_PLUGINS,
      eventsOf: (worker) => this.#state.openEvents.viewOf(worker),
      peerOf: (worker) => this.#discovery.of(worker),
      tokenizersOf: (worker) => this.#state.openTokens.verdictsOf(worker),
      inspect: (spec) => connections.inspect(spec),
      examine: (specs, signal) => examineWorkers(specs, this.#state.settings, this.#state, signal),
      onInspected: (spec, inspection) => {
        connections.noteVersion(spec, inspection);
      },
      explain: (request) => dryRun(this.#runtime, request),
      ...showStores(this.#state),
      reload: (request) => this.#reloads.run(request),
      loaded: () => this.#reloads.loaded,
      ...{ threads: () => this.#front.threads, ...this.#watches.proofs },
      localRoutes: LOCAL_PATHS,
    });
  }

  #openReloads(settings: Settings): Reloads {
    const { clock, log, metrics, policies, registry } = this.#state;
    const registrar = (): Admin['registrar'] => this.#admin.registrar;
    return new Reloads(
      { settings, config: this.#deps.config, material: this.#deps.material },
      {
        ...{ clock, log, metrics, source: this.#deps.source },
        policies: () => policies,
        fleet: ({ workerDefaults }) => ({
          workers: registry.workers,
          get: (id) => registry.get(id),
          cameLater: (worker) => registrar().joinedBy(worker) !== undefined,
          isLeaving: (worker) => worker.draining || this.#retirements.has(worker),
          specOf: (worker) => registrar().specUnder(workerDefaults, worker),
        }),
        hasRoomFor: (drains) => registrar().hasRoomFor(drains),
        prepare: ({ settings: next, config, material }) => this.#front.prepare(next, { config, material }),
        commit: (commit, serve) => {
          this.#commit(commit, serve);
        },
      },
    );
  }

  #commit({ settings, config, workers }: Commit, serve: () => void): void {
    const { registry } = this.#state;
    const { registrar } = this.#admin;
    this.#deps.setLogLevel?.(settings.log.level);
    adoptSettings(this.#state, settings);
    this.#watches.reconfigure(settings);
    this.#discovery.reconfigure(settings);
    serve();
    this.#admin.reconfigure({ settings, config });
    this.#runtime = runtimeOf(this.#state, settings);
    for (const { worker, spec } of workers.respec) registry.respec(worker, spec);
    for (const worker of workers.keep) {
      this.#retirements.keep(worker);
      registrar.keep(worker);
    }
    const joined = workers.join.map((spec) => registry.add(spec));
    this.#retirements.begin(workers.retire, joined, settings.workerStartupTimeoutMs);
    this.#sweep.now();
    this.#watchConfig();
  }

  #watchConfig(): void {
    const { files } = this.#reloads;
    const wanted = this.#state.settings.watchConfig && !this.#stopping && files.length > 0;
    this.#watch?.stop();
    this.#watch = undefined;
    if (!wanted) return;
    const { clock, log } = this.#state;
    const onChange = (): void => void this.reload({ who: 'watch', dryRun: false });
    this.#watch = new ConfigWatch({ files, clock, log, onChange });
    this.#watch.start();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(ms, resolve);
      this.#endDelay = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}
