import { MODEL_DEFAULTS, type ModelSettings } from '../engine/model-settings.ts';
import {
  kvTransferSettings,
  type KvTransferOptions,
  type KvTransferSettings,
  type SimKvConnector,
  type SimRole,
} from '../kv-transfer/settings.ts';
import { lmcacheBlocks } from '../lmcache/cpu-room.ts';
import { kvEventSettings, type KvEventOptions, type KvEventSettings } from '../kv-events/settings.ts';

export interface SimOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Listen on this unix socket instead of a port. */
  readonly socketPath?: string;
  /** PEM texts: speak https. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Served model names, the first one being the main one. Default `['sim-model']`. */
  readonly models?: readonly string[];
  /** LoRA adapters on top of the first model. */
  readonly loras?: readonly string[];
  /** The engine; missing values are `MODEL_DEFAULTS`. */
  readonly model?: Partial<ModelSettings>;
  /** Shorthand for `model.timeScale`: 1 is real time, 0.1 ten times faster, 0 no delays at all. Default 1. */
  readonly timeScale?: number;
  /** Chance (output lengths and words, fault rates) follows from this. Default 0. */
  readonly seed?: number;
  /** Engines behind the one port, chosen by `X-data-parallel-rank`, else the least busy. Default 1. */
  readonly dataParallelSize?: number;
  /** Accepted bearer tokens; none: open. */
  readonly apiKeys?: readonly string[];
  /** Mean number of tokens generated before the model stops by itself. Default 64. */
  readonly outputTokens?: number;
  /** Output lengths are uniform in mean * (1 -/+ spread). Default 0.5. */
  readonly outputSpread?: number;
  /** `words`: made up, the same for the same prompt. `echo`: the last user message or the prompt. Default words. */
  readonly reply?: 'words' | 'echo';
  /** Length of embedding vectors. Default 384. */
  readonly embeddingDimensions?: number;
  /** Whether usage has `prompt_tokens_details.cached_tokens` (vLLM: `--enable-prompt-tokens-details`). Default true. */
  readonly promptTokensDetails?: boolean;
  /** Whether the routes of vLLM's development mode are there (sleep, reset_prefix_cache, ...). Default true. */
  readonly devMode?: boolean;
  /** Whether responses can be read back later (vLLM: `VLLM_ENABLE_RESPONSES_API_STORE`). Default true. */
  readonly responsesStore?: boolean;
  /** Whether Anthropic's routes are there, as in vLLM from 0.11 on. Default true. */
  readonly messagesApi?: boolean;
  /** Echo `X-Request-Id` (vLLM: `--enable-request-id-headers`). Default false. */
  readonly requestIdHeaders?: boolean;
  /** Publish what the caches hold, as vLLM's `--kv-events-config` does. Default false. */
  readonly kvEvents?: boolean | KvEventOptions;
  /** Hands over the KV cache of prompts (prefill), takes it over (decode) or does both. Default: neither, or both with a `kvConnector`. */
  readonly role?: SimRole;
  /** How it does that. Default nixl. */
  readonly kvConnector?: SimKvConnector;
  readonly kvTransfer?: KvTransferOptions;
  /** Faults from the start, as `parseFault` reads them. */
  readonly faults?: readonly (string | object)[];
  /** How many requests are kept in `seen`, heads and bodies. Default 100. */
  readonly keepRequests?: number;
  /** Idle connections are closed after this long; uvicorn's 5,000 by default. */
  readonly keepAliveMs?: number;
  /** Larger bodies are 413. Default 256 MiB. */
  readonly maxBodyBytes?: number;
}

export interface SimSettings {
  readonly models: readonly string[];
  readonly loras: readonly string[];
  readonly model: ModelSettings;
  readonly seed: number;
  readonly dataParallelSize: number;
  readonly apiKeys: readonly string[];
  readonly outputTokens: number;
  readonly outputSpread: number;
  readonly reply: 'words' | 'echo';
  readonly embeddingDimensions: number;
  readonly promptTokensDetails: boolean;
  readonly devMode: boolean;
  readonly responsesStore: boolean;
  readonly messagesApi: boolean;
  readonly requestIdHeaders: boolean;
  readonly kvEvents: KvEventSettings | undefined;
  readonly kvTransfer: KvTransferSettings | undefined;
  readonly keepRequests: number;
  readonly maxBodyBytes: number;
}

export function simSettings(options: SimOptions): SimSettings {
  const { kvConnector } = options;
  const isByContents = kvConnector === 'lmcache' || kvConnector === 'storage';
  const model = {
    ...MODEL_DEFAULTS,
    // What comes from others by its contents is kept on the CPU.
    ...(isByContents && { cpuBlocks: lmcacheBlocks(options.model?.blocks ?? MODEL_DEFAULTS.blocks) }),
    ...options.model,
    timeScale: options.timeScale ?? options.model?.timeScale ?? 1,
  };
  return {
    models: options.models ?? ['sim-model'],
    loras: options.loras ?? [],
    // A small cache cannot hold the longest default prompt: the smaller of the two is the limit unless it was set.
    model: {
      ...model,
      maxModelLen: options.model?.maxModelLen ?? Math.min(model.maxModelLen, model.blocks * model.blockSize),
    },
    seed: options.seed ?? 0,
    dataParallelSize: options.dataParallelSize ?? 1,
    apiKeys: options.apiKeys ?? [],
    outputTokens: options.outputTokens ?? 64,
    outputSpread: options.outputSpread ?? 0.5,
    reply: options.reply ?? 'words',
    embeddingDimensions: options.embeddingDimensions ?? 384,
    promptTokensDetails: options.promptTokensDetails ?? true,
    devMode: options.devMode ?? true,
    responsesStore: options.responsesStore ?? true,
    messagesApi: options.messagesApi ?? true,
    requestIdHeaders: options.requestIdHeaders ?? false,
    kvEvents: kvEventSettings(options.kvEvents ?? false),
    kvTransfer: kvTransferSettings(options.role, options.kvConnector, options.kvTransfer),
    keepRequests: options.keepRequests ?? 100,
    maxBodyBytes: options.maxBodyBytes ?? 256 * 1024 * 1024,
  };
}
