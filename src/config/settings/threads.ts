import { availableParallelism } from 'node:os';
import type { Config } from '../schema/schema.ts';
import { MOST_THREADS } from '../schema/start-schema.ts';

/** Fewer CPUs are better used by one thread that does everything: there is control beside those that serve requests. */
const ENOUGH_CPUS = 3;
/** Several listeners share a port by an option that other systems do not have, or have with another meaning. */
const WITH_REUSE_PORT: readonly NodeJS.Platform[] = ['linux', 'freebsd'];

/** How many threads serve requests on this machine, for what is configured. */
export function threadsOf(
  threads: Config['threads'],
  machine = { cpus: availableParallelism(), platform: process.platform },
): number {
  if (!WITH_REUSE_PORT.includes(machine.platform)) return 1;
  if (threads !== 'auto') return threads;
  return machine.cpus >= ENOUGH_CPUS ? Math.min(machine.cpus, MOST_THREADS) : 1;
}

/** What is worth knowing about the number that was asked for. */
export function threadNotices(
  { threads }: Pick<Config, 'threads'>,
  machine = { cpus: availableParallelism(), platform: process.platform },
): readonly string[] {
  if (threads === 'auto' || threads === 1) return [];
  const { cpus, platform } = machine;
  if (threadsOf(threads, machine) === 1)
    return [
      `threads: one thread serves all requests, not ${threads}: ${platform} does not share a port among several`,
    ];
  return threads > cpus
    ? [`threads: ${threads} are more than the ${cpus} CPUs that this process may use`]
    : [];
}
