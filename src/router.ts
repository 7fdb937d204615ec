import { App } from './app.ts';
import { configFromOptions } from './config/load.ts';
import type { Config } from './config/schema.ts';
import type { RouterOptions } from './config/options.ts';
import type { Settings } from './config/settings.ts';
import { createLog, type OpenLog } from './observe/log.ts';
import type { Decision } from './request/decision.ts';

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
 *     const router = new Router({ workerUrls: ['http://worker1:8000'], policy: 'cache_aware', logDir: './logs' });
 *     const { url } = await router.start();
 *     await router.stop();
 */
export class Router {
  readonly #settings: Settings;
  readonly #config: Config;
  #app: App | undefined;
  #log: OpenLog | undefined;

  /** @throws ConfigError naming every option that is wrong. */
  constructor(options: RouterOptions) {
    const resolved = configFromOptions(options);
    if (resolved.kind === 'error')
      throw new ConfigError(resolved.problems.map((problem) => `${problem.at}: ${problem.message}`));
    this.#settings = resolved.settings;
    this.#config = resolved.config;
  }

  /** Resolves when the router listens; workers join as they are found healthy. */
  async start(): Promise<RunningRouter> {
    if (this.#app) throw new Error('the router is running');
    const log = createLog(this.#settings.log);
    const app = new App(this.#settings, {
      log: log.log,
      config: this.#config,
      droppedLogLines: log.dropped,
    });
    this.#log = log;
    this.#app = app;
    try {
      const { port, metricsPort } = await app.start();
      const { listen, metrics } = this.#settings;
      return {
        url: httpUrl(listen.host, port),
        metricsUrl: metricsPort === undefined ? undefined : `${httpUrl(metrics.host, metricsPort)}/metrics`,
      };
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Resolves to whether a worker became healthy within `workerStartupTimeoutSecs`. */
  ready(): Promise<boolean> {
    return this.#app?.firstWorker() ?? Promise.resolve(false);
  }

  /** The latest decision records, oldest first. */
  decisions(limit = 50): readonly Decision[] {
    return this.#app?.decisions(limit) ?? [];
  }

  /** Lets open responses finish, up to `shutdownTimeoutSecs`. */
  async stop(): Promise<void> {
    const app = this.#app;
    const log = this.#log;
    this.#app = undefined;
    this.#log = undefined;
    await app?.stop();
    await log?.close();
  }
}

/** A URL for an address that was listened on: wildcards become the loopback, IPv6 gets its brackets. */
export function httpUrl(host: string, port: number): string {
  if (host === '0.0.0.0') return `http://127.0.0.1:${port}`;
  if (host === '::') return `http://[::1]:${port}`;
  return host.includes(':') ? `http://[${host}]:${port}` : `http://${host}:${port}`;
}
