/** One thing that differs between the configuration in force and the one that was read. */
export interface ReloadChange {
  /** As in the YAML file, with dots. */
  readonly key: string;
  /**
   * `applied`: in force from now on. `adopted`: the same, and what was learnt under it is kept. `reset`: in force, and
   * what was learnt under it begins anew. `restart_needed`: not in force until the router is started again.
   */
  readonly how: 'applied' | 'adopted' | 'reset' | 'restart_needed';
  readonly detail: string;
}

/** What a reload has changed or, for a dry run, would change. */
export interface ReloadReport {
  /** In words. */
  readonly text: string;
  /** Worker URLs, with `@rank` where the ranks of a server differ. */
  readonly workersAdded: readonly string[];
  readonly workersDrained: readonly string[];
  readonly workersUpdated: readonly string[];
  readonly changes: readonly ReloadChange[];
  /** What is odd about the configuration without being wrong. */
  readonly notices: readonly string[];
}

/** What is wrong with a configuration, and where. */
export interface ReloadProblem {
  /** `router.yaml:3:7`, `--port`, `VLLM_ROUTER_PORT`. */
  readonly at: string;
  readonly message: string;
}

export type ReloadOutcome =
  | { readonly kind: 'done'; readonly report: ReloadReport }
  /** Not valid, or there is nothing to read it from: nothing has changed. */
  | { readonly kind: 'refused'; readonly message: string; readonly problems: readonly ReloadProblem[] }
  /** The file could not be read, or a fault of the router. */
  | { readonly kind: 'failed'; readonly message: string; readonly problems: readonly ReloadProblem[] };

export interface ReloadRequest {
  /** Who asked, for the log: `SIGHUP`, `watch`; the admin routes write their own line. */
  readonly who: string;
  readonly dryRun: boolean;
}

/** How the router came to the configuration that is in force. */
export interface LoadedConfig {
  /** The file it was read from, as it was named; undefined where there is none. */
  readonly source: string | undefined;
  /** Wall clock, ms. */
  readonly loadedAt: number;
  /** Keys whose value in the file waits for a restart. */
  readonly waiting: readonly string[];
}

/** For the audit line: short, however much has changed. */
export function auditFields(outcome: ReloadOutcome): Readonly<Record<string, unknown>> {
  if (outcome.kind !== 'done')
    return { outcome: outcome.kind, reason: outcome.message, problems: outcome.problems.slice(0, MOST) };
  const { report } = outcome;
  return {
    outcome: 'done',
    reload: report.text.slice(0, 512),
    workers_added: report.workersAdded.slice(0, MOST),
    workers_drained: report.workersDrained.slice(0, MOST),
    workers_updated: report.workersUpdated.slice(0, MOST),
    changed: report.changes.slice(0, 2 * MOST).map(({ key, how }) => `${key}: ${how}`),
  };
}

const MOST = 20;
