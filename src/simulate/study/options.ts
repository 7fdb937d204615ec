import { MODEL_DEFAULTS } from '../../sim/engine/model-settings.ts';
import type { GeneratorName } from '../traces/generators.ts';
import type { TraceFormat } from '../traces/read-trace.ts';

export type Split = 'auto' | 'always' | 'never' | number;

/** Everything that `vllm-router simulate` was asked for. */
export interface SimulateOptions {
  readonly trace: { readonly path: string; readonly format: TraceFormat | undefined } | undefined;
  readonly generator: GeneratorName | undefined;
  readonly requests: number | undefined;
  readonly ratePerSecond: number;
  readonly strict: boolean;
  /** Policies as they were named: `name` or `name:parameter=value;...`. */
  readonly policies: readonly string[];
  /** Engines that serve requests whole. */
  readonly workers: number;
  readonly prefill: number;
  readonly decode: number;
  /** What to compare: `auto`, `always`, `never`, or from how many uncached tokens on. */
  readonly splits: readonly Split[];
  /** For a stage alone; undefined: as `policies`. */
  readonly prefillPolicy: string | undefined;
  readonly decodePolicy: string | undefined;
  readonly kvBytesPerToken: number;
  readonly linkGbits: number;
  /** Factors on every worker's speed, taken in turn. */
  readonly workerSpeeds: readonly number[];
  readonly speeds: readonly number[];
  readonly seeds: number;
  readonly ttftMs: number;
  readonly tpotMs: number;
  readonly kvTokens: number;
  readonly cpuTokens: number;
  readonly cpuLoadRate: number;
  readonly prefillRate: number;
  readonly decodeBaseMs: number;
  readonly decodePerRequestMs: number;
  readonly knowledge: 'predicted' | 'exact' | 'events';
  readonly eventDelayMs: number;
  readonly eventLoss: number;
  readonly eventReplay: boolean;
  readonly eventJoinMs: number;
  readonly silentWorkers: number;
  readonly routers: number;
  readonly shareIntervalMs: number;
  readonly pollIntervalMs: number;
  readonly pollDelayMs: number;
  /** `worker@seconds`, the worker counted from 1. */
  readonly kills: readonly { readonly worker: number; readonly atMs: number }[];
  /** When further workers join, ms. */
  readonly joins: readonly number[];
  /** All columns on a terminal, however long the lines get. */
  readonly wide: boolean;
  readonly json: boolean;
  readonly html: string | undefined;
}

export const SIMULATE_DEFAULTS: SimulateOptions = {
  trace: undefined,
  generator: undefined,
  requests: undefined,
  ratePerSecond: 10,
  strict: false,
  policies: ['round_robin', 'power_of_two', 'cache_aware', 'least_work'],
  workers: 8,
  prefill: 0,
  decode: 0,
  splits: ['auto'],
  prefillPolicy: undefined,
  decodePolicy: undefined,
  // Of a model of 8 billion parameters.
  kvBytesPerToken: 131_072,
  linkGbits: 100,
  workerSpeeds: [1],
  speeds: [1],
  seeds: 1,
  ttftMs: 5000,
  tpotMs: 100,
  kvTokens: 524_288,
  cpuTokens: 0,
  cpuLoadRate: MODEL_DEFAULTS.cpuLoadTokensPerSecond,
  prefillRate: MODEL_DEFAULTS.prefillTokensPerSecond,
  decodeBaseMs: MODEL_DEFAULTS.decodeBaseMs,
  decodePerRequestMs: MODEL_DEFAULTS.decodePerRequestMs,
  knowledge: 'predicted',
  eventDelayMs: 0,
  eventLoss: 0,
  eventReplay: true,
  eventJoinMs: 0,
  silentWorkers: 0,
  routers: 1,
  shareIntervalMs: 0,
  pollIntervalMs: 5000,
  pollDelayMs: 0,
  kills: [],
  joins: [],
  wide: false,
  json: false,
  html: undefined,
};

/** Whether there are engines for the halves of requests. */
export function hasPairs({ prefill, decode }: Pick<SimulateOptions, 'prefill' | 'decode'>): boolean {
  return prefill > 0 && decode > 0;
}

/** Those that are there from the beginning and those that join. */
export function engineCount({
  workers,
  prefill,
  decode,
  joins,
}: Pick<SimulateOptions, 'workers' | 'prefill' | 'decode' | 'joins'>): number {
  return workers + prefill + decode + joins.length;
}
