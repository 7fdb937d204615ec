import { policyInForce } from '../config/schema/plugin-policy-schema.ts';
import { noticesOfUnused } from '../config/schema/worker-entry.ts';
import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import { AdminDesk } from './admin-desk.ts';
import { urlInPath } from './admin-paths.ts';
import type { AdminServer } from './admin-server.ts';
import type { AdminContext } from './context.ts';
import type { AdminDeps } from './deps.ts';
import { AdminDoor } from './door.ts';
import { EngineLoads } from './engine-loads.ts';
import type { ServeAdmin } from './exchange.ts';
import { PolicySwitches } from './policy-switches.ts';
import { Registrar } from './registrar.ts';
import { StateFile } from './state-file.ts';
import { targetIn } from './worker-url-param.ts';

const METRICS_SUFFIX = '/metrics';

/** The control plane of one router: what operators ask and do while requests are under way. */
export class Admin {
  readonly registrar: Registrar;
  readonly #context: AdminContext;
  readonly #door: AdminDoor;
  #server: Promise<AdminServer> | undefined;

  constructor(deps: AdminDeps) {
    const { settings, clock, log, registry, ledger, part } = deps;
    const channels = part.kind === 'control' ? part.channels : undefined;
    const desk = channels && new AdminDesk(channels, this.serve);
    this.registrar = new Registrar({
      ...{ registry, ledger, clock, log, inspect: deps.inspect, onInspected: deps.onInspected },
      examine: deps.examine,
      noticesOf: (worker) => [...deps.policies.noticesOf(worker), ...noticesOfUnused(worker.traits)],
      defaults: settings.workerDefaults,
      startupTimeoutMs: settings.workerStartupTimeoutMs,
      startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
      admission: settings.workerAdmission,
      onChange: () => this.#context.stateFile?.save(),
    });
    this.#context = {
      ...deps,
      // A copy would show those of the start for ever.
      get settings() {
        return deps.settings;
      },
      get config() {
        return deps.config;
      },
      registrar: this.registrar,
      loads: new EngineLoads(clock, deps.clientOf),
      stateFile: this.#stateFile(deps),
      startedAt: clock.now(),
      policyShown: policyInForce(deps.config),
      modelPoliciesShown: new Map(),
      stagePoliciesShown: new Map(),
      switches: new PolicySwitches(part.memory, channels),
      caughtUp: () => desk?.caughtUp() ?? Promise.resolve(),
    };
    this.#door = new AdminDoor(settings, this.serve);
  }

  /** Takes over what is in force after a reload; a policy that was switched to is the configured one again. */
  reconfigure({ settings, config }: Pick<AdminDeps, 'settings' | 'config'>): void {
    this.registrar.reconfigure({
      defaults: settings.workerDefaults,
      startupTimeoutMs: settings.workerStartupTimeoutMs,
      startupCheckIntervalMs: settings.workerStartupCheckIntervalMs,
      admission: settings.workerAdmission,
    });
    this.#context.policyShown = policyInForce(config);
    this.#context.modelPoliciesShown.clear();
    this.#context.stagePoliciesShown.clear();
    this.#context.switches.clear();
    this.#door.reconfigure(settings);
  }

  /**
   * Takes back the workers of the state file, if there is one. Throws a StateFileError when it cannot be used, also
   * for writing.
   */
  async restore(): Promise<void> {
    const { stateFile } = this.#context;
    if (!stateFile) return;
    this.registrar.restore(stateFile.read());
    stateFile.save();
    await stateFile.settled();
    stateFile.assertWritten();
  }

  /**
   * Loads what serves these routes: a tenth of a second, in which no request moves. At the first request for them
   * unless it has been done before.
   */
  async prepare(): Promise<void> {
    await this.#open();
  }

  /** Resolves when every thread has done what control told it before. */
  caughtUp(): Promise<void> {
    return this.#context.caughtUp();
  }

  /** False when the request is not for these routes: then nothing has been done. */
  handle(req: EdgeRequest, res: EdgeResponse): boolean {
    return this.#door.handle(req, res);
  }

  /** Serves a request that has been at the door, here or in another thread. */
  readonly serve: ServeAdmin = (head, body, reply) => {
    const target = this.#routed(head.path) + head.query;
    this.#open()
      .then((server) => {
        server.handle(head, body, reply, target);
      })
      .catch((error: unknown) => {
        this.#context.log.error({ err: error }, 'the admin routes cannot be served');
        reply.destroy();
      });
  };

  /** Ends all jobs, and with them the requests that wait for one. */
  async close(): Promise<void> {
    this.registrar.close();
    await this.#context.stateFile?.close();
    await (await this.#server)?.close();
  }

  #open(): Promise<AdminServer> {
    return (this.#server ??= (async () => {
      const { AdminServer } = await import('./admin-server.ts');
      const server = new AdminServer(this.#context);
      await server.ready();
      return server;
    })());
  }

  #stateFile({ settings, clock, log }: AdminDeps): StateFile | undefined {
    if (settings.stateFile === undefined) return undefined;
    return new StateFile(settings.stateFile, {
      clock,
      snapshot: () => this.registrar.registrations(),
      onFailure: (error) => {
        log.error({ err: error }, 'the state file could not be written');
      },
    });
  }

  /** Folds a worker's URL into one path segment, as the routes have it. */
  #routed(path: string): string {
    if (!path.startsWith('/workers/')) return path;
    const url = urlInPath(path.slice('/workers/'.length));
    const wantsMetrics = url.endsWith(METRICS_SUFFIX) && !this.#knows(url);
    if (!wantsMetrics) return `/workers/${encodeURIComponent(url)}`;
    return `/workers/${encodeURIComponent(url.slice(0, -METRICS_SUFFIX.length))}${METRICS_SUFFIX}`;
  }

  /** A worker may have a prefix that ends in /metrics. */
  #knows(url: string): boolean {
    const target = targetIn(url);
    if (target === undefined) return false;
    return this.registrar.workersOf(target).length > 0 || this.registrar.jobs.of(target) !== undefined;
  }
}
