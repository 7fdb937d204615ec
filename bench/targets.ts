import type { ChildProcess } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join, resolve } from 'node:path';
import { spawnOn, TARGET_CORE } from './cores.ts';
import type { TargetAddress } from './load/protocol.ts';
import { startNginx } from './nginx.ts';

export interface Target extends TargetAddress {
  readonly name: string;
  stop(): Promise<void>;
}

export interface TargetPlace {
  readonly workerPorts: readonly number[];
  /** A folder for logs and generated configuration. */
  readonly dir: string;
  readonly installNginx: boolean;
}

const POLICIES = [
  'random',
  'round_robin',
  'power_of_two',
  'consistent_hash',
  'rendezvous_hash',
  'least_work',
] as const;

export const ROUTER = 'router';
/** `router@../before` is the router of another checkout: before and after, in one run. */
const OTHER_CHECKOUT = 'router@';
export const ROUTER_NO_LOG = 'router-no-log';
export const BARE = 'bare';
export const NGINX = 'nginx';
export const DIRECT = 'direct';
/** What the bars are about. */
export const MAIN_TARGETS: readonly string[] = [DIRECT, NGINX, BARE, ROUTER, ROUTER_NO_LOG];
export const ALL_TARGETS: readonly string[] = [
  ...MAIN_TARGETS,
  ...POLICIES.map((policy) => `router-${policy}`),
];

/** Starts a target by its name, or says why it cannot be had here. */
export async function startTarget(
  name: string,
  place: TargetPlace,
): Promise<Target | { readonly missing: string }> {
  if (name === DIRECT)
    return { name, ports: place.workerPorts, pid: undefined, stop: () => Promise.resolve() };
  if (name === NGINX) return startNginx(place);
  if (name === BARE) return startBare(place);
  if (name === ROUTER) return startRouter(name, [], place);
  if (name === ROUTER_NO_LOG) return startRouter(name, ['--no-access-log'], place);
  const policy = POLICIES.find((known) => name === `router-${known}`);
  if (policy) return startRouter(name, ['--policy', policy], place);
  if (name.startsWith(OTHER_CHECKOUT))
    return startRouter(name, [], place, resolve(name.slice(OTHER_CHECKOUT.length)));
  throw new Error(`unknown target "${name}"; there are: ${ALL_TARGETS.join(', ')}`);
}

const root = join(import.meta.dirname, '..');

function startBare(place: TargetPlace): Promise<Target> {
  const args = [...nodeFlags(), join(root, 'bench/bare-proxy.mjs'), '--worker-urls', ...urls(place)];
  return startNode(BARE, args, place, (output) => /listening (\d+)/.exec(output)?.[1]);
}

/** All defaults, but for ports: metrics and the access log on, the log written to a file as a service's would be. */
async function startRouter(
  name: string,
  flags: readonly string[],
  place: TargetPlace,
  checkout = root,
): Promise<Target> {
  const args = [
    ...nodeFlags(),
    join(checkout, 'bin/vllm-router.js'),
    '--worker-urls',
    ...urls(place),
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
  const log = join(place.dir, `${name.replaceAll('/', '_')}.log`);
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
  return { name, ports: [Number(port)], pid, stop };
}

/** The user's own settings must not take part. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:VLLM_ROUTER_|NODE_OPTIONS)/.test(name)),
  );
}

export function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    const kill = setTimeout(() => child.kill('SIGKILL'), 5_000);
    child.once('exit', () => {
      clearTimeout(kill);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

const START_MS = 20_000;
const POLL_MS = 50;

export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${START_MS / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** 0 when nothing answers. */
export function statusOf(port: number, path: string): Promise<number> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on('error', () => {
      resolve(0);
    });
  });
}
