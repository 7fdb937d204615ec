import { parseFault } from './faults.ts';
import { MODEL_DEFAULTS } from '../engine/model-settings.ts';
import { LMCACHE_FLAGS } from '../lmcache/flags.ts';
import { KV_TRANSFER_FLAGS } from '../kv-transfer/flags.ts';
import { KV_EVENT_FLAGS } from '../kv-events/flags.ts';
import { number, type Draft, type Flag, type Model } from './flag.ts';

const whole = { least: 1, most: 1e9, whole: true } as const;

export const SIM_FLAGS: readonly Flag[] = [
  {
    name: '--count',
    value: 'N',
    group: 'Workers',
    about: 'how many workers, on consecutive ports (default 1)',
    set: (draft, value) => number(value, { ...whole, most: 1024 }, (n) => (draft.count = n)),
  },
  {
    name: '--host',
    value: 'HOST',
    group: 'Workers',
    about: 'address to listen on (default 127.0.0.1)',
    set: (draft, value) => void (draft.options.host = value),
  },
  {
    name: '--port',
    value: 'PORT',
    group: 'Workers',
    about: 'port of the first worker; 0: any free ports (default 8000)',
    set: (draft, value) =>
      number(value, { least: 0, most: 65535, whole: true }, (n) => (draft.options.port = n)),
  },
  {
    name: '--uds',
    value: 'PATH',
    group: 'Workers',
    about: 'listen on a unix socket instead; one worker only',
    set: (draft, value) => void (draft.options.socketPath = value),
  },
  {
    name: '--ssl-keyfile',
    value: 'FILE',
    group: 'Workers',
    about: 'PEM key: speak https, with --ssl-certfile',
    set: (draft, value) => void (draft.keyFile = value),
  },
  {
    name: '--ssl-certfile',
    value: 'FILE',
    group: 'Workers',
    about: 'PEM certificate: speak https, with --ssl-keyfile',
    set: (draft, value) => void (draft.certFile = value),
  },
  {
    name: '--model',
    aliases: ['--served-model-name'],
    value: 'NAME',
    group: 'Workers',
    about: 'a served model name; again for an alias (default sim-model)',
    set: (draft, value) => void (draft.options.models = [...(draft.options.models ?? []), value]),
  },
  {
    name: '--lora',
    value: 'NAME',
    group: 'Workers',
    about: 'a LoRA adapter to serve; can be given again',
    set: (draft, value) => void (draft.options.loras = [...(draft.options.loras ?? []), value]),
  },
  {
    name: '--api-key',
    value: 'KEY',
    group: 'Workers',
    about: 'bearer token to demand where vLLM does; can be given again',
    set: (draft, value) => void (draft.options.apiKeys = [...(draft.options.apiKeys ?? []), value]),
  },
  {
    name: '--data-parallel-size',
    value: 'N',
    group: 'Workers',
    about: 'engines behind each port, pinned by X-data-parallel-rank (default 1)',
    set: (draft, value) => number(value, { ...whole, most: 64 }, (n) => (draft.options.dataParallelSize = n)),
  },
  {
    name: '--keep-alive-secs',
    value: 'SECS',
    group: 'Workers',
    about: 'idle connections are closed after this (default 5, as uvicorn does)',
    set: (draft, value) =>
      number(value, { least: 0, most: 86_400 }, (n) => (draft.options.keepAliveMs = n * 1000)),
  },
  {
    name: '--time-scale',
    value: 'X',
    group: 'Engine',
    about: 'multiplies every duration: 0.1 is ten times faster, 0 no delays (default 1)',
    set: (draft, value) => number(value, { least: 0, most: 1000 }, (n) => (draft.options.timeScale = n)),
  },
  {
    name: '--seed',
    value: 'N',
    group: 'Engine',
    about: 'seed of words, output lengths and fault draws; worker i gets N + i (default 0)',
    set: (draft, value) =>
      number(value, { least: 0, most: 2 ** 31, whole: true }, (n) => (draft.options.seed = n)),
  },
  modelFlag('--prefill-tokens-per-second', 'prefillTokensPerSecond', 'prefill speed', 'TOKENS', {
    least: 0.001,
  }),
  modelFlag('--decode-base-ms', 'decodeBaseMs', 'what any decode step takes', 'MS', { least: 0 }),
  modelFlag(
    '--decode-per-request-ms',
    'decodePerRequestMs',
    'what each decoding request adds to the step',
    'MS',
    { least: 0 },
  ),
  modelFlag('--max-num-batched-tokens', 'stepTokens', 'tokens of one step', 'N', whole),
  modelFlag('--max-num-seqs', 'maxRunning', 'requests in the batch', 'N', whole),
  modelFlag('--block-size', 'blockSize', 'tokens per KV block', 'N', whole),
  modelFlag('--num-gpu-blocks', 'blocks', 'KV blocks', 'N', { ...whole, most: 2 ** 24 }),
  modelFlag('--cpu-offload-blocks', 'cpuBlocks', 'blocks of CPU memory that full blocks are copied to', 'N', {
    ...{ least: 0, most: 2 ** 24, whole: true },
  }),
  modelFlag(
    '--cpu-load-tokens-per-second',
    'cpuLoadTokensPerSecond',
    'how fast they come back from there',
    'TOKENS',
    { least: 0.001 },
  ),
  modelFlag('--max-model-len', 'maxModelLen', 'longest prompt plus output, tokens', 'N', whole),
  {
    name: '--no-prefix-caching',
    group: 'Engine',
    about: 'compute every prompt anew',
    set: (draft) => void (draft.model.prefixCaching = false),
  },
  ...KV_TRANSFER_FLAGS,
  ...KV_EVENT_FLAGS,
  ...LMCACHE_FLAGS,
  {
    name: '--output-tokens',
    value: 'N',
    group: 'Answers',
    about: 'where the model stops by itself, on average (default 64)',
    set: (draft, value) => number(value, whole, (n) => (draft.options.outputTokens = n)),
  },
  {
    name: '--output-spread',
    value: 'X',
    group: 'Answers',
    about: 'lengths are uniform in average * (1 -/+ X) (default 0.5)',
    set: (draft, value) => number(value, { least: 0, most: 1 }, (n) => (draft.options.outputSpread = n)),
  },
  {
    name: '--reply',
    value: 'KIND',
    group: 'Answers',
    about: 'words: made up, the same for the same prompt; echo: what the user said (default words)',
    set: (draft, value) => {
      if (value !== 'words' && value !== 'echo') return 'expected words or echo';
      draft.options.reply = value;
      return undefined;
    },
  },
  {
    name: '--embedding-dimensions',
    value: 'N',
    group: 'Answers',
    about: 'length of embedding vectors (default 384)',
    set: (draft, value) =>
      number(value, { ...whole, most: 16_384 }, (n) => (draft.options.embeddingDimensions = n)),
  },
  {
    name: '--no-prompt-tokens-details',
    group: 'Answers',
    about: 'usage without cached_tokens, as in a vLLM that was not told to show them',
    set: (draft) => void (draft.options.promptTokensDetails = false),
  },
  {
    name: '--no-dev-mode',
    group: 'Answers',
    about: 'without the routes of VLLM_SERVER_DEV_MODE',
    set: (draft) => void (draft.options.devMode = false),
  },
  {
    name: '--no-responses-store',
    group: 'Answers',
    about: 'responses cannot be read back',
    set: (draft) => void (draft.options.responsesStore = false),
  },
  {
    name: '--no-messages-api',
    group: 'Answers',
    about: "without Anthropic's routes, as in an older vLLM",
    set: (draft) => void (draft.options.messagesApi = false),
  },
  {
    name: '--enable-request-id-headers',
    group: 'Answers',
    about: 'echo X-Request-Id',
    set: (draft) => void (draft.options.requestIdHeaders = true),
  },
  {
    name: '--fault',
    value: '[N:]KIND[:K=V,...]',
    group: 'Faults',
    about: 'misbehave, all workers or worker N only; can be given again',
    set: addFault,
  },
];

function modelFlag(
  name: string,
  key: Exclude<keyof Model, 'prefixCaching' | 'timeScale'>,
  about: string,
  value: string,
  rule: { readonly least: number; readonly most?: number; readonly whole?: boolean },
): Flag {
  return {
    name,
    value,
    group: 'Engine',
    about: `${about} (default ${MODEL_DEFAULTS[key]})`,
    set: (draft, text) => number(text, rule, (n) => (draft.model[key] = n)),
  };
}

function addFault(draft: Draft, value: string): string | undefined {
  const [, worker, text] = /^(?:(\d+):)?(.*)$/s.exec(value) ?? [];
  const parsed = parseFault(text ?? '');
  if (parsed.kind === 'error') return parsed.message;
  const index = worker === undefined ? 0 : Number(worker);
  draft.faultsOf.set(index, [...(draft.faultsOf.get(index) ?? []), text ?? '']);
  return undefined;
}
