import { MODEL_DEFAULTS } from '../../sim/engine/model-settings.ts';
import { hasPairs, type SimulateOptions } from './options.ts';

type Told = Readonly<Record<keyof SimulateOptions, string | undefined>>;

/** What a comparison was made from: flags and the values they had, given or not. */
export function madeFrom(options: SimulateOptions): readonly (readonly [name: string, value: string])[] {
  const { trace, generator } = options;
  const pairs = (text: string): string | undefined => (hasPairs(options) ? text : undefined);
  const told: Told = {
    trace: trace && `--trace ${trace.path}${trace.format === undefined ? '' : ` --format ${trace.format}`}`,
    generator: trace ? undefined : `--generate ${generator ?? 'poisson_chats'}`,
    requests: options.requests === undefined ? undefined : `--requests ${String(options.requests)}`,
    ratePerSecond: trace ? undefined : `--rate ${String(options.ratePerSecond)}`,
    strict: options.strict ? '--strict' : undefined,
    policies: `--policies ${options.policies.join(',')}`,
    workers: `--workers ${String(options.workers)}`,
    prefill: pairs(`--prefill ${String(options.prefill)}`),
    decode: pairs(`--decode ${String(options.decode)}`),
    splits: pairs(`--split ${options.splits.join(',')}`),
    prefillPolicy: options.prefillPolicy && `--prefill-policy ${options.prefillPolicy}`,
    decodePolicy: options.decodePolicy && `--decode-policy ${options.decodePolicy}`,
    kvBytesPerToken: pairs(`--kv-bytes-per-token ${String(options.kvBytesPerToken)}`),
    linkGbits: pairs(`--link-gbits ${String(options.linkGbits)}`),
    workerSpeeds: `--worker-speeds ${options.workerSpeeds.join(',')}`,
    speeds: `--speed ${options.speeds.join(',')}`,
    seeds: `--seeds ${String(options.seeds)}`,
    ttftMs: `--slo-ttft-ms ${String(options.ttftMs)}`,
    tpotMs: `--slo-tpot-ms ${String(options.tpotMs)}`,
    kvTokens: `--kv-tokens ${String(options.kvTokens)}`,
    cpuTokens: `--cpu-tokens ${String(options.cpuTokens)}`,
    cpuLoadRate: `--cpu-load-rate ${String(options.cpuLoadRate)}`,
    prefillRate: `--prefill-rate ${String(options.prefillRate)}`,
    decodeBaseMs: `--decode-base-ms ${String(options.decodeBaseMs)}`,
    decodePerRequestMs: `--decode-per-request-ms ${String(options.decodePerRequestMs)}`,
    knowledge: `--cache-knowledge ${options.knowledge}`,
    eventDelayMs: `--event-delay-ms ${String(options.eventDelayMs)}`,
    eventLoss: `--event-loss ${String(options.eventLoss)}`,
    eventReplay: options.eventReplay ? undefined : '--no-event-replay',
    eventJoinMs: `--event-join-ms ${String(options.eventJoinMs)}`,
    silentWorkers: `--silent-workers ${String(options.silentWorkers)}`,
    routers: `--routers ${String(options.routers)}`,
    shareIntervalMs: `--share-interval-ms ${String(options.shareIntervalMs)}`,
    pollIntervalMs: `--poll-interval-ms ${String(options.pollIntervalMs)}`,
    pollDelayMs: `--poll-delay-ms ${String(options.pollDelayMs)}`,
    kills: options.kills
      .map(({ worker, atMs }) => `--kill ${String(worker)}@${String(atMs / 1000)}`)
      .join(' '),
    joins: options.joins.map((atMs) => `--join ${String(atMs / 1000)}`).join(' '),
    wide: undefined,
    json: undefined,
    html: undefined,
  };
  const flags = Object.values(told).filter((text) => text !== undefined && text !== '');
  return [
    ...flags
      .flatMap((text) => (text ?? '').split(/ (?=--)/))
      .map((flag): readonly [string, string] => {
        const [name = '', ...value] = flag.split(' ');
        return [name, value.join(' ') || 'on'];
      }),
    ['seeds drawn from', Array.from({ length: options.seeds }, (_, index) => String(index + 1)).join(', ')],
    ['tokens of one engine step', String(MODEL_DEFAULTS.stepTokens)],
    ['requests in an engine’s batch', String(MODEL_DEFAULTS.maxRunning)],
  ];
}

/** One line for a shell that makes the same comparison again. */
export function commandLine(options: SimulateOptions): string {
  const words = madeFrom(options)
    .filter(([name]) => name.startsWith('--'))
    .map(([name, value]) => (value === 'on' ? name : `${name} ${quoted(value)}`));
  return ['vllm-router simulate', ...words].join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
