import {
  auditFields,
  type LoadedConfig,
  type ReloadOutcome,
  type ReloadProblem,
  type ReloadReport,
  type ReloadRequest,
} from '../admin/reload-report.ts';
import type { Clock } from '../base/clock.ts';
import { configChanges, configInForce } from '../config/reload/changes.ts';
import { problemLine, type Problem } from '../config/load/layer.ts';
import type { LoadResult } from '../config/load/load.ts';
import type { PortableConfig } from '../config/load/material.ts';
import type { Config } from '../config/schema/schema.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { reportOf, type PoliciesView } from './reload-plan.ts';
import { workerChanges, type FleetView, type WorkerChanges } from './worker-changes.ts';

/** Where the configuration came from, and how it is read once more: with the flags and variables of the start. */
export interface ConfigSource {
  /** As it was named. */
  readonly file: string;
  /** What was read at the start, absolute. */
  readonly files: readonly string[];
  readonly reread: () => LoadResult;
}

/** A configuration, as it was given and compiled. */
export interface Loaded extends PortableConfig {
  readonly settings: Settings;
}

/** What is put in force, all at once. */
export interface Commit extends Loaded {
  readonly workers: WorkerChanges;
}

export interface ReloadDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly source: ConfigSource | undefined;
  readonly policies: () => PoliciesView;
  readonly fleet: (settings: Settings) => FleetView;
  /** Whether that many workers can be drained now. */
  readonly hasRoomFor: (drains: number) => boolean;
  /** Whatever can fail. What is returned puts the settings in force where requests are served. */
  readonly prepare: (loaded: Loaded) => (() => void) | Promise<() => void>;
  /** Puts it in force. Everything that can fail has been done before. */
  readonly commit: (commit: Commit, serve: () => void) => void;
}

type Planned =
  | {
      readonly kind: 'plan';
      readonly commit: Commit;
      readonly report: ReloadReport;
      /** As it was read, with what waits for a restart. */
      readonly read: Config;
      readonly files: readonly string[];
    }
  | Exclude<ReloadOutcome, { kind: 'done' }>;

/**
 * Puts other configurations in force while requests are under way: reads, validates and compiles everything, files that
 * it names included, and only then changes anything. That happens in one turn of the event loop, so that no request sees
 * half of it; where other threads have to be asked first, one reload waits for the other, so that no two meet.
 */
export class Reloads {
  readonly #deps: ReloadDeps;
  #inForce: Loaded;
  /** The configuration that was read last, which may hold values that wait for a restart. */
  #read: Config;
  #files: readonly string[];
  #loadedAt: number;
  /** The one under way, with those that wait behind it. */
  #last: Promise<unknown> | undefined;

  constructor(start: Loaded, deps: ReloadDeps) {
    this.#deps = deps;
    this.#inForce = start;
    this.#read = start.config;
    this.#files = deps.source?.files ?? [];
    this.#loadedAt = deps.clock.wall();
    this.#noteSuccess();
  }

  /** What is in force. */
  get config(): Config {
    return this.#inForce.config;
  }

  /** The same, for other threads. */
  get portable(): PortableConfig {
    const { config, material } = this.#inForce;
    return { config, material };
  }

  get loaded(): LoadedConfig {
    const waiting = keysThatWait(this.#inForce.config, this.#read);
    return { source: this.#deps.source?.file, loadedAt: this.#loadedAt, waiting };
  }

  /** Every file that what is in force was read from, absolute. */
  get files(): readonly string[] {
    return this.#files;
  }

  /** From the file of the start, or from somewhere else. Never rejects. */
  run(request: ReloadRequest, read = (): LoadResult => this.#reread()): Promise<ReloadOutcome> {
    const outcome = this.#last ? this.#last.then(() => this.#run(request, read)) : this.#run(request, read);
    const last = outcome.finally(() => {
      if (this.#last === last) this.#last = undefined;
    });
    this.#last = last;
    return outcome;
  }

  async #run(request: ReloadRequest, read: () => LoadResult): Promise<ReloadOutcome> {
    let outcome: ReloadOutcome;
    try {
      const attempt = this.#attempt(request, read());
      outcome = attempt instanceof Promise ? await attempt : attempt;
    } catch (error) {
      this.#deps.log.error({ err: error }, 'unexpected error in a reload');
      const message = error instanceof Error ? error.message : String(error);
      outcome = { kind: 'failed', message: `fault in the router: ${message}`, problems: [] };
    }
    if (!request.dryRun) this.#count(outcome);
    return outcome;
  }

  #reread(): LoadResult {
    return this.#deps.source?.reread() ?? { kind: 'error', problems: [NO_FILE] };
  }

  #attempt({ dryRun }: ReloadRequest, loaded: LoadResult): ReloadOutcome | Promise<ReloadOutcome> {
    const planned = this.#plan(loaded, dryRun);
    if (planned.kind !== 'plan') return planned;
    if (dryRun) return { kind: 'done', report: planned.report };
    const ready = this.#deps.prepare(planned.commit);
    if (!(ready instanceof Promise)) return this.#commit(planned, ready);
    return ready.then((serve) => {
      // Workers may have come and gone meanwhile.
      const again = this.#plan(loaded, dryRun);
      return again.kind === 'plan' ? this.#commit(again, serve) : again;
    });
  }

