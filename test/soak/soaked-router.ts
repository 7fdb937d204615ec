import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request, type RequestOptions } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';

const LAUNCHER = resolve(import.meta.dirname, '../../bin/vllm-router.js');
const START_MS = 60_000;
const STOP_MS = 20_000;

export const ADMIN_KEY = 'soak-admin';
/** Keys of two tenants: one with limits that bite, one without. */
export const TENANT_KEYS = { free: 'sk-free', limited: 'sk-limited' } as const;

/** A request for this model ends the thread that has it, as a fault in a plugin would. */
const FATAL_MODEL = 'fatal';
const FATAL = `export default {
  apiVersion: 1,
  hooks: {
    fatal: {
      create: () => ({
        run({ model }) {
          if (model === '${FATAL_MODEL}')
            setTimeout(() => {
              throw new Error('the fault of the soak');
            });
          return { action: 'allow' };
        },
      }),
    },
  },
};
`;

/** The router as a process of its own, as its operators run it. */
export class SoakedRouter {
  readonly port: number;
  readonly metricsPort: number;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #config: string;
  readonly #workerUrls: readonly string[];
  /** Request threads. */
  readonly threads: number;

  private constructor(
    child: ChildProcess,
    place: {
      readonly port: number;
      readonly metricsPort: number;
      readonly config: string;
      readonly workerUrls: readonly string[];
      readonly threads: number;
    },
  ) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.port = place.port;
    this.metricsPort = place.metricsPort;
    this.#config = place.config;
    this.#workerUrls = place.workerUrls;
    this.threads = place.threads;
  }

  /** Resolves when it listens. Logs and the configuration are kept in `dir`. */
  static async start(dir: string, workerUrls: readonly string[], threads: number): Promise<SoakedRouter> {
    const config = join(dir, 'router.yaml');
    if (threads > 1) writeFileSync(join(dir, 'fatal.mjs'), FATAL);
    writeFileSync(config, configText(dir, workerUrls, { turn: 0, threads }));
    const log = join(dir, 'router.log');
    const file = openSync(log, 'w');
    const child = spawn(process.execPath, [LAUNCHER, '--config-file', config], {
      stdio: ['ignore', file, file],
      env: ownEnvironment(),
    });
    closeSync(file);
    const deadline = Date.now() + START_MS;
    for (;;) {
      const text = readFileSync(log, 'utf8');
      const [, port] = /"url":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(text) ?? [];
      const [, metricsPort] = /127\.0\.0\.1:(\d+)\/metrics/.exec(text) ?? [];
      if (port !== undefined && metricsPort !== undefined) {
        const place = { port: Number(port), metricsPort: Number(metricsPort), config, workerUrls, threads };
        return new SoakedRouter(child, place);
      }
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`the router did not start:\n${text}`);
      }
      await pause(50);
    }
  }

  /** Whether its process has not ended. */
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** An admin or worker route, on a connection of its own. */
  async admin(method: string, path: string, body?: object): Promise<{ status: number; json: unknown }> {
    const ask = { port: this.port, method, path, headers: { 'x-admin-key': ADMIN_KEY } };
    const bytes = body === undefined ? '' : JSON.stringify(body);
    // A thread that dies takes the operator's request with it as well.
    const again = (error: unknown): ReturnType<typeof exchange> => {
      if (this.threads === 1) throw error;
      return exchange(ask, bytes);
    };
    const { status, text } = await exchange(ask, bytes).catch(again);
    return { status, json: JSON.parse(text || 'null') };
  }

  async metrics(): Promise<string> {
    return (await exchange({ port: this.metricsPort, path: '/metrics' })).text;
  }

  /** Writes the configuration with another value in it and has it read. */
  async reload(turn: number): Promise<number> {
    const text = configText(dirname(this.#config), this.#workerUrls, { turn, threads: this.threads });
    writeFileSync(this.#config, text);
    return (await this.admin('POST', '/admin/reload')).status;
  }

  /** Asks for what ends the thread that is asked. */
  async meetFault(): Promise<void> {
    const body = JSON.stringify({ model: FATAL_MODEL, messages: [], stream: true });
    const headers = { authorization: `Bearer ${TENANT_KEYS.free}`, 'content-type': 'application/json' };
    const ask = { port: this.port, method: 'POST', path: '/v1/chat/completions', headers };
    await exchange(ask, body).catch(() => undefined);
  }

  /** SIGTERM; resolves to its exit status and how long it took, in ms. */
  async stop(): Promise<{ readonly status: number | string; readonly tookMs: number }> {
    const startedAt = performance.now();
    if (this.alive) {
      const ended = once(this.#child, 'exit');
      const kill = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
      this.#child.kill('SIGTERM');
      await ended;
      clearTimeout(kill);
    }
    const { exitCode, signalCode } = this.#child;
    return { status: exitCode ?? signalCode ?? 'unknown', tookMs: performance.now() - startedAt };
  }
}

function exchange(options: RequestOptions, body = ''): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('error', reject).once('end', () => {
        resolve({ status: response.statusCode ?? 0, text });
      });
    });
    call.once('error', reject).end(body);
  });
}

/** `turn` changes what a reload may change, so that each reload has something to do. */
function configText(
  dir: string,
  workerUrls: readonly string[],
  { turn, threads }: { readonly turn: number; readonly threads: number },
): string {
  return stringify({
    ...{ host: '127.0.0.1', port: 0, worker_urls: workerUrls, policy: 'least_work' },
    metrics: { host: '127.0.0.1', port: 0 },
    ...{ log_dir: join(dir, 'logs'), log_format: 'json' },
    decision_log: {
      export_path: join(dir, 'decisions.jsonl'),
      max_file_bytes: 4 * 1024 * 1024,
      keep_files: 2,
    },
    admin_api_key: ADMIN_KEY,
    api_keys: [
      { name: 'free', key: TENANT_KEYS.free, max_concurrent: 10_000, rate_limit_rps: 1_000_000 },
      {
        ...{ name: 'limited', key: TENANT_KEYS.limited, max_concurrent: 2, rate_limit_rps: 5 },
        ...{ tokens_per_minute: 20_000, allowed_models: ['sim-model'] },
      },
    ],
    ...{ queue_size: 1000, request_timeout_secs: 60 + (turn % 2), shutdown_timeout_secs: 10 },
    // Small bounds are reached early: what grows after that is a leak.
    cache_index: { max_bytes: 8 * 1024 * 1024 },
    decision_ring: { max_records: 200 },
    retry: { initial_backoff_ms: 5, max_backoff_ms: 50 + (turn % 2) },
    slow_start_secs: 1,
    health_check: { check_interval_secs: 2 },
    ...(threads > 1 && {
      ...{ threads, plugins: ['./fatal.mjs'] },
      pre_routing_hooks: [{ name: 'fatal', plugin: 'fatal', tunnels: 'pass' }],
    }),
  });
}

/** The settings of the user's own router must not take part. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:VLLM_ROUTER_|NODE_OPTIONS|NODE_TEST_CONTEXT)/.test(name),
  );
  return Object.fromEntries(kept);
}
