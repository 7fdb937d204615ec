import { entry } from '../config/show/help-text.ts';
import { didYouMean, nearest } from '../base/suggest.ts';
import { systemReason } from '../base/system-reason.ts';
import { FAULT_KINDS } from '../sim/server/fault-kinds.ts';
import { FLAG_GROUPS } from '../sim/server/flag.ts';
import { SIM_FLAGS } from '../sim/server/flags.ts';
import { parseSimFlags } from '../sim/server/parse-flags.ts';
import { startSimWorker, type SimWorker } from '../sim/server/server.ts';
import { startSimLmcache, type SimLmcache, type SimLmcacheOptions } from '../sim/lmcache/lmcache-server.ts';
import type { SimOptions } from '../sim/server/options.ts';
import { announcement } from './sim-announcement.ts';
import { untilSignal } from './until-signal.ts';

export interface SimIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Resolves when the workers shall stop. Asked for once they run. */
  readonly stop: () => Promise<unknown>;
}

const PROCESS_IO: SimIo = {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  stop: untilSignal,
};

/**
 * `vllm-router sim`: simulated vLLM workers until SIGINT or SIGTERM. Resolves to the exit code: 2 for a bad argument, 1 when
 * a worker cannot listen.
 */
export async function sim(argv: readonly string[], io: SimIo = PROCESS_IO): Promise<number> {
  const flags = parseSimFlags(argv);
  if (flags.kind === 'help') {
    io.out(helpText());
    return 0;
  }
  if (flags.kind === 'error') {
    io.err(`vllm-router sim: ${flags.message}${suggestion(flags.message)}\n`);
    return 2;
  }
  const fleet = await startFleet(flags.workers);
  if (typeof fleet === 'string') {
    io.err(`vllm-router sim: ${fleet}\n`);
    return 1;
  }
  const lmcache = await startLmcache(fleet, flags.lmcache);
  if (typeof lmcache === 'string') {
    await Promise.all(fleet.map((worker) => worker.stop()));
    io.err(`vllm-router sim: ${lmcache}\n`);
    return 1;
  }
  io.out(announcement(fleet, flags.workers[0] ?? {}, lmcache));
  // Timers alone do not keep a process: when every worker refuses connections, nothing else would.
  const alive = setInterval(() => undefined, 60_000);
  await io.stop();
  clearInterval(alive);
  await Promise.all([...fleet, ...(lmcache ? [lmcache] : [])].map((part) => part.stop()));
  return 0;
}

async function startFleet(workers: readonly SimOptions[]): Promise<SimWorker[] | string> {
  const started = await Promise.allSettled(workers.map((options) => startSimWorker(options)));
  const fleet = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = started.find((result) => result.status === 'rejected');
  if (!failed) return fleet;
  await Promise.all(fleet.map((worker) => worker.stop()));
  return startProblem(failed.reason);
}

/** A port may be any of several consecutive ones: the system's message says which. */
function startProblem(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What Node puts beside the message of a server that cannot listen.
  const { address, port, code } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (address === undefined) return error.message;
  if (address.includes('/')) return `cannot listen on ${address} (--uds): ${systemReason(error)}`;
  if (code !== 'EADDRINUSE') return `cannot listen on ${address} (--host): ${systemReason(error)}`;
  return `cannot listen on ${address}:${String(port)} (--port): ${systemReason(error)}`;
}

async function startLmcache(
  fleet: readonly SimWorker[],
  options: SimLmcacheOptions | undefined,
): Promise<SimLmcache | string | undefined> {
  if (!options) return undefined;
  return startSimLmcache(fleet, options).catch(
    (error: unknown) => `cannot listen on port ${options.port ?? 0} (--lmcache-port): ${systemReason(error)}`,
  );
}

function suggestion(message: string): string {
  const unknown = /^unknown argument (--[^=\s]*)/.exec(message)?.[1];
  return unknown === undefined
    ? ''
    : didYouMean(
        nearest(
          unknown,
          SIM_FLAGS.map((flag) => flag.name),
        ),
      );
}

const HELP_WIDTH = 120;

function helpText(): string {
  const lines = [
    'Usage: vllm-router sim [flags]',
    '',
    'Simulated vLLM workers, to try policies on without a GPU.',
  ];
  for (const group of FLAG_GROUPS) {
    lines.push('', `${group}:`);
    for (const flag of SIM_FLAGS.filter((candidate) => candidate.group === group)) {
      const names = [flag.name, ...(flag.aliases ?? [])].join(', ');
      lines.push(
        ...entry(flag.value === undefined ? names : `${names} ${flag.value}`, flag.about, HELP_WIDTH),
      );
    }
  }
  lines.push('', 'Fault kinds (each also takes rate=, times= and path=):');
  for (const [kind, { parameters, meaning }] of Object.entries(FAULT_KINDS)) {
    lines.push(
      ...entry(parameters.length === 0 ? kind : `${kind}:${parameters.join('=,')}=`, meaning, HELP_WIDTH),
    );
  }
  return `${lines.join('\n')}\n`;
}
