/** What the answers of a worker have shown of what is known of its cache. */
export const VERDICTS = [
  'unknown',
  'ok',
  'prefix_caching_off',
  'block_size_differs',
  'events_off',
  'cached_tokens_not_reported',
  'template_differs',
  'cache_thrashing',
] as const;
export type VerdictName = (typeof VERDICTS)[number];

export interface Verdict {
  readonly name: VerdictName;
  /** What was found, in numbers where there are any. */
  readonly finding: string;
}

/** What to do about it: the same words wherever it is said. Undefined where there is nothing to do. */
export const REMEDIES = {
  unknown: undefined,
  ok: undefined,
  prefix_caching_off:
    'Start vLLM with prefix caching, which is its default: drop --no-enable-prefix-caching. Some models and KV connectors turn it off, its log says so.',
  block_size_differs:
    'Give the policy the block size that the engine has, or start vLLM with the one that is configured (--block-size).',
  events_off: `Start vLLM with --kv-events-config '{"enable_kv_cache_events": true, "publisher": "zmq", "endpoint": "tcp://*:5557", "replay_endpoint": "tcp://*:5558"}', and let the router reach that port; until then its cache is predicted.`,
  cached_tokens_not_reported:
    'Start vLLM with --enable-prompt-tokens-details: without it nobody can tell whether a prediction was right.',
  template_differs:
    'Its prompts are not the tokens that the router takes them for. Check the chat template and the tokenizer (vllm-router doctor), and whether the template writes what changes, such as the time, at its beginning.',
  cache_thrashing:
    'Prompts are gone before they come again. Give the engine more memory for its cache (--gpu-memory-utilization), or spread them over more workers.',
} as const satisfies Readonly<Record<VerdictName, string | undefined>>;
