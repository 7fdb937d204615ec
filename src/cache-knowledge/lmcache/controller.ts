import type { Pieces } from '../../base/in-pieces.ts';

/**
 * What a router can ask LMCache. There are two processes that know who stores what, and of the older one two generations:
 *
 * - `controller` (`lmcache_controller`): `POST /lookup` with token ids; newer ones list instances at `GET /controller/workers`.
 * - `coordinator` (of `lmcache server`, one cache for all engines of a host): `POST /directory/lookup`, `GET /instances`,
 *   `GET /directory/stats`.
 */
export type ControllerApi = 'controller' | 'coordinator';

/** One LMCache instance, as it is listed: the cache of one engine, or the one of all engines on a host. */
export interface LmcacheInstance {
  readonly id: string;
  /** Addresses of its processes, without ports. */
  readonly hosts: readonly string[];
  /** Chunks of KV cache that it stores; undefined where nobody says. */
  readonly chunks: number | undefined;
}

/** Leading tokens of a prompt that an instance stores. */
export interface Holding {
  readonly instance: string;
  readonly tokens: number;
  readonly tier: 'cpu' | 'disk';
}

/** The prompt of one request, as a controller is asked about it. */
export interface LookupPrompt {
  readonly ids: Uint32Array;
  readonly model: string;
  /** vLLM's `cache_salt`; empty where there is none. */
  readonly salt: string;
}

/** One call as it goes out. */
export interface ControllerCall {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: Buffer | undefined;
}

export interface CallLimits {
  readonly timeoutMs: number;
  /** Of the answer. */
  readonly maxBytes: number;
  readonly signal?: AbortSignal;
}

export type ControllerAnswer =
  | { readonly kind: 'response'; readonly status: number; readonly body: Buffer }
  /** `code`: `timeout`, `aborted`, `too_large`, `out_of_sockets` or what else went wrong on the way. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

/** Sends one call on kept connections and reads the whole answer, within limits. Never rejects. */
export type AskController = (call: ControllerCall, limits: CallLimits) => Promise<ControllerAnswer>;

/** What was read of an answer, and how much of it made no sense. */
export interface Reading<T> {
  readonly entries: readonly T[];
  readonly unread: number;
}

/** More than this are not looked at. */
export const MOST_INSTANCES = 4096;

/** One way of asking. */
export interface ControllerDialect {
  /** Of the answer to a look-up. */
  readonly maxAnswerBytes: number;
  lookup(prompt: LookupPrompt): ControllerCall;
  /** Who stores the beginning of a prompt of `tokens` tokens; undefined where the answer is none. */
  holdings(answer: unknown, tokens: number): Pieces<Reading<Holding> | undefined>;
}
