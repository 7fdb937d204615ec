import type { App } from '../app.ts';
import type { Address } from '../app/listeners.ts';
import { problemLine } from '../config/load/layer.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { OpenLog } from '../observe/log.ts';
import { loadConfigWithPlugins, noPlugins, type LoadedPlugins } from '../plugins/load-plugins.ts';
import { httpUrl, listenerUrl } from '../router.ts';
import { openApp } from '../threads/open-app.ts';
import type { SimOptions } from '../sim/server/options.ts';
import { startSimWorker, type SimWorker } from '../sim/server/server.ts';
import { warmUp } from '../warm-up/warm-up.ts';
import { showPairs } from './demo-pairs.ts';
import { openLog } from './open-log.ts';
import { untilSignal } from './until-signal.ts';

const USAGE = `vllm-router demo [--workers N] [--pd] [flags of the server]

Runs N simulated vLLM workers (4) and a router in front of them, without a GPU, until Ctrl-C.
With --pd half of them compute prompts for the others, and a few requests show what that does.
`;

/** `vllm-router demo`: what a newcomer's first minute looks like. Resolves to the exit code. */
export async function demo(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const isPd = argv.includes('--pd');
  const { count, rest } = takeWorkerCount(argv.filter((arg) => arg !== '--pd'));
  if (count === undefined) {
    process.stderr.write('vllm-router: demo --workers takes a number from 1 to 64\n');
    return 2;
  }
  if (isPd && count < 2) {
    process.stderr.write('vllm-router: demo --pd needs two workers or more\n');
    return 2;
  }
  const signal = untilSignal();
  const roleOf = (index: number): SimOptions =>
    isPd ? { role: index % 2 === 0 ? 'prefill' : 'decode' } : {};
  const workers = await Promise.all(
    Array.from({ length: count }, (_, seed) => startSimWorker({ seed, ...roleOf(seed) })),
  );
  try {
    return await run(rest, workers, signal);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
  }
}

async function run(
  flags: readonly string[],
  workers: readonly SimWorker[],
  signal: Promise<unknown>,
): Promise<number> {
  const argv = [...flags, ...workerFlags(workers)];
  const loaded = await loadConfigWithPlugins({ argv, env: process.env, cwd: process.cwd() });
  if (loaded.kind === 'error') {
    for (const problem of loaded.problems) process.stderr.write(`vllm-router: ${problemLine(problem)}\n`);
    return 2;
  }
  if (loaded.kind !== 'ok') return 0;
  const opened = openLog(loaded.settings.log);
  if (!opened) return 1;
  try {
    const { app, address } = await listen({ ...loaded, plugins: loaded.plugins ?? noPlugins() }, opened);
    await app.firstWorker();
    process.stdout.write(welcome(app, address, loaded.settings, workers));
    const { log } = opened;
    const warmedUp =
      loaded.settings.warmUp && app.servesItself
        ? warmUp(loaded.settings, { log, isBusy: () => app.isBusy })
        : undefined;
    if (workers.some(isPrefill)) {
      const { listen: at } = loaded.settings;
      const shown = showPairs(app, listenerUrl(at, address.port), modelOf(app));
      process.stdout.write((await Promise.race([shown, signal.then(() => '')])) || '');
    }
    await signal;
    await app.stop({ immediately: true });
    await warmedUp;
    return 0;
  } catch (error) {
    process.stderr.write(`vllm-router: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await opened.close();
  }
}

interface Started extends PortableConfig {
  readonly settings: Settings;
  readonly plugins: LoadedPlugins;
}

/** A port in use is no reason to spoil somebody's first minute: any free one will do. */
async function listen(
  { settings, config, material, plugins }: Started,
  logCounts: OpenLog,
): Promise<{ app: App; address: Address }> {
  const { log } = logCounts;
  const { set, modules } = plugins;
  const deps = {
    ...{ log, config, material, logCounts, lines: logCounts, plugins: set },
    ...{ pluginSources: modules, warmUp: settings.warmUp },
  };
  const app = await openApp(settings, deps);
  try {
    return { app, address: await app.start() };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    process.stdout.write(`${error.message}; free ports are taken instead\n`);
  }
  const anyPort = {
    ...settings,
    listen: { ...settings.listen, port: 0 },
    metrics: { ...settings.metrics, port: 0 },
  };
  const second = await openApp(anyPort, deps);
  return { app: second, address: await second.start() };
}

function welcome(app: App, address: Address, settings: Settings, workers: readonly SimWorker[]): string {
  const url = listenerUrl(settings.listen, address.port);
  const metrics =
    address.metricsPort === undefined
      ? 'off'
      : `${httpUrl(settings.metrics.host, address.metricsPort)}/metrics`;
  const model = modelOf(app);
  return `
  vllm-router is running in front of ${workers.length} simulated vLLM workers.

    Router    ${url}        (policy: ${settings.policy.type})
    Metrics   ${metrics}
    Workers   ${workers.map((worker) => `${worker.url}${isPrefill(worker) ? ' (prefill)' : ''}`).join('  ')}

  Try it. The response headers say which worker served you and why:

    curl -iN ${url}/v1/chat/completions \\
      -H 'content-type: application/json' \\
      -d '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

  Or point an OpenAI client at ${url}/v1 with any API key. Ctrl-C stops everything.

`;
}

function workerFlags(workers: readonly SimWorker[]): string[] {
  if (!workers.some(isPrefill)) return ['--worker-urls', ...workers.map(({ url }) => url)];
  return workers.flatMap((worker) => [isPrefill(worker) ? '--prefill' : '--decode', worker.url]);
}

function isPrefill({ kvTransfer }: SimWorker): boolean {
  return kvTransfer?.role === 'prefill';
}

function modelOf({ runtime }: App): string {
  const [model = 'sim-model'] = runtime.registry.workers.flatMap(({ models }) => [...models]);
  return model;
}

function takeWorkerCount(argv: readonly string[]): { count: number | undefined; rest: readonly string[] } {
  const rest: string[] = [];
  let text = '4';
  for (let at = 0; at < argv.length; at += 1) {
    const arg = argv[at] ?? '';
    if (arg === '--workers') text = argv[(at += 1)] ?? '';
    else if (arg.startsWith('--workers=')) text = arg.slice('--workers='.length);
    else rest.push(arg);
  }
  const count = Number(text);
  return { count: /^\d{1,2}$/.test(text) && count >= 1 && count <= 64 ? count : undefined, rest };
}
