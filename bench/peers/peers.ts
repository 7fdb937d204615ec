import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { spawnOn, TARGET_CORE } from '../cores.ts';
import { MODEL } from '../load/canned-answers.ts';
import { environment, freePort, logName, statusOfChat, stopChild, until } from '../processes.ts';
import type { Target, TargetPlace } from '../targets.ts';
import { programInVenv } from './venv.ts';

/** A router that others publish, as a package with a program in it. */
export interface Peer {
  readonly name: string;
  readonly pypiPackage: string;
  readonly version: string;
  readonly policy: string;
  /** Its program, and the words that come before its flags. */
  readonly command: readonly [string, ...string[]];
  readonly flags?: readonly string[];
}

/** Started with their defaults, but for ports, policy and what is said below; they share the names of those flags. */
export const PEERS: readonly Peer[] = [
  {
    name: 'pypi:sglang-router',
    pypiPackage: 'sglang-router',
    version: '0.3.2',
    policy: 'cache_aware',
    command: ['sglang-router', 'launch'],
  },
  {
    name: 'pypi:smg',
    pypiPackage: 'smg',
    version: '1.13.0',
    policy: 'cache_aware',
    command: ['smg', 'launch'],
    // It would derive 4,096 from the number of cores, and answer 429 to the open streams beyond.
    flags: ['--max-concurrent-requests', '32768'],
  },
  ...['cache_aware', 'round_robin'].map((policy): Peer => ({
    name: `pypi:vllm-router${policy === 'cache_aware' ? '' : `-${policy}`}`,
    pypiPackage: 'vllm-router',
    version: '0.1.17',
    policy,
    command: ['vllm-router'],
  })),
];

/** Whose costs the bars are set against: written in Rust, and looking at the prompt as this router does. */
export const CACHE_AWARE_PEERS: readonly string[] = PEERS.filter(
  ({ policy }) => policy === 'cache_aware',
).map(({ name }) => name);

/** A Python interpreter, its packages and some registered workers, on a core that others may want too. */
const START_MS = 60_000;
/** They look at their workers one after the other, and answer from the first one on. */
const SETTLE_MS = 1_000;

export async function startPeer(
  peer: Peer,
  place: TargetPlace,
): Promise<Target | { readonly missing: string }> {
  const { name, version } = peer;
  const [programName, ...words] = peer.command;
  const found = programInVenv(peer, programName, place);
  if ('missing' in found) return found;
  const [port, metricsPort] = [await freePort(), await freePort()];
  const urls = place.workerPorts.map((worker) => `http://127.0.0.1:${worker}`);
  mkdirSync(place.dir, { recursive: true });
  const log = join(place.dir, logName(name));
  const file = openSync(log, 'w');
  const child = spawnOn(
    TARGET_CORE,
    found.program,
    [
      ...words,
      ...['--host', '127.0.0.1', '--port', String(port)],
      ...['--prometheus-host', '127.0.0.1', '--prometheus-port', String(metricsPort)],
      ...['--policy', peer.policy, ...(peer.flags ?? []), '--worker-urls', ...urls],
    ],
    { stdio: ['ignore', file, file], env: environment(), cwd: place.dir },
  );
  const { pid } = child;
  if (pid === undefined) return { missing: `${found.program} did not start` };
  const target = { name, version, ports: [port], pid, stop: () => stopChild(child) };
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null)
      throw new Error(`it stopped with exit code ${child.exitCode}; its log: ${log}`);
    return (await statusOfChat(port, MODEL)) === 200;
  };
  try {
    await until(`its first answer (its log: ${log})`, answers, START_MS);
  } catch (error) {
    await target.stop();
    return { missing: error instanceof Error ? error.message : String(error) };
  }
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  return target;
}
