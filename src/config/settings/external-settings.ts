/** What is said of a provider of an OpenAI-compatible API beside its address and its key. */
export interface ExternalTraits {
  /** By which rules, records, metrics and the response header name it; unique. */
  readonly name: string;
  /** The provider's name of each model that it is asked for; undefined: any, under the name that it has here. */
  readonly models: Readonly<Record<string, string>> | undefined;
  /** In front of the provider's name of a model that `models` does not name otherwise. */
  readonly modelPrefix: string;
  /** Whether the provider is asked once which models it has. */
  readonly fetchesModels: boolean;
  /** Flat list of names in small letters and values: those that the configuration adds. */
  readonly headers: readonly string[];
  /** The client's headers that go on beside the usual ones, in small letters. */
  readonly forwardHeaders: readonly string[];
  /** The header of its key; `authorization` has `Bearer` before it. */
  readonly keyHeader: string;
  /** Azure: the `api-version` of every request. */
  readonly apiVersion: string | undefined;
  /** Azure: the model stands in the path, `/deployments/<model>`. */
  readonly deployments: boolean;
  /** What becomes of fields of a request that only vLLM knows. */
  readonly unsupportedFields: 'drop' | 'reject';
  /** Those of them that this provider knows as well. */
  readonly keepFields: readonly string[];
  /** Requests at once, over all threads. */
  readonly maxConcurrent: number;
}

/** `always`: instead of the fleet; `unavailable`: no worker can take it; `saturated`: or all have as much as they may. */
export type ExternalWhen = 'always' | 'unavailable' | 'saturated';

/** Which requests may, or must, go to which providers. */
export interface ExternalRule {
  /** As configured: a name, or its beginning with `*` behind it. */
  readonly match: string;
  /** Names of providers, the first that can take it does. */
  readonly chain: readonly string[];
  readonly when: ExternalWhen;
  /** Requests running on a worker, from which on it has as much as it may. */
  readonly saturatedAt: number;
}

/** vLLM's own `max_num_seqs` on most machines: behind it requests wait. */
export const SATURATED_AT = 256;

/** An HTTP proxy that is asked to CONNECT. */
export interface ProxyAddress {
  readonly host: string;
  readonly port: number;
  /** Of `Proxy-Authorization`. */
  readonly authorization: string | undefined;
}
