import { parseBaseUrl } from '../engines/http/worker-address.ts';
import type { EventSource } from '../workers/cache-config.ts';
import { readEndpoint, type Endpoint } from '../zmtp/endpoint.ts';

/** Where one engine of a worker is listened to. */
export interface EventEndpoint {
  readonly events: Endpoint;
  readonly replay: Endpoint | undefined;
}

/** Those that the worker advertises: its own host counts, whatever it says, of its word only the ports. */
export function advertisedEndpoints(
  baseUrl: string,
  sources: readonly EventSource[],
  rank: number | undefined,
): readonly EventEndpoint[] {
  const { connect } = parseBaseUrl(baseUrl);
  const host = 'host' in connect ? connect.host : '127.0.0.1';
  const at = (text: string | undefined): Endpoint | undefined => {
    const endpoint = text === undefined ? undefined : readEndpoint(text);
    return endpoint?.kind === 'tcp' ? { kind: 'tcp', host, port: endpoint.port } : undefined;
  };
  return sources.flatMap((source) => {
    const events = at(source.endpoint);
    const isAsked = rank === undefined || source.rank === rank;
    return events && isAsked ? [{ events, replay: at(source.replayEndpoint) }] : [];
  });
}

/** The address that a publisher connects to instead of being listened to: vLLM does so where its endpoint names one address. */
export function dialledEndpoint(sources: readonly EventSource[]): string | undefined {
  return sources.find(({ endpoint }) => !/\*|::|^ipc:|^inproc:/.test(endpoint))?.endpoint;
}
