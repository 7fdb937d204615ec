/** Everything that `vllm-router doctor` was asked for. */
export interface DoctorOptions {
  /** A running router, whose workers are examined. */
  readonly routerUrl: string | undefined;
  readonly json: boolean;
  readonly timeoutMs: number;
  /** Flags of the server: the configuration that workers are held against. */
  readonly rest: readonly string[];
}

export type DoctorFlags =
  | { readonly kind: 'help' }
  | { readonly kind: 'error'; readonly message: string }
  | { readonly kind: 'options'; readonly options: DoctorOptions };

const DEFAULT_TIMEOUT_SECS = 30;
const LONGEST_TIMEOUT_SECS = 3600;
const TIMEOUT_FLAG = '--check-timeout-secs';

export const DOCTOR_USAGE = `Usage: vllm-router doctor [--worker-urls URL... | --config-file FILE | URL of a running router] [flags]

Examines every worker: whether it is reachable and well, what it serves, and whether what the router believes of its
cache is true. Sends a few short prompts to each of them. Exit code 1 where a check failed.

  --json                    The report as JSON.
  ${TIMEOUT_FLAG} N    Longest time for one check of a worker. [${String(DEFAULT_TIMEOUT_SECS)}]

All flags and variables of the server count as well: keys, TLS, and whatever the workers are to be held against.
--admin-api-key opens the admin routes of a running router.
`;

export function parseDoctorFlags(argv: readonly string[]): DoctorFlags {
  const rest: string[] = [];
  let json = false;
  let timeoutSecs = DEFAULT_TIMEOUT_SECS;
  let routerUrl: string | undefined;
  for (let at = 0; at < argv.length; at += 1) {
    const arg = argv[at] ?? '';
    const [flag = '', inline] = arg.split('=', 2);
    if (arg === '--help' || arg === '-h') return { kind: 'help' };
    if (arg === '--json') json = true;
    else if (flag === TIMEOUT_FLAG) {
      const value = Number(inline ?? argv[(at += 1)] ?? NaN);
      if (!(value > 0 && value <= LONGEST_TIMEOUT_SECS))
        return {
          kind: 'error',
          message: `${TIMEOUT_FLAG} takes seconds, up to ${String(LONGEST_TIMEOUT_SECS)}`,
        };
      timeoutSecs = value;
    } else if (rest.length === 0 && routerUrl === undefined && !arg.startsWith('-')) routerUrl = arg;
    else rest.push(arg);
  }
  return { kind: 'options', options: { routerUrl, json, timeoutMs: 1000 * timeoutSecs, rest } };
}
