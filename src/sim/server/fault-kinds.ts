/**
 * The ways a simulated worker can misbehave. `after` counts events of a stream; for an answer in one piece, 0 means
 * after the head and anything else in the middle of the body. Where `after` is missing, it happens before the head.
 */
export const FAULT_KINDS = {
  refuse: {
    parameters: ['for_ms'],
    meaning: 'stop listening and cut every connection; come back after for_ms',
  },
  hung_engine: {
    parameters: ['for_ms'],
    meaning:
      'the engine stops, and the server beside it goes on: health is good, answers do not come, metrics stand still; it goes on after for_ms',
  },
  delay: {
    parameters: ['ms', 'at'],
    meaning: 'wait ms before the head, or with at=body between head and body',
  },
  hang: { parameters: ['after'], meaning: 'say nothing more and keep the connection open' },
  close: {
    parameters: ['after', 'partial'],
    meaning: 'close the connection (FIN) without finishing the answer',
  },
  reset: { parameters: ['after', 'partial'], meaning: 'reset the connection (RST)' },
  status: {
    parameters: ['code', 'retry_after'],
    meaning: 'answer with an error status, code=500 by default',
  },
  error_event: { parameters: ['after'], meaning: 'an error event in the stream, then [DONE], as vLLM does' },
  drip: { parameters: ['bytes', 'ms'], meaning: 'send the body a few bytes at a time, every ms' },
  length: { parameters: ['by'], meaning: 'a content-length that is wrong by that many bytes' },
  garbage: {
    parameters: ['at'],
    meaning: 'bytes that are not HTTP, or with at=body a body that is not JSON',
  },
  no_framing: { parameters: [], meaning: 'a body without length or chunking that ends with the connection' },
  error_body: { parameters: [], meaning: 'a 200 whose body is an error' },
  pd_no_params: { parameters: [], meaning: 'the answer of a prefill has null as kv_transfer_params' },
  pd_huge_params: {
    parameters: ['bytes'],
    meaning: 'kv_transfer_params of that many bytes more, 8 MiB by default',
  },
  pd_reject: { parameters: [], meaning: 'a request that has kv_transfer_params is a 400' },
  pd_load_failure: { parameters: [], meaning: 'the KV cache of a prompt does not come' },
  pd_slow_transfer: { parameters: ['ms'], meaning: 'it comes ms later' },
  pd_die: {
    parameters: ['for_ms'],
    meaning:
      'the worker dies when the answer has left: what was kept for others is gone, nobody is listened to; it is back after for_ms, with other engine ids',
  },
  pd_side_down: {
    parameters: ['for_ms'],
    meaning:
      "other workers cannot ask for KV cache, nor anybody for the bootstrap server's engine ids; they can after for_ms",
  },
  kv_stop: {
    parameters: ['for_ms'],
    meaning:
      'the ports of cache events are closed; they come back after for_ms and answer for what was missed',
  },
  kv_restart: {
    parameters: [],
    meaning: 'once: the engines begin anew with empty caches, and their cache events from 0',
  },
  kv_lose: {
    parameters: ['forget'],
    meaning: 'a message of cache events is lost; with forget=true it cannot be asked for again either',
  },
  kv_garbage: { parameters: [], meaning: 'a message of cache events that is not msgpack' },
  kv_huge: {
    parameters: ['bytes'],
    meaning: 'a message of cache events of that many bytes, 32 MiB by default',
  },
  kv_wrong_rank: { parameters: ['by'], meaning: 'a message of cache events with a rank that is off, by=1' },
  kv_delay: { parameters: ['ms'], meaning: 'a message of cache events comes ms late' },
  kv_late_replay: { parameters: ['ms'], meaning: 'old cache events come only ms after they were asked for' },
} as const;

export type FaultKind = keyof typeof FAULT_KINDS;

const WORKER_KINDS: ReadonlySet<FaultKind> = new Set([
  ...(['refuse', 'hung_engine', 'kv_stop', 'kv_restart', 'pd_side_down'] as const),
]);

/** What a fault concerns: requests one by one, the worker as a whole, or messages of cache events. */
type Scope = 'request' | 'worker' | 'message';

export function scopeOf(kind: FaultKind): Scope {
  if (WORKER_KINDS.has(kind)) return 'worker';
  return kind.startsWith('kv_') ? 'message' : 'request';
}
