import { readFileSync } from 'node:fs';
import type { Draft } from './flag.ts';
import { SIM_FLAGS } from './flags.ts';
import { kvEventsOf } from '../kv-events/fleet-events.ts';
import { MODEL_DEFAULTS } from '../engine/model-settings.ts';
import { lmcacheBlocks } from '../lmcache/cpu-room.ts';
import { lmcacheOf } from '../lmcache/flags.ts';
import type { SimLmcacheOptions } from '../lmcache/lmcache-server.ts';
import { kvTransferOf } from '../kv-transfer/flags.ts';
import { simSettings, type SimOptions } from './options.ts';

export type SimFlags =
  | {
      readonly kind: 'workers';
      readonly workers: readonly SimOptions[];
      /** Of the controller, where there is to be one. */
      readonly lmcache: SimLmcacheOptions | undefined;
    }
  | { readonly kind: 'help' }
  | { readonly kind: 'error'; readonly message: string };

/** Reads `vllm-router sim`'s arguments. */
export function parseSimFlags(argv: readonly string[]): SimFlags {
  const draft: Draft = {
    count: 1,
    options: {},
    model: {},
    faultsOf: new Map(),
    kvEvents: {},
    lmcache: {},
    kvTransfer: {},
  };
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    if (argument === '--help' || argument === '-h') return { kind: 'help' };
    const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const flag = SIM_FLAGS.find((candidate) => candidate.name === name || candidate.aliases?.includes(name));
    if (!flag) return { kind: 'error', message: `unknown argument ${argument}` };
    if (flag.value === undefined) {
      if (equals >= 0) return { kind: 'error', message: `${name} takes no value` };
      flag.set(draft, '');
      continue;
    }
    const value = equals < 0 ? argv[++i] : argument.slice(equals + 1);
    if (value === undefined) return { kind: 'error', message: `${name}: expected ${flag.value}` };
    const problem = flag.set(draft, value);
    if (problem !== undefined) return { kind: 'error', message: `${name} ${value}: ${problem}` };
  }
  return fleetOf(draft);
}

function fleetOf(draft: Draft): SimFlags {
  const { count, options, model, faultsOf } = draft;
  const first = options.port ?? 8000;
  if (options.socketPath !== undefined && count > 1)
    return { kind: 'error', message: '--uds serves one worker only' };
  if (first + count - 1 > 65535)
    return { kind: 'error', message: '--port: not enough ports above it for --count' };
  for (const worker of faultsOf.keys()) {
    if (worker > count)
      return { kind: 'error', message: `--fault ${worker}:...: there is no worker ${worker}` };
  }
  if ((draft.keyFile === undefined) !== (draft.certFile === undefined)) {
    return { kind: 'error', message: '--ssl-keyfile and --ssl-certfile go together' };
  }
  if (draft.keyFile !== undefined && draft.certFile !== undefined) {
    const tls = readPair(draft.keyFile, draft.certFile);
    if (typeof tls === 'string') return { kind: 'error', message: tls };
    options.tls = tls;
  }
  const lmcache = lmcacheOf(draft.lmcache, options.host);
  if (typeof lmcache === 'string') return { kind: 'error', message: lmcache };
  if (lmcache) model.cpuBlocks ??= lmcacheBlocks(model.blocks ?? MODEL_DEFAULTS.blocks);
  const transfer = kvTransferOf(draft);
  if (typeof transfer === 'string') return { kind: 'error', message: transfer };
  if (transfer && options.socketPath !== undefined)
    return {
      kind: 'error',
      message: '--uds: pairs of workers are reached by ports (--role, --kv-connector)',
    };
  const settings = simSettings({ ...options, model });
  if (settings.model.maxModelLen > settings.model.blocks * settings.model.blockSize) {
    return {
      kind: 'error',
      message: '--max-model-len: more tokens than --num-gpu-blocks x --block-size can hold',
    };
  }
  const events = kvEventsOf(draft);
  if (typeof events === 'string') return { kind: 'error', message: events };
  const workers = Array.from({ length: count }, (_, i): SimOptions => ({
    ...options,
    model,
    kvEvents: events?.(i) ?? false,
    ...transfer?.(i),
    port: first === 0 ? 0 : first + i,
    seed: (options.seed ?? 0) + i,
    faults: [...(faultsOf.get(0) ?? []), ...(faultsOf.get(i + 1) ?? [])],
    keepRequests: 0,
  }));
  const adapters = options.loras ?? [];
  return { kind: 'workers', workers, lmcache: lmcache && { ...lmcache, adapters } };
}

function readPair(keyFile: string, certFile: string): { key: string; cert: string } | string {
  try {
    return { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') };
  } catch (error) {
    return `--ssl-keyfile, --ssl-certfile: ${error instanceof Error ? error.message : String(error)}`;
  }
}
