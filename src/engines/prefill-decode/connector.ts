import type { JsonMembers } from '../../api/member-edit.ts';
import type { KvConnector } from '../../config/settings/pd-settings.ts';
import type { WorkerSpec, WorkerTraits } from '../../config/settings/settings.ts';
import type { PrefillAnswer } from './prefill-answer.ts';

/** One side of a pair: a `Worker`, as far as connectors look at it. */
export interface Peer {
  readonly spec: WorkerSpec;
  readonly traits: WorkerTraits;
}

/** Two workers that are to serve a request together. */
export interface Pair {
  readonly prefill: Peer;
  readonly decode: Peer;
  /** As the client or the router named the request; a client may use one for several at once. */
  readonly requestId: string;
  /** 32 hexadecimal digits, others each time. */
  readonly randomHex32: () => string;
  /** In the request: above 1 in batches of completions. */
  readonly prompts: number;
  /** The request is a chat, whose tokens the one may tell the other. */
  readonly isChat: boolean;
}

/** How the KV blocks of a prompt get from the worker that computed them to the one that goes on with it. */
export interface Connector {
  readonly name: Exclude<KvConnector, 'auto'>;
  /**
   * Whether a request may have several prompts. vLLM answers with the parameters of the first one alone, and would take them
   * for every prompt: each of the others would get the first one's blocks.
   */
  readonly batches: boolean;
  /**
   * Its workers serve nothing but halves: a decode worker goes on with what it takes for handed over, whether anything was or not. Requests that
   * no pair can serve go to regular workers alone.
   */
  readonly pairsOnly?: true;
  /** What may be the matter where a decode worker does not answer. */
  readonly hint?: string;
  /** Why this pair cannot hand over now; undefined: it can. Cheap: asked for every pair that may be chosen. */
  unready(pair: Pick<Pair, 'prefill' | 'decode'>): string | undefined;
  begin(pair: Pair): Handoff;
}

/** What one request's two legs are sent. A retry begins a new one: parameters are good for one try. */
export interface Handoff {
  /** Whether the decode leg waits for the prefill's answer. */
  readonly order: 'serial' | 'concurrent';
  /** `x-request-id` of both legs, where the workers find each other's half by it. */
  readonly requestId: string | undefined;
  readonly prefill: PrefillOrder;
  /** Serial: with the prefill's answer. Concurrent: at once, without. */
  decode(answer: PrefillAnswer | undefined): DecodeOrder;
  /** The blocks' arrival is announced apart, so many times; to be awaited before the decode leg. */
  readonly arrival?: { readonly key: string; readonly times: number };
}

/** What the prefill worker is sent. */
export interface PrefillOrder {
  /** The request cut down to its prompt and one token, or as it came. */
  readonly body: 'one_token' | 'same';
  /** Top-level members of the body. */
  readonly members: JsonMembers;
  /** Names and values in turn. */
  readonly headers: readonly string[];
}

/** What the decode worker is sent beside the client's own body; `failed`: there is nothing that it could go on from. */
export type DecodeOrder =
  | { readonly kind: 'ready'; readonly members: JsonMembers; readonly headers: readonly string[] }
  | { readonly kind: 'failed'; readonly message: string };

export function ready(members: JsonMembers = []): DecodeOrder {
  return { kind: 'ready', members, headers: [] };
}
