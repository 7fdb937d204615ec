import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { RequestPart } from '../base/thread-part.ts';
import { RemoteAdmin } from '../admin/remote-admin.ts';
import type { KnownPlugins } from '../config/schema/plugin-policy-schema.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { EdgeServer } from '../http/server.ts';
import type { Log } from '../observe/log.ts';
import type { Runtime } from '../request/runtime.ts';
import { observeRuntime } from '../request/runtime-metrics.ts';
import type { DescriptorPlan } from './descriptors.ts';
import { openEdge } from './open-edge.ts';
import { adoptSettings, closeOutbound, openState, runtimeOf, type SharedState } from './shared-state.ts';
import type { RegistryReplica } from '../workers/registry-replica.ts';
import { dropClientsOfLeft } from './worker-clients.ts';

export interface RequestAppDeps {
  readonly part: RequestPart;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly plugins: KnownPlugins;
  /** Of the whole process. */
  readonly descriptors: DescriptorPlan;
}

/** What serves requests in a thread beside others: a listener, the request path and what it needs. All else is in control. */
export class RequestApp {
  readonly #state: SharedState<RegistryReplica>;
  readonly #admin: RemoteAdmin;
  readonly #edge: EdgeServer;
  #runtime: Runtime;
  #stopping = false;

  constructor(settings: Settings, deps: RequestAppDeps) {
    this.#state = openState(settings, { ...deps, stopping: () => this.#stopping });
    this.#runtime = runtimeOf(this.#state, settings);
    const admin = (this.#admin = new RemoteAdmin(settings, { ...deps, policies: this.#state.policies }));
    this.#edge = openEdge(
      this.#state,
      () => this.#runtime,
      (req, res) => admin.handle(req, res),
    );
    observeRuntime(this.#runtime, undefined, 'request');
    dropClientsOfLeft(this.#state);
  }

  /** Whether clients want something, or the router stops. */
  get isBusy(): boolean {
    return this.#state.admission.inFlight > 0 || this.#stopping;
  }

  /** Resolves when it serves on the port that it shares with the other threads. */
  async listen(port: number): Promise<void> {
    await this.#state.registry.start();
    await this.#edge.listen(port);
  }

  /** Other settings from now on; requests under way finish with those they began with. Nothing in here can fail. */
  adopt(settings: Settings): void {
    adoptSettings(this.#state, settings);
    this.#edge.reconfigure(settings.listen);
    this.#admin.reconfigure(settings);
    this.#runtime = runtimeOf(this.#state, settings);
  }

  /** The router is about to stop: not ready any more. */
  announceStop(): void {
    this.#stopping = true;
  }

  /** Closes each connection after its response; resolves when the last one has left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const stopped = this.#edge.stop();
    this.#state.admission.close();
    this.#state.workerWait.close();
    await stopped;
  }

  cut(): void {
    this.#edge.cut();
  }

  /** After `stop`. Resolves when control has been given what it is still owed: metrics, records, lines of the log. */
  async close(): Promise<void> {
    await closeOutbound(this.#state);
    await this.#state.decisionLog?.close();
    await this.#state.view.close();
  }
}
