import { getCompileCacheDir } from 'node:module';
import type { Control } from '../app.ts';
import type { Front } from '../app/front.ts';
import type { Clock } from '../base/clock.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { Settings } from '../config/settings/settings.ts';
import { ThreadCounts } from '../observe/thread-metrics.ts';
import type { PluginSource } from '../plugins/load-plugins.ts';
import { probePort } from './probe-port.ts';
import { ReloadsOfThreads } from './reload-protocol.ts';
import type { RequestThreads } from './request-threads.ts';
import { CLOSE, CUT, LISTEN, STOP, STOPPING } from './thread-messages.ts';

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
  #stopping = false;

  constructor(threads: RequestThreads, deps: ThreadsFrontDeps) {
    this.#threads = threads;
    this.#deps = deps;
    this.#counts = new ThreadCounts(deps.state.metrics, threads.configured);
    this.#reloads = new ReloadsOfThreads(threads.channels, {
      onSilent: (row) => void threads.replace(row, 'hung'),
    });
  }

  async listen(): Promise<number> {
    const { state, clock, plugins, portable, warmUp } = this.#deps;
    const { host, port } = state.settings.listen;
    this.#port = await probePort(host, port);
    await this.#threads.start({
      clock,
      start: () => ({
        ...{ portable: portable(), generation: this.#reloads.generation },
        ...{ plugins, warmUp, descriptors: state.descriptors, compileCache: getCompileCacheDir() },
      }),
      bringUp: async (channel) => {
        await channel.ask(LISTEN, this.#port);
        if (this.#stopping) channel.post(STOPPING, undefined);
        this.#counts.running(this.#threads.running);
      },
      onEnded: (row, end, error) => {
        this.#counts.running(this.#threads.running);
        this.#counts.replaced(end);
        state.log.error({ thread: row, reason: end, err: error }, 'a request thread ended, and is replaced');
      },
      onReplaced: (row) => {
        state.log.info({ thread: row }, 'the request thread serves again');
      },
    });
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
    const { channels } = this.#threads;
    const all = [...channels.rows].flatMap((row) => channels.to(row) ?? []);
    await Promise.allSettled(all.map((channel) => channel.ask(STOP, undefined)));
  }

  cut(): void {
    this.#threads.channels.broadcast(CUT, undefined);
  }

  async close(): Promise<void> {
    await this.#threads.channels.askAll(CLOSE, undefined, CLOSE_MS);
    await this.#threads.end();
  }
}
