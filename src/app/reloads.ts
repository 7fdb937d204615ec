import {
  auditFields,
  type LoadedConfig,
  type ReloadOutcome,
  type ReloadProblem,
  type ReloadReport,
  type ReloadRequest,
} from '../admin/reload-report.ts';
import type { Clock } from '../base/clock.ts';
import { configChanges, configInForce } from '../config/changes.ts';
import { problemLine, type Problem } from '../config/layer.ts';
import type { LoadResult } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Settings } from '../config/settings.ts';
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
export interface Loaded {
  readonly config: Config;
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
  /** Does whatever can still fail, and changes nothing. Returns what is left to do. */
  readonly prepare: (commit: Commit) => Promise<() => void>;
}

type Planned =
  | { readonly kind: 'plan'; readonly commit: Commit; readonly report: ReloadReport; readonly read: Config }
  | Exclude<ReloadOutcome, { kind: 'done' }>;

/**
 * Puts other configurations in force while requests are under way: reads, validates and builds everything that can
 * fail, and only then changes anything, in one go. One at a time; who comes meanwhile waits.
 */
export class Reloads {
  readonly #deps: ReloadDeps;
  #inForce: Loaded;
  /** The configuration that was read last, which may hold values that wait for a restart. */
  #read: Config;
  #loadedAt: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(start: Loaded, deps: ReloadDeps) {
    this.#deps = deps;
    this.#inForce = start;
    this.#read = start.config;
    this.#loadedAt = deps.clock.wall();
    this.#noteSuccess();
  }

  /** Compiled from what is in force. */
  get config(): Config {
    return this.#inForce.config;
  }

  get loaded(): LoadedConfig {
    const waiting = keysThatWait(this.#inForce.config, this.#read);
    return { source: this.#deps.source?.file, loadedAt: this.#loadedAt, waiting };
  }

  /** From the file of the start. */
  run(request: ReloadRequest): Promise<ReloadOutcome> {
    const { source } = this.#deps;
    return this.#enter(request, () => (source ? source.reread() : { kind: 'error', problems: [NO_FILE] }));
  }

  /** From somewhere else. */
  put(loaded: LoadResult, request: ReloadRequest): Promise<ReloadOutcome> {
    return this.#enter(request, () => loaded);
  }

  #enter(request: ReloadRequest, read: () => LoadResult): Promise<ReloadOutcome> {
    const turn = this.#last.then(() => this.#reload(request, read));
    this.#last = turn;
    return turn;
  }

  async #reload(request: ReloadRequest, read: () => LoadResult): Promise<ReloadOutcome> {
    const outcome = await this.#attempt(request, read).catch((error: unknown): ReloadOutcome => {
      this.#deps.log.error({ err: error }, 'unexpected error in a reload');
      const message = error instanceof Error ? error.message : String(error);
      return { kind: 'failed', message: `fault in the router: ${message}`, problems: [] };
    });
    if (!request.dryRun) this.#count(outcome);
    return outcome;
  }

  async #attempt(request: ReloadRequest, read: () => LoadResult): Promise<ReloadOutcome> {
    const planned = this.#plan(read(), request.dryRun);
    if (planned.kind !== 'plan') return planned;
    const { commit, report } = planned;
    const carryOut = await this.#deps.prepare(commit);
    if (request.dryRun) return { kind: 'done', report };
    carryOut();
    this.#inForce = commit;
    this.#read = planned.read;
    this.#loadedAt = this.#deps.clock.wall();
    return { kind: 'done', report };
  }

  #plan(loaded: LoadResult, dryRun: boolean): Planned {
    if (loaded.kind === 'error') return refusal(loaded.problems);
    if (loaded.kind !== 'ok') return refused('the flags ask for something else than a router', []);
    const before = this.#inForce;
    const config = configInForce(before.config, loaded.config);
    // What is valid by itself need not be beside what stays from the start.
    const compiled = loaded.compile(config);
    if (compiled.kind === 'error')
      return refusal(
        compiled.problems.map(({ path, message }) => ({
          at: path.join('.'),
          message: `${message}, beside what stays until a restart`,
        })),
      );
    const { settings } = compiled;
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
    return { kind: 'plan', commit: { config, settings, workers }, report, read: loaded.config };
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
