import { getCompileCacheDir } from 'node:module';
import type { Control } from '../app.ts';
import type { Front } from '../app/front.ts';
import { StartError } from '../app/start-error.ts';
import type { Clock } from '../base/clock.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { Settings } from '../config/settings/settings.ts';
import { ThreadCounts } from '../observe/thread-metrics.ts';
import type { PluginSource } from '../plugins/load-plugins.ts';
import { probePort } from './probe-port.ts';
import { ReloadsOfThreads } from './reload-protocol.ts';
import type { RequestThreads } from './request-threads.ts';
import { CLOSE, CUT, LISTEN, STOP, STOPPING } from './thread-messages.ts';

/** A thread that has not cut its connections by then does not hear. */
const CUT_MS = 2_000;
/** A thread that does not write out what it has left by then is late. */
const CLOSE_MS = 5_000;

export interface ThreadsFrontDeps extends Control {
  readonly clock: Clock;
  readonly plugins: readonly PluginSource[];
  readonly warmUp: boolean;
}

/** The front of a router with several threads: a listener in each, on one port. */
export class ThreadsFront implements Front {
  readonly #threads: RequestThreads;
  readonly #deps: ThreadsFrontDeps;
  readonly #counts: ThreadCounts;
  readonly #reloads: ReloadsOfThreads;
  #port = 0;
  /** The rows of threads that have connections open, once no more come. */
  #draining: Set<number> | undefined;
  #stopping = false;

  constructor(threads: RequestThreads, deps: ThreadsFrontDeps) {
    this.#threads = threads;
    this.#deps = deps;
    this.#counts = new ThreadCounts(deps.state.metrics, threads.configured);
    this.#reloads = new ReloadsOfThreads(threads.channels, {
      serves: (row) => threads.serves(row),
      onSilent: (row) => void threads.replace(row, 'hung'),
    });
  }

  get threads(): Front['threads'] {
    return { configured: this.#threads.configured, serving: this.#threads.running };
  }

  async listen(): Promise<number> {
    const { state, clock, plugins, portable, warmUp } = this.#deps;
    const { host, port } = state.settings.listen;
    this.#port = await probePort(host, port);
    const started = this.#threads.start({
      clock,
      start: () => ({
        ...{ portable: portable(), generation: this.#reloads.generation },
        ...{ plugins, warmUp, descriptors: state.descriptors, compileCache: getCompileCacheDir() },
      }),
      bringUp: async (channel) => {
        await channel.ask(LISTEN, this.#port);
        if (this.#stopping) channel.post(STOPPING, undefined);
      },
      onEnded: (row, end, error) => {
        this.#counts.running(this.#threads.running);
        this.#counts.replaced(end);
        const next = this.#draining ? 'while the router stops' : 'and is replaced';
        state.log.error({ thread: row, reason: end, err: error }, `a request thread ended, ${next}`);
      },
      onReplaced: (row) => {
        this.#counts.running(this.#threads.running);
        state.log.info({ thread: row }, 'the request thread serves again');
      },
    });
    await started.catch((error: unknown) => {
      throw new StartError('a request thread cannot start', error);
    });
    this.#counts.running(this.#threads.running);
    return this.#port;
  }

  prepare(_settings: Settings, portable: PortableConfig): Promise<() => void> {
    return this.#reloads.prepare(portable, () => this.#threads.memory.regions);
  }

  announceStop(): void {
    this.#stopping = true;
    this.#threads.channels.broadcast(STOPPING, undefined);
  }

  async stop(): Promise<void> {
    this.#threads.beginNoMore();
    const { channels } = this.#threads;
    const draining = (this.#draining = new Set(channels.rows));
    await Promise.all(
      [...draining].map(async (row) => {
        // One that has ended has no connections either.
        await channels
          .to(row)
          ?.ask(STOP, undefined)
          .catch(() => undefined);
        draining.delete(row);
      }),
    );
  }

  cut(): void {
    this.#threads.channels.broadcast(CUT, undefined);
    if (!this.#draining) return;
    this.#deps.clock.after(CUT_MS, () => {
      for (const row of this.#draining ?? []) void this.#threads.replace(row, 'hung');
    });
  }

  async close(): Promise<void> {
    await this.#threads.channels.askAll(CLOSE, undefined, CLOSE_MS);
    await this.#threads.end();
  }
}
