import { isLoopbackName } from '../../base/loopback-name.ts';
import type { Config } from '../schema/schema.ts';

/**
 * A listener that others than this machine reach and that asks nobody for anything. It is told of rather than refused:
 * vLLM itself listens like that, and behind a gateway that checks keys it is right.
 */
export function openListenerNotices(config: Config): string[] {
  if (config.insecure || isLoopbackName(config.host) || asksForSomething(config)) return [];
  return [
    `host: everybody who reaches ${config.host} may use the workers: no client keys (api_keys, inbound_api_key) and no client certificates (ssl_cert_reqs) are asked for; --insecure says that this is intended`,
  ];
}

function asksForSomething(config: Config): boolean {
  const { api_keys: tenants, inbound_api_key: key, api_key_validation_urls: services } = config;
  return (
    tenants.length > 0 || key !== undefined || services.length > 0 || config.ssl_cert_reqs === 'required'
  );
}