  #commit(
    { commit, report, read, files }: Extract<Planned, { kind: 'plan' }>,
    serve: () => void,
  ): ReloadOutcome {
    this.#inForce = commit;
    this.#read = read;
    this.#files = files;
    this.#loadedAt = this.#deps.clock.wall();
    this.#deps.commit(commit, serve);
    return { kind: 'done', report };
  }

  #plan(loaded: LoadResult, dryRun: boolean): Planned {
    if (loaded.kind === 'error') return refusal(loaded.problems);
    if (loaded.kind !== 'ok') return refused('the flags ask for something else than a router', []);
    const before = this.#inForce;
    const config = configInForce(before.config, loaded.config);
    const compiled = compiledFor(loaded, config);
    if (compiled.kind === 'error') return refusal(compiled.problems);
    const { settings, material } = compiled;
    const { fleet, hasRoomFor, policies } = this.#deps;
    const workers = workerChanges(before.settings.workers, settings.workers, fleet(settings));
    if (workers.conflicts.length > 0)
      return refusal(workers.conflicts.map((message) => ({ at: 'worker_urls', message })));
    if (!hasRoomFor(workers.retire.length))
      return refused('too many workers are being drained or registered; try again later', []);
    const report = reportOf({
      ...{ before, after: loaded.config, workers, dryRun, notices: loaded.notices },
      ...{ policies: policies(), settings },
    });
    const files = loaded.files ?? [];
    return {
      kind: 'plan',
      commit: { config, material, settings, workers },
      report,
      read: loaded.config,
      files,
    };
  }

  #count(outcome: ReloadOutcome): void {
    const { metrics } = this.#deps;
    const result = outcome.kind === 'done' ? 'success' : outcome.kind;
    metrics.configReloadsTotal.with(result).inc();
    if (outcome.kind === 'done') this.#noteSuccess();
    else metrics.configLastReloadSuccessful.with().set(0);
  }

  #noteSuccess(): void {
    const { metrics, clock } = this.#deps;
    metrics.configLastReloadSuccessful.with().set(1);
    metrics.configLastReloadSuccessTimestampSeconds.with().set(clock.wall() / 1000);
  }
}

const NO_FILE: Problem = { at: '--config-file', message: 'the router was started without a file' };

/** What is valid by itself need not be beside what stays from the start. */
function compiledFor(
  loaded: Extract<LoadResult, { kind: 'ok' }>,
  config: Config,
): ({ readonly kind: 'ok' } & Omit<Loaded, 'config'>) | { kind: 'error'; problems: readonly Problem[] } {
  if (config === loaded.config) return loaded;
  const compiled = loaded.compile(config);
  if (compiled.kind === 'ok') return compiled;
  const problems = compiled.problems.map(({ path, message, unreadable }) => ({
    at: path.join('.'),
    message: `${message}, beside what stays until a restart`,
    ...(unreadable && { unreadable }),
  }));
  return { kind: 'error', problems };
}

function refusal(problems: readonly Problem[]): Exclude<ReloadOutcome, { kind: 'done' }> {
  const kind = problems.some(({ unreadable }) => unreadable === true) ? 'failed' : 'refused';
  const shown = problems.map(({ at, message }): ReloadProblem => ({ at, message }));
  return { kind, message: problems.map(problemLine).join('\n'), problems: shown };
}

function refused(
  message: string,
  problems: readonly ReloadProblem[],
): Exclude<ReloadOutcome, { kind: 'done' }> {
  return { kind: 'refused', message, problems };
}

/** Keys whose value in the file is not the one in force. */
function keysThatWait(inForce: Config, read: Config): string[] {
  return configChanges(inForce, read)
    .filter(({ effect }) => effect === 'restart_needed')
    .map(({ key }) => key);
}

/** One line for a reload that nobody asked for over HTTP. */
export function logReload(log: Log, { who, dryRun }: ReloadRequest, outcome: ReloadOutcome): void {
  const fields = { action: 'config.reload', who, dry_run: dryRun, ...auditFields(outcome) };
  if (outcome.kind !== 'done') log.error(fields, 'configuration not reloaded: what was in force stays');
  else log.info(fields, dryRun ? 'what a reload would change' : 'configuration reloaded');
}
