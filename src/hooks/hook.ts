import type { FlatHeaders } from '../http/headers.ts';

/** One request as a hook sees it: under the model it will be served by, as earlier hooks left it. */
export interface HookInput {
  /** The endpoint's path template, or `unmatched`. */
  readonly route: string;
  readonly requestId: string;
  /** '' where the request names none. */
  readonly model: string;
  readonly stream: boolean;
  readonly tenant: string | undefined;
  /** The client's own headers. */
  readonly headers: FlatHeaders;
  /** `application/json` for JSON objects, else what the client said. */
  readonly contentType: string;
  /** The body as it would be sent to a worker. Not to be changed in place. */
  readonly body: Buffer;
}

/** What a hook says about a request. */
export type HookVerdict =
  | { readonly action: 'allow' }
  | { readonly action: 'reject'; readonly reason: string | undefined }
  /** `body`: the bytes of a JSON value that is to replace the request's; undefined where the hook gave none. */
  | { readonly action: 'transform'; readonly body: Buffer | undefined }
  /** An action that this version does not know. */
  | { readonly action: 'unknown' }
  | { readonly action: 'error'; readonly message: string; readonly blame: Blame };

/** Whose doing an error is: only those of the hook itself open its circuit. `router`: it had no socket to ask with. */
export type Blame = 'hook' | 'request' | 'router';

/** A check of requests before they are routed. */
export interface Hook {
  /**
   * Looks at one request. `signal` says when the answer is of no use any more: the hook's time is up, the client has left.
   * What it rejects with counts as an error of the hook.
   */
  run(input: HookInput, signal: AbortSignal): Promise<HookVerdict>;
  /** No call will come any more, and none is running. */
  close?(): void;
}

/** What became of one call of a hook: the words of the metric's `outcome`. */
export type HookOutcome =
  | 'allowed'
  | 'transformed'
  | 'transform_no_body'
  | 'rejected'
  | 'rejected_ignored'
  | 'unknown'
  | 'timeout'
  | 'error';

/** How an outcome is written behind the hook's name in `x-vllm-router-hooks` and in `hooks_ran`: a stable contract. */
export const TOKEN_SUFFIX = {
  allowed: '',
  transformed: ':transformed',
  transform_no_body: ':transform-no-body',
  rejected: ':rejected',
  rejected_ignored: ':rejected-ignored',
  unknown: ':unknown',
  timeout: ':timeout',
  error: ':error',
} as const satisfies Readonly<Record<HookOutcome, string>>;
