import { didYouMean, nearest } from '../../base/suggest.ts';

/** Flags that other vLLM routers have, of parts that are not there yet. */
const FLAGS = [
  '--epd-config',
  ...['--service-discovery', '--service-discovery-port', '--service-discovery-namespace'],
  ...['--selector', '--prefill-selector', '--decode-selector'],
  ...['--history-backend', '--mini-lb', '--extra-generate-paths'],
  ...['--enable-trace', '--otlp-traces-endpoint', '--otel-sampling-ratio', '--otel-excluded-paths'],
  ...['--enable-program-scheduling', '--program-scheduling-config-json'],
  ...['--wasm-middleware', '--wasm-middleware-sha256', '--wasm-middleware-route'],
  ...['--kv-tokenizer-path', '--kv-model', '--kv-hash-algo', '--kv-hash-seed'],
  '--kv-index-max-entries',
] as const;

/** Keys of their files. */
const KEYS = [...['connection_mode', 'discovery'], ...['history_backend', 'trace_config']] as const;

/** Variables that are neither. */
const VARIABLES = [
  ...['VLLM_ROUTER_STAGES', 'VLLM_ROUTER_TOKENIZER', 'VLLM_ROUTER_MODEL', 'VLLM_ROUTER_L0_CACHE'],
  ...['VLLM_ROUTER_L0_MAX_ENTRIES', 'VLLM_ROUTER_L0_MAX_BYTES', 'VLLM_ROUTER_L0_MAX_ENTRY_BYTES'],
  'VLLM_ROUTER_SLL_SESSION_EXPIRATION_IN_S',
] as const;

/** Policies. */
const VALUES = [...['sticky_least_loaded', 'smetric']] as const;

export const NOT_OFFERED = { flags: FLAGS, keys: KEYS, variables: VARIABLES, values: VALUES } as const;

const TEXT = 'not offered in this version';

/** A flag, a key's full name and a variable of the same setting are the same text here. */
const plain = (name: string): string =>
  name
    .toLowerCase()
    .replace(/^vllm_router_/, '')
    .replaceAll(/[-_.]/g, '');

const SETTINGS: ReadonlySet<string> = new Set([...FLAGS, ...KEYS].map(plain));
const OWN_VARIABLES: ReadonlySet<string> = new Set(VARIABLES);
const OWN_VALUES: ReadonlySet<string> = new Set(VALUES.map(plain));

/**
 * What is wrong with a flag, key or variable that there is not: its part is not there yet, or it is a slip of the pen.
 * @param near The name that was probably meant.
 */
export function unknownName(
  what: 'flag' | 'key' | 'setting',
  name: string,
  near: () => string | undefined,
): string {
  if (SETTINGS.has(plain(name)) || OWN_VARIABLES.has(name)) return TEXT;
  return `unknown ${what}${didYouMean(near())}`;
}

/** The end of a message about a value that is none of `choices`. */
export function unknownValueHint(value: string, choices: readonly string[]): string {
  return OWN_VALUES.has(plain(value)) ? `; it is ${TEXT}` : didYouMean(nearest(value, choices));
}
