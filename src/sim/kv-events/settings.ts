/** How a simulated worker publishes what its caches hold. */
export interface KvEventOptions {
  /** Of the first rank; rank r has `port + r`. Default 0: any free ones. */
  readonly port?: number;
  /** Where messages are asked for again, likewise; `none`: nowhere. Default 0. */
  readonly replayPort?: number | 'none';
  /** First frame of every message. Default empty, as in vLLM. */
  readonly topic?: string;
  /** Each event as a map (vLLM since mid-2026) or as an array (before). Default map. */
  readonly encoding?: 'map' | 'array';
  /** Engine hashes as 64-bit integers or as all their 32 bytes (`VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES`). Default int. */
  readonly hashes?: 'int' | 'bytes';
  /** Replies to who asks again: with the topic (newest) or without. Default newest. */
  readonly replayFraming?: 'newest' | 'older';
  /** Messages kept to be asked for again. Default 10,000. */
  readonly bufferSteps?: number;
  /** PYTHONHASHSEED: workers with the same one have the same engine hashes. Default: one of its own for each start. */
  readonly hashSeed?: string;
}

export interface KvEventSettings extends Readonly<Required<Omit<KvEventOptions, 'hashSeed'>>> {
  readonly hashSeed: string | undefined;
}

export function kvEventSettings(options: boolean | KvEventOptions): KvEventSettings | undefined {
  if (options === false) return undefined;
  const given = options === true ? {} : options;
  return {
    port: given.port ?? 0,
    replayPort: given.replayPort ?? 0,
    topic: given.topic ?? '',
    encoding: given.encoding ?? 'map',
    hashes: given.hashes ?? 'int',
    replayFraming: given.replayFraming ?? 'newest',
    bufferSteps: given.bufferSteps ?? 10_000,
    hashSeed: given.hashSeed,
  };
}

/** What was said of cache events; they are published only with `on`. */
export interface KvEventDraft {
  on?: true;
  /** Some other flag, to tell that it means nothing without `on`. */
  named?: string;
  port?: number;
  replayPort?: KvEventOptions['replayPort'] & {};
  topic?: string;
  encoding?: 'map' | 'array';
  hashes?: 'int' | 'bytes';
  replayFraming?: 'newest' | 'older';
  bufferSteps?: number;
  hashSeed?: string;
}
