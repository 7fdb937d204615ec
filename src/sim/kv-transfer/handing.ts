import type { Fields } from '../server/fields.ts';
import type { KvTransferSettings } from './settings.ts';

/** A request as connectors see it. */
export interface KvRequest {
  /** `X-Request-Id`, or what stands for it. */
  readonly id: string;
  /** The engine's own, e.g. `cmpl-<id>-0-<8 hex digits>`. */
  readonly engineRequestId: string;
  readonly body: Fields;
  /** The body's `kv_transfer_params`. */
  readonly params: Fields | undefined;
}

/** The worker that a connector works for. */
export interface KvSelf {
  readonly settings: KvTransferSettings;
  /** Where other workers ask. */
  readonly host: string;
  readonly port: number;
}

/** Where the KV cache of a prompt is to be fetched. */
export interface KvSource {
  readonly host: string;
  readonly port: number;
  /** Whose it must be; undefined: not asked. */
  readonly engineId: string | undefined;
  /** Under which name it is held there. */
  readonly key: string;
  /** Whether it may not be computed yet: then it is waited for, without end. */
  readonly waits: boolean;
}

/** What is to be done with the KV cache of one request. */
export type Handing =
  /** It is kept for another worker. `attended`: the answer waits until it was fetched. */
  | { readonly kind: 'keep'; readonly key: string; readonly attended?: true }
  | { readonly kind: 'fetch'; readonly source: KvSource }
  /** It cannot be fetched with what the request says: a failed load. */
  | { readonly kind: 'unfetchable' }
  /** It is sent to a worker that keeps it under its contents; the router is told, once for each of its ranks. */
  | {
      readonly kind: 'send';
      readonly host: string;
      readonly port: number;
      readonly requestId: string;
      readonly ranks: number;
    }
  /** It is kept under its contents, where all workers look. */
  | { readonly kind: 'share' };

/** Blocks kept for another worker, as its answer tells of them. */
export interface KeptBlocks {
  /** As vLLM numbers them: 0 is none. */
  readonly blockIds: readonly number[];
  readonly engineId: string;
  readonly engineRequestId: string;
  readonly key: string;
  readonly tokens: number;
  readonly cachedTokens: number;
  readonly firstToken: number | undefined;
}

export interface SimConnector {
  /** Undefined: the request concerns nobody else. Throws an ApiError. */
  read(request: KvRequest, self: KvSelf): Handing | undefined;
  /** `kv_transfer_params` of the answer of who keeps or sends; null where the answer tells nothing. */
  answer(kept: KeptBlocks, self: KvSelf, params: Fields | undefined): object | null;
}
