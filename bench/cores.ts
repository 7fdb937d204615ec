import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Where the targets run, and where everything else does. */
export const TARGET_CORE = 0;
export const LOAD_CORE = 1;

const PINS = availableParallelism() > 1 && existsSync('/usr/bin/taskset');

/** Why numbers from this machine mean less, or undefined. */
export function pinningProblem(): string | undefined {
  if (process.platform !== 'linux') return 'CPU time is read from /proc, which only Linux has';
  return PINS ? undefined : 'processes are not pinned to cores: that takes two cores and taskset';
}

/** `spawn`, on one core. */
export function spawnOn(
  core: number,
  file: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  return PINS ? spawn('taskset', ['-c', String(core), file, ...args], options) : spawn(file, args, options);
}

/** Files that a process here may have open. */
export function openFileLimit(): number {
  const limit = /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'latin1'));
  return Number(limit?.[1] ?? 1024);
}
