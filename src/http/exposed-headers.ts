/** Response headers that scripts in a browser may read across origins. */
export const EXPOSED_HEADERS = [
  'x-request-id',
  'server-timing',
  'retry-after',
  'x-should-retry',
  'x-ratelimit-limit',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens',
  'x-vllm-router-worker',
  'x-vllm-router-method',
  'x-vllm-router-policy',
  'x-vllm-router-model',
  'x-vllm-router-hooks',
] as const;
