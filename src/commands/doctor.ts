import { readRole } from '../admin/kv-transfer-view.ts';
import { systemClock } from '../base/system-clock.ts';
import { systemRandom } from '../base/random.ts';
import { wantsColours } from '../base/colours.ts';
import { problemLine } from '../config/load/layer.ts';
import type { LoadInput } from '../config/load/load.ts';
import type { Settings, WorkerSpec } from '../config/settings/settings.ts';
import { parseWorkerUrl } from '../config/schema/worker-url.ts';
import { workerSpecs } from '../config/settings/worker-specs.ts';
import { CHECKS } from '../doctor/checks/index.ts';
import { examineFleet } from '../doctor/examine-fleet.ts';
import { DOCTOR_USAGE, parseDoctorFlags, type DoctorOptions } from '../doctor/flags.ts';
import { routerChecks, askRouter, type RunningRouter } from '../doctor/running-router.ts';
import { reportOf } from '../doctor/report.ts';
import { textReport } from '../doctor/text-report.ts';
import { loadConfigWithPlugins } from '../plugins/load-plugins.ts';
import { ProgressBar } from './progress-bar.ts';
import { readRouterConfig } from './router-config.ts';

export interface DoctorIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly bar: Pick<ProgressBar, 'show' | 'clear'>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly colours: boolean;
}

const PROCESS_IO = (): DoctorIo => ({
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  bar: new ProgressBar(process.stderr),
  env: process.env,
  colours: wantsColours(process.stdout, process.env),
});

/** `vllm-router doctor`. Resolves to the exit code: 2 for a bad argument or configuration, 1 where a check failed. */
export async function doctor(argv: readonly string[], io: DoctorIo = PROCESS_IO()): Promise<number> {
  const flags = parseDoctorFlags(argv);
  if (flags.kind === 'help') {
    io.out(DOCTOR_USAGE);
    return 0;
  }
  if (flags.kind === 'error') return refuse(io, flags.message);
  const { options } = flags;
  const input: LoadInput = {
    ...{ argv: options.rest, env: io.env, cwd: process.cwd() },
    needsWorkers: options.routerUrl === undefined,
  };
  const loaded = await loadConfigWithPlugins(input);
  if (loaded.kind === 'error') {
    for (const problem of loaded.problems) refuse(io, problemLine(problem));
    return 2;
  }
  if (loaded.kind !== 'ok') return refuse(io, `unexpected flag; see vllm-router doctor --help`);
  // The clock's timers do not keep a process.
  const alive = setInterval(() => undefined, 60_000);
  try {
    return await examineAll({ settings: loaded.settings, input }, options, io);
  } finally {
    clearInterval(alive);
  }
}

async function examineAll(
  own: { readonly settings: Settings; readonly input: LoadInput },
  { routerUrl, json, timeoutMs }: DoctorOptions,
  io: DoctorIo,
): Promise<number> {
  const { out, bar, colours } = io;
  const checkedAt = systemClock.wall();
  const asks = { settings: own.settings, clock: systemClock, timeoutMs };
  const router = routerUrl === undefined ? undefined : await readRouter(routerUrl, asks);
  if (typeof router === 'string') {
    io.err(`vllm-router doctor: ${String(routerUrl)}: ${router}\n`);
    return 1;
  }
  const settings = await settingsFor(router, own, io);
  // What a provider is asked costs money, and says nothing of an engine.
  const workers = (router ? specsIn(router, settings) : settings.workers).filter(
    ({ traits }) => traits.role !== 'external',
  );
  const deps = {
    settings,
    clock: systemClock,
    random: systemRandom,
    timeoutMs,
    isElsewhere: router !== undefined,
  };
  const examinations = await examineFleet(workers, deps, {
    ...(router && { checks: [...routerChecks(router), ...CHECKS] }),
    onProgress: ({ done, worker, check }) => bar.show(done, `${worker} ${check}`),
  });
  bar.clear();
  const report = reportOf(examinations, { checkedAt, router: router?.url });
  out(json ? `${JSON.stringify(report, null, 2)}\n` : textReport(report, colours));
  return report.healthy ? 0 : 1;
}

/** With what the router says of its own beneath what this command line says. */
async function settingsFor(
  router: RunningRouter | undefined,
  { settings, input }: { readonly settings: Settings; readonly input: LoadInput },
  { err }: DoctorIo,
): Promise<Settings> {
  if (!router) return settings;
  const told =
    router.config && (await loadConfigWithPlugins({ ...input, beneath: readRouterConfig(router.config) }));
  if (told?.kind === 'ok') return told.settings;
  err(
    'vllm-router doctor: what the router says of its configuration is not known here: the workers are held against this command line alone\n',
  );
  return settings;
}

/** A text says why it cannot be asked. */
function readRouter(url: string, deps: Parameters<typeof askRouter>[2]): Promise<RunningRouter | string> {
  const parsed = parseWorkerUrl(url);
  if (parsed.kind === 'bad') return Promise.resolve(`expected ${parsed.expected}`);
  return askRouter(parsed.address.baseUrl, deps.settings.adminApiKey, deps);
}

const ONE_RANK = { regular: 1, prefill: 1, decode: 1 };

/** The keys of its workers a router does not tell: those of this command line count. */
function specsIn({ workers }: RunningRouter, { workerDefaults }: Settings): readonly WorkerSpec[] {
  return [...workers].flatMap(([id, view]) => {
    const parsed = parseWorkerUrl(id);
    // The ranks stand in the list one by one.
    return parsed.kind === 'ok'
      ? workerSpecs(parsed.address, { ...workerDefaults, ranksPerUrl: ONE_RANK }).map((spec) => ({
          ...spec,
          traits: { ...spec.traits, ...readRole(view) },
        }))
      : [];
  });
}

function refuse({ err }: DoctorIo, message: string): number {
  err(`vllm-router doctor: ${message}\n`);
  return 2;
}
