import type { WorkerSpec } from '../../config/settings/settings.ts';
import type { Peer } from './connector.ts';

/** `VLLM_MOONCAKE_BOOTSTRAP_PORT`, and SGLang's `--disaggregation-bootstrap-port`. */
const BOOTSTRAP_PORT = 8998;

/** The worker's host, IPv6 addresses without brackets. */
export function hostOf({ baseUrl }: WorkerSpec): string {
  const { hostname } = new URL(baseUrl);
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}

/** Where a prefill worker's Mooncake says which engines it has. Always on the worker's own host. */
export function bootstrapAddress({ spec, traits }: Peer): string {
  const { hostname } = new URL(spec.baseUrl);
  return `http://${hostname}:${traits.bootstrapPort ?? BOOTSTRAP_PORT}`;
}
