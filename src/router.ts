import type { ReloadReport } from './admin/reload-report.ts';
import type { App } from './app.ts';
import { openApp } from './threads/open-app.ts';
import { configFromOptions } from './config/load/load.ts';
import type { PortableConfig } from './config/load/material.ts';
import type { RouterOptions } from './config/load/options.ts';
import type { ListenSettings, Settings } from './config/settings/settings.ts';
import { importPlugins, ownPlugins } from './plugins/own-plugins.ts';
import type { PluginSet } from './plugins/plugin-set.ts';
import { createLog, type OpenLog } from './observe/log.ts';
import { warmUp } from './warm-up/warm-up.ts';
import type { Decision } from './request/record/decision.ts';

/** Options that do not make a configuration; one line per problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export interface RunningRouter {
  /** Where clients connect, e.g. `http://127.0.0.1:30000`. */
  readonly url: string;
  /** Where Prometheus scrapes, or undefined when metrics are off. */
  readonly metricsUrl: string | undefined;
}

/**
 * A router inside another program. Options are those of the command line in camel case.
 *
 *     const router = new Router({ workerUrls: ['http://worker1:8000'], policy: 'least_work', logDir: './logs' });
 *     const { url } = await router.start();
 *     await router.stop();
 */
export class Router {
  #settings: Settings;
  #portable: PortableConfig;
  readonly #notices: readonly string[];
  readonly #plugins: PluginSet;
  readonly #wantsWarmUp: boolean;
  #warmedUp: Promise<void> | undefined;
  #app: App | undefined;
  #log: OpenLog | undefined;

  /**
   * @param options `plugins` are objects here; `Router.load` takes paths and names of packages as well.
   * @throws ConfigError naming every option that is wrong.
   */
  constructor(options: RouterOptions) {
    const { plugins, rest, problems } = ownPlugins(options);
    const resolved = configFromOptions(rest, plugins);
    if (problems.length > 0) throw new ConfigError(problems);
    if (resolved.kind === 'error')
      throw new ConfigError(resolved.problems.map((problem) => `${problem.at}: ${problem.message}`));
    this.#plugins = plugins;
    // A program has code of its own to warm up, and often more than one router: it must ask for it.
    this.#wantsWarmUp = options.warmUp === true;
    this.#settings = resolved.settings;
    this.#portable = resolved;
    this.#notices = resolved.notices;
  }

  /**
   * The same with `plugins` that have to be loaded first; relative paths start in the working directory.
   * @throws ConfigError (as a rejection) also where a module cannot be loaded.
   */
  static async load(options: RouterOptions): Promise<Router> {
    const { exported, problems } = await importPlugins(options.plugins ?? [], process.cwd());
    if (problems.length > 0) throw new ConfigError(problems);
    return new Router({ ...options, plugins: exported });
  }

  /** Resolves when the router listens; workers join as they are found healthy. */
  async start(): Promise<RunningRouter> {
    if (this.#app) throw new Error('the router is running');
    const log = createLog(this.#settings.log);
    for (const notice of this.#notices) log.log.warn({}, notice);
    const app = await openApp(this.#settings, {
      log: log.log,
      config: this.#portable.config,
      material: this.#portable.material,
      pluginSources: this.#plugins.isEmpty ? [] : undefined,
      warmUp: this.#wantsWarmUp,
      plugins: this.#plugins,
      ...{ logCounts: log, lines: log },
      setLogLevel: log.setLevel,
    });
    this.#log = log;
    this.#app = app;
    try {
      const { port, metricsPort } = await app.start();
      if (this.#wantsWarmUp && app.servesItself)
        this.#warmedUp = warmUp(this.#settings, { log: log.log, isBusy: () => app.isBusy });
      const { listen, metrics } = this.#settings;
      return {
        url: listenerUrl(listen, port),
        metricsUrl: metricsPort === undefined ? undefined : `${httpUrl(metrics.host, metricsPort)}/metrics`,
      };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Puts other options in force while requests are under way; options that are left out have their defaults. Requests
   * under way finish with those they began with, and what was learnt is kept. Resolves to what has changed or, with
   * `dryRun`, would change.
   *
   * @throws ConfigError naming every option that is wrong; nothing has changed then.
   */
  async reload(options: RouterOptions, { dryRun = false } = {}): Promise<ReloadReport> {
    if (!this.#app) throw new Error('the router is not running');
    // Modules are loaded once: whatever `plugins` is now, policies and hooks are those of the start.
    const resolved = configFromOptions(ownPlugins(options).rest, this.#plugins);
    const outcome = await this.#app.reload({ who: 'program', dryRun }, resolved);
    if (outcome.kind !== 'done')
      throw new ConfigError(
        outcome.problems.length > 0
          ? outcome.problems.map((problem) => `${problem.at}: ${problem.message}`)
          : [outcome.message],
      );
    if (!dryRun && resolved.kind === 'ok') {
      this.#settings = resolved.settings;
      this.#portable = resolved;
    }
    return outcome.report;
  }

  /** Resolves to whether a worker became healthy within `workerStartupTimeoutSecs`. */
  ready(): Promise<boolean> {
    return this.#app?.firstWorker() ?? Promise.resolve(false);
  }

  /** The latest decision records, oldest first. */
  decisions(limit = 50): Promise<readonly Decision[]> {
    return this.#app?.allDecisions(limit) ?? Promise.resolve([]);
  }

  /** Lets open responses finish, up to `shutdownTimeoutSecs`. */
  async stop(): Promise<void> {
    const app = this.#app;
    const log = this.#log;
    this.#app = undefined;
    this.#log = undefined;
    await app?.stop();
    await this.#warmedUp;
    await log?.close();
  }
}

/** A URL for an address that was listened on: wildcards become the loopback, IPv6 gets its brackets. */
export function httpUrl(host: string, port: number, scheme: 'http' | 'https' = 'http'): string {
  if (host === '0.0.0.0') return `${scheme}://127.0.0.1:${port}`;
  if (host === '::') return `${scheme}://[::1]:${port}`;
  return host.includes(':') ? `${scheme}://[${host}]:${port}` : `${scheme}://${host}:${port}`;
}

/** Where clients connect. */
export function listenerUrl({ host, tls }: Pick<ListenSettings, 'host' | 'tls'>, port: number): string {
  return httpUrl(host, port, tls ? 'https' : 'http');
}
