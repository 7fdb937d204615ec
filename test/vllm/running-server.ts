import { readEndpoint } from '../../src/zmtp/endpoint.ts';
import type { VllmServer } from './vllm-server.ts';

/** A server that somebody else has started and will end; where it publishes, it says itself. */
export async function runningServer(url: string): Promise<VllmServer> {
  const response = await fetch(`${url}/kv_event_sources`);
  if (!response.ok)
    throw new Error(`${url}/kv_event_sources: status ${String(response.status)}: start it with KV events`);
  // vLLM's own answer: one entry for each rank.
  const sources = (await response.json()) as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  const portOf = (text: unknown): number => {
    const endpoint = typeof text === 'string' ? readEndpoint(text) : undefined;
    if (endpoint?.kind !== 'tcp') throw new Error(`${url} publishes at ${String(text)}`);
    return endpoint.port;
  };
  return {
    url,
    eventsPort: portOf(sources['0']?.['endpoint']),
    replayPort: portOf(sources['0']?.['replay_endpoint']),
    healthy: Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}
