/** Response headers that scripts in a browser may read across origins. */
export const EXPOSED_HEADERS = [
  'x-request-id',
  'server-timing',
  'retry-after',
  'x-vllm-router-worker',
  'x-vllm-router-method',
  'x-vllm-router-policy',
  'x-vllm-router-model',
  'x-vllm-router-cache-status',
  'x-vllm-router-hooks',
] as const;
