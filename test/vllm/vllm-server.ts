import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../bench/processes.ts';
import type { Installed } from './install.ts';

export const MODEL = 'tiny';
/** The attention of the CPU takes multiples of 32 only. */
export const BLOCK_SIZE = 32;
/** A small cache, so that it can be filled: 8,192 tokens. */
export const BLOCKS = 256;
/** On a machine that does other things as well a start takes minutes. */
const START_MS = 15 * 60_000;
const STOP_MS = 20_000;

/** How a server differs from one that has everything. */
export interface ServerWish {
  /** Default true. */
  readonly events?: boolean;
  /** Default true. */
  readonly prefixCaching?: boolean;
  /** Default `BLOCK_SIZE`. */
  readonly blockSize?: number;
  /** A file with another chat template. */
  readonly chatTemplate?: string;
  /** Hands KV blocks over, and takes them over, over TCP. Default false. */
  readonly nixl?: boolean;
}

/** One running vLLM. */
export interface VllmServer {
  readonly url: string;
  /** Where it publishes events; replay is at `replayPort`. */
  readonly eventsPort: number;
  readonly replayPort: number;
  /** Resolves when it is; rejects when it ends before, or takes too long. */
  readonly healthy: Promise<void>;
  stop(): Promise<void>;
}

/** Starts one on free ports. */
export async function startVllm(
  { program, model, directory }: Installed,
  name: string,
  wish: ServerWish = {},
): Promise<VllmServer> {
  const [port, eventsPort, replayPort] = [await freePort(), await freePort(), await freePort()];
  const sideChannel = wish.nixl === true ? nixlEnvironment(await freePort()) : {};
  const logs = join(directory, 'run');
  await mkdir(logs, { recursive: true });
  const log = join(logs, `${name}.log`);
  const file = openSync(log, 'w');
  const child = spawn(program, ['serve', model, ...flagsOf(wish, { port, eventsPort, replayPort })], {
    stdio: ['ignore', file, file],
    // Its processes form a group, which is ended as a whole.
    detached: true,
    env: { ...process.env, ...ENVIRONMENT, ...sideChannel },
  });
  closeSync(file);
  const url = `http://127.0.0.1:${String(port)}`;
  const healthy = untilHealthy(child, url, log);
  // Whoever stops it meanwhile does not wait for that.
  healthy.catch(() => undefined);
  return { url, eventsPort, replayPort, healthy, stop: () => end(child) };
}

/** One core each, nothing from the network. */
const ENVIRONMENT = {
  VLLM_CPU_KVCACHE_SPACE: '1',
  OMP_NUM_THREADS: '1',
  VLLM_CPU_OMP_THREADS_BIND: 'nobind',
  VLLM_ENGINE_READY_TIMEOUT_S: String(START_MS / 1000),
  HF_HUB_OFFLINE: '1',
  TRANSFORMERS_OFFLINE: '1',
  VLLM_NO_USAGE_STATS: '1',
  DO_NOT_TRACK: '1',
};

/** UCX over the loopback; the side channel is where the other server asks for the way to the blocks. */
function nixlEnvironment(port: number): NodeJS.ProcessEnv {
  return {
    UCX_TLS: 'tcp,self,sysv,posix',
    UCX_NET_DEVICES: 'lo',
    VLLM_NIXL_SIDE_CHANNEL_HOST: '127.0.0.1',
    VLLM_NIXL_SIDE_CHANNEL_PORT: String(port),
  };
}

const KV_TRANSFER = { kv_connector: 'NixlConnector', kv_role: 'kv_both', kv_buffer_device: 'cpu' };

interface Ports {
  readonly port: number;
  readonly eventsPort: number;
  readonly replayPort: number;
}

function flagsOf(wish: ServerWish, { port, eventsPort, replayPort }: Ports): string[] {
  const { events = true, prefixCaching = true, blockSize = BLOCK_SIZE, chatTemplate, nixl = false } = wish;
  const eventsConfig = {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: `tcp://*:${String(eventsPort)}`,
    replay_endpoint: `tcp://*:${String(replayPort)}`,
    topic: 'kv-events',
  };
  return [
    ...['--served-model-name', MODEL, '--host', '127.0.0.1', '--port', String(port)],
    ...['--dtype', 'bfloat16', '--max-model-len', '4096', '--max-num-seqs', '16', '--enforce-eager'],
    ...['--block-size', String(blockSize), '--num-gpu-blocks-override', String(BLOCKS)],
    '--enable-prompt-tokens-details',
    prefixCaching ? '--enable-prefix-caching' : '--no-enable-prefix-caching',
    ...(events && prefixCaching ? ['--kv-events-config', JSON.stringify(eventsConfig)] : []),
    ...(nixl ? ['--kv-transfer-config', JSON.stringify(KV_TRANSFER), '--enable-scale-out'] : []),
    ...(chatTemplate === undefined ? [] : ['--chat-template', chatTemplate]),
  ];
}

async function untilHealthy(child: ChildProcess, url: string, log: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  let failed: string | undefined;
  child.once('error', (error) => (failed = error.message));
  child.once('exit', (code, signal) => (failed = `it ended with ${String(code ?? signal)}`));
  while (Date.now() < deadline) {
    if (failed !== undefined) throw new Error(`${failed}; the end of ${log}:\n${await tailOf(log)}`);
    const healthy = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (healthy) return;
    await pause(500);
  }
  throw new Error(`not healthy within ${String(START_MS / 60_000)} minutes; its log: ${log}`);
}

async function tailOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim().split('\n').slice(-8).join('\n');
}

async function end(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  // Minus: the whole group.
  process.kill(-pid, 'SIGTERM');
  const kill = setTimeout(() => process.kill(-pid, 'SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(kill);
}
