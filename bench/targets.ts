import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { spawnOn, TARGET_CORE } from './cores.ts';
import { haproxy } from './haproxy.ts';
import { PAIR_CHAT_BYTES } from './load/canned-answers.ts';
import { cpuTimes, type CpuTimes } from './load/process-usage.ts';
import type { TargetAddress } from './load/protocol.ts';
import { nginx } from './nginx.ts';
import { PEERS, startPeer } from './peers/peers.ts';
import { environment, logName, statusOf, stopChild, until } from './processes.ts';
import { startUsualProxy } from './usual-proxy.ts';

export interface Target extends TargetAddress {
  readonly name: string;
  /** Of what is not this project's. */
  readonly version?: string | undefined;
  /** What it had used when it began to listen, where that was seen. */
  readonly whenListening?: CpuTimes;
  stop(): Promise<void>;
}

export interface TargetPlace {
  readonly workerPorts: readonly number[];
  /** A folder for logs and generated configuration. */
  readonly dir: string;
  /** Whether what is missing may be installed. */
  readonly mayInstall: boolean;
  /** Where the environments of the peers are, or will be. */
  readonly venvs: string;
}

const POLICIES = [
  'random',
  'round_robin',
  'power_of_two',
  'consistent_hash',
  'rendezvous_hash',
  'cache_aware',
  'least_work',
] as const;

export const ROUTER = 'router';
/** `router@../before` is the router of another checkout: before and after, in one run. */
const OTHER_CHECKOUT = 'router@';
export const ROUTER_NO_LOG = 'router-no-log';
export const ROUTER_2_THREADS = 'router-2-threads';
export const ROUTER_4_THREADS = 'router-4-threads';
/** Two prefill and two decode workers; every request goes through a pair. */
export const ROUTER_PAIR = 'router-pair';
export const ROUTER_CACHE_AWARE = 'router-cache_aware';
export const BARE = 'bare';
export const NGINX = nginx.name;
export const DIRECT = 'direct';
/** What the bars are about. */
export const MAIN_TARGETS: readonly string[] = [DIRECT, NGINX, BARE, ROUTER, ROUTER_NO_LOG];
export const ALL_TARGETS: readonly string[] = [
  ...MAIN_TARGETS,
  // That of `router` itself is among the defaults.
  ...POLICIES.filter((policy) => policy !== 'least_work').map((policy) => `router-${policy}`),
];
/** What `npm run bench:peers` sets beside each other. */
export const BESIDE_PEERS: readonly string[] = [
  DIRECT,
  NGINX,
  haproxy.name,
  BARE,
  ROUTER,
  ROUTER_CACHE_AWARE,
  ROUTER_NO_LOG,
  ...PEERS.map(({ name }) => name),
];

/** Starts a target by its name, or says why it cannot be had here. */
export async function startTarget(
  name: string,
  place: TargetPlace,
): Promise<Target | { readonly missing: string }> {
  if (name === DIRECT)
    return { name, ports: place.workerPorts, pid: undefined, stop: () => Promise.resolve() };
  if (name === nginx.name) return startUsualProxy(nginx, place);
  if (name === haproxy.name) return startUsualProxy(haproxy, place);
  if (name === BARE) return startBare(place);
  if (name === ROUTER) return startRouter(name, [], place);
  if (name === ROUTER_NO_LOG) return startRouter(name, ['--no-access-log'], place);
  if (name === ROUTER_PAIR) return startPair(place);
  const [, threads] = /^router-(\d+)-threads$/.exec(name) ?? [];
  if (threads !== undefined) return startRouter(name, ['--threads', threads], place);
  const policy = POLICIES.find((known) => name === `router-${known}`);
  if (policy) return startRouter(name, ['--policy', policy], place);
  if (name.startsWith(OTHER_CHECKOUT))
    return startRouter(name, [], place, resolve(name.slice(OTHER_CHECKOUT.length)));
  const peer = PEERS.find((one) => one.name === name);
  if (peer) return startPeer(peer, place);
  throw new Error(`unknown target "${name}"; there are: ${knownTargets().join(', ')}`);
}

/** All that can be named, but for other checkouts. */
export function knownTargets(): string[] {
  return [...new Set([...ALL_TARGETS, ROUTER_PAIR, ROUTER_2_THREADS, ROUTER_4_THREADS, ...BESIDE_PEERS])];
}

const root = join(import.meta.dirname, '..');

function startBare(place: TargetPlace): Promise<Target> {
  const args = [...nodeFlags(), join(root, 'bench/bare-proxy.mjs'), '--worker-urls', ...urls(place)];
  return startNode(BARE, args, place, (output) => /listening (\d+)/.exec(output)?.[1]);
}

/** All defaults, but for ports: metrics and the access log on, the log written to a file as a service's would be. */
export async function startRouter(
  name: string,
  flags: readonly string[],
  place: TargetPlace,
  checkout = root,
): Promise<Target> {
  const args = [
    ...nodeFlags(),
    join(checkout, 'bin/vllm-router.js'),
    ...(place.workerPorts.length > 0 ? ['--worker-urls', ...urls(place)] : []),
    '--port',
    '0',
    '--prometheus-port',
    '0',
    '--log-format',
    'json',
    ...flags,
  ];
  const target = await startNode(
    name,
    args,
    place,
    (output) => /"url":"http:\/\/127\.0\.0\.1:(\d+)"/.exec(output)?.[1],
  );
  await until(
    `${name} to find its workers healthy`,
    async () => (await statusOf(target.ports[0] ?? 0, '/health')) === 200,
  );
  return target;
}

/** For profiles: `BENCH_NODE_FLAGS='--cpu-prof --cpu-prof-dir=/tmp/profiles' npm run bench -- --targets router`. */
function nodeFlags(): string[] {
  return process.env['BENCH_NODE_FLAGS']?.split(' ').filter((flag) => flag !== '') ?? [];
}

async function startPair(place: TargetPlace): Promise<Target> {
  const router = await startRouter(ROUTER_PAIR, pairFlags(place), { ...place, workerPorts: [] });
  return { ...router, answerBytes: PAIR_CHAT_BYTES };
}

function pairFlags(place: TargetPlace): string[] {
  const all = urls(place);
  const half = all.length / 2;
  return [
    ...['--vllm-pd-disaggregation', '--pd-split', 'always'],
    ...all.slice(0, half).flatMap((url) => ['--prefill', url]),
    ...all.slice(half).flatMap((url) => ['--decode', url]),
  ];
}

function urls({ workerPorts }: TargetPlace): string[] {
  return workerPorts.map((port) => `http://127.0.0.1:${port}`);
}

async function startNode(
  name: string,
  args: readonly string[],
  place: TargetPlace,
  portIn: (output: string) => string | undefined,
): Promise<Target> {
  mkdirSync(place.dir, { recursive: true });
  const log = join(place.dir, logName(name));
  const file = openSync(log, 'w');
  const child = spawnOn(TARGET_CORE, process.execPath, args, {
    stdio: ['ignore', file, file],
    env: environment(),
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} did not start`);
  const stop = (): Promise<void> => stopChild(child);
  let port: string | undefined;
  await until(`${name} to listen (its log: ${log})`, () => {
    if (child.exitCode !== null)
      throw new Error(`${name} stopped with exit code ${child.exitCode}; its log: ${log}`);
    port = portIn(readFileSync(log, 'utf8'));
    return Promise.resolve(port !== undefined);
  });
  return { name, ports: [Number(port)], pid, whenListening: cpuTimes(pid), stop };
}
