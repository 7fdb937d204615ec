import type { App } from '../app.ts';
import { problemLine } from '../config/load/layer.ts';
import { policyName, type Settings } from '../config/settings/settings.ts';
import { VERSION } from '../config/version.ts';
import type { Log } from '../observe/log.ts';
import { describeModules, loadConfigWithPlugins, noPlugins, rereadConfig } from '../plugins/load-plugins.ts';
import { httpUrl, listenerUrl } from '../router.ts';
import { openApp } from '../threads/open-app.ts';
import { setUpCollector } from '../collector/set-up-collector.ts';
import { openLog } from './open-log.ts';
import { pdFacts } from './pd-facts.ts';
import { untilSignal } from './until-signal.ts';

/** The server. Resolves to the exit code: 2 for a bad configuration, 1 when it cannot start or finds no worker. */
export async function serve(argv: readonly string[]): Promise<number> {
  const input = { argv, env: process.env, cwd: process.cwd() };
  const loaded = await loadConfigWithPlugins(input);
  if (loaded.kind === 'error') {
    for (const problem of loaded.problems) process.stderr.write(`vllm-router: ${problemLine(problem)}\n`);
    return 2;
  }
  if (loaded.kind !== 'ok') return 0;
  const { settings, config, material, notices, plugins = noPlugins() } = loaded;
  const opened = openLog(settings.log);
  if (!opened) return 1;
  const { log, close, setLevel } = opened;
  for (const notice of notices) log.warn({}, notice);
  for (const line of describeModules(plugins)) log.info({}, `plugin ${line}`);
  const { configFile: file, files = [] } = loaded;
  const source = file === undefined ? undefined : { file, files, reread: () => rereadConfig(input, plugins) };
  const app = await openApp(settings, {
    ...{ log, config, material, source, plugins: plugins.set },
    ...{ pluginSources: plugins.modules, warmUp: settings.warmUp },
    ...{ logCounts: opened, lines: opened },
    setLogLevel: setLevel,
  });
  try {
    return await run(app, settings, log);
  } finally {
    await close();
  }
}

async function run(app: App, settings: Settings, log: Log): Promise<number> {
  // Asked for before listening, so that a signal during start-up is not lost.
  const signal = untilSignal();
  const reloading = reloadOnSignal(app);
  try {
    const { port, metricsPort } = await app.start();
    log.info(
      {
        url: listenerUrl(settings.listen, port),
        metrics: metricsPort === undefined ? 'off' : `${httpUrl(settings.metrics.host, metricsPort)}/metrics`,
        policy: policyName(settings.policy),
        workers: settings.workers.length,
        pd: pdFacts(settings),
        threads: app.servesItself ? 1 : settings.threads,
        version: VERSION,
      },
      'vllm-router listens',
    );
    reloading.begin();
  } catch (error) {
    process.stderr.write(`vllm-router: ${messageOf(error)}\n`);
    // Whatever listens or runs already, as publishers' port does, would keep the process.
    await app.stop({ immediately: true });
    return 1;
  }
  await app.prepareAdmin();
  if (app.servesItself) setUpCollector(app.isBusy);
  const warmedUp = settings.warmUp && app.servesItself ? startWarmUp(app, settings, log) : undefined;
  const never = new Promise<never>(() => undefined);
  // With a state file, and to a gateway, workers may come through the API at any time; others register themselves.
  const mayCome = settings.stateFile !== undefined || settings.gateway || settings.pd.discovery !== undefined;
  const waits = mayCome ? never : app.firstWorker();
  const noWorker = waits.then((found) => (found ? never : ('no_worker' as const)));
  const end = await Promise.race([signal, noWorker]);
  if (end === 'no_worker') {
    const workers = app.runtime.registry.workers.map(({ id, health }) => ({
      worker: id,
      reason: health.reason,
    }));
    log.error(
      { timeout_secs: settings.workerStartupTimeoutMs / 1000, workers },
      'no worker became healthy in time',
    );
    await app.stop({ immediately: true });
    return 1;
  }
  log.info({ signal: end }, 'stopping: open responses are finished first; a second signal cuts them');
  void untilSignal().then(() => app.cut());
  await app.stop();
  await warmedUp;
  log.info({}, 'stopped');
  return 0;
}

async function startWarmUp(app: App, settings: Settings, log: Log): Promise<void> {
  const { warmUp } = await import('../warm-up/warm-up.ts');
  await warmUp(settings, { log, isBusy: () => app.isBusy });
}

/** SIGHUP reads the configuration again: from `begin` on, which makes up for one that came before. */
function reloadOnSignal(app: App): { begin: () => void } {
  let begun = false;
  let missed = false;
  const reload = (): void => {
    if (begun) void app.reload({ who: 'SIGHUP', dryRun: false });
    else missed = true;
  };
  process.on('SIGHUP', reload);
  return {
    begin: () => {
      begun = true;
      if (missed) reload();
    },
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
