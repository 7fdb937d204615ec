import type { Draft } from '../server/flag.ts';
import type { KvEventOptions } from './settings.ts';

const FIRST_PORT = 5557;
const LAST_PORT = 65535;

/** The options of each worker of a fleet, counted from 0; undefined where none publishes; or what is wrong. */
export function kvEventsOf({
  kvEvents: { on, named, ...options },
  count,
  options: { dataParallelSize: ranks = 1 },
  faultsOf,
}: Draft): ((worker: number) => KvEventOptions) | string | undefined {
  if (on !== true) {
    const fault = [...faultsOf.values()].flat().find((text) => text.startsWith('kv_'));
    if (fault !== undefined) return `--fault ${fault}: only with --kv-events`;
    return named === undefined ? undefined : `${named}: only with --kv-events`;
  }
  const publishers = count * ranks;
  const first = options.port ?? FIRST_PORT;
  const firstReplay = options.replayPort ?? (first === 0 ? 0 : first + publishers);
  const problem =
    rangeProblem('--kv-events-port', first, publishers) ??
    (firstReplay === 'none' ? undefined : rangeProblem('--kv-replay-port', firstReplay, publishers));
  if (problem !== undefined) return problem;
  if (firstReplay !== 'none' && first > 0 && firstReplay > 0 && Math.abs(first - firstReplay) < publishers)
    return `--kv-replay-port ${firstReplay}: within the ports from --kv-events-port on, one for each worker and rank`;
  return (worker) => ({
    ...options,
    port: portOf(first, worker * ranks),
    replayPort: firstReplay === 'none' ? 'none' : portOf(firstReplay, worker * ranks),
  });
}

function portOf(first: number, before: number): number {
  return first === 0 ? 0 : first + before;
}

function rangeProblem(flag: string, first: number, count: number): string | undefined {
  return first > 0 && first + count - 1 > LAST_PORT
    ? `${flag}: not enough ports above it for all workers and ranks`
    : undefined;
}
