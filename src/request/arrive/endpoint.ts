import type { Translated } from '../../api/anthropic/translated.ts';
import type { Dialect } from '../../api/error-body.ts';
import type { PromptReader } from '../../api/prompts.ts';
import type { Cap } from '../../engines/prefill-decode/bodies.ts';
import type { TokenRoute } from '../../tokenize/token-prompt.ts';

/**
 * `inference` is admitted, placed by the policy and explained; `info` is cheap and skips
 * admission; `operator` changes or reveals a worker and is hidden from clients; `local` is answered by the router.
 */
export type EndpointClass = 'inference' | 'info' | 'operator' | 'local';

export type LocalName =
  | 'home'
  | 'health'
  | 'liveness'
  | 'readiness'
  | 'health_generate'
  | 'models'
  | 'model'
  | 'version'
  | 'server_info'
  | 'model_info';

/** In one piece only, or as a stream of this kind too. */
export type CachedForm = 'chat' | 'completion' | 'whole';

export interface Endpoint {
  /** The path template: the `route` of metrics, logs and records. */
  readonly route: string;
  readonly class: EndpointClass;
  readonly dialect: Dialect;
  /** `full`: on failures and retryable statuses; `connect`: only while the request cannot have reached a worker. */
  readonly retry: 'full' | 'connect';
  /**
   * `json`: held and read for model, stream and prompt. `form`: likewise for the model, unless it is large and the model
   * makes no difference. `opaque`: passed on as it arrives.
   */
  readonly body: 'json' | 'form' | 'opaque';
  readonly prompt?: PromptReader;
  /** The tokens of its prompts can be known beforehand. */
  readonly tokenRoute?: TokenRoute;
  /** Pieces that vLLM sends at the beginning of a stream before its engine has done anything. */
  readonly preamble?: number;
  /** Creates or names a stored resource that only the worker which made it knows. */
  readonly resource?: 'create' | 'by_id';
  readonly local?: LocalName;
  /** Answered without a key, also where keys are checked: for load balancers and the like. */
  readonly open?: true;
  /** Which tokens a request takes as far as can be told beforehand; absent: what the answer says, if it does. */
  readonly tokens?: 'prompt' | 'prompt_and_answer';
  /** Answers may bring the tokens themselves and no `usage`. */
  readonly tokenIds?: true;
  /** Blocks of its prompts can be handed from one worker to another; the field that says how long its answers may be. */
  readonly handoff?: Cap;
  /** Answers may be kept for others who ask the same; how they are told. */
  readonly cached?: CachedForm;
  /** Providers of OpenAI's API have it as well. */
  readonly external?: true;
  /** Knows OpenAI's `stream_options`: a stream says what it took when asked for it. */
  readonly streamOptions?: true;
  /** Not every worker has it; what others are asked instead. */
  readonly translated?: Translated;
}
