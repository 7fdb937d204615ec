import type { Ask, Choice, Policy, PolicyDeps, PolicyEvent, Pool } from '../routing/policy.ts';

/** The version of what is in this file. It rises when a plugin written for the former one would break. */
export const PLUGIN_API_VERSION = 1;

/** What a plugin module exports as `default`: ways of choosing a worker and checks of requests, by name. */
export interface Plugin {
  readonly apiVersion: typeof PLUGIN_API_VERSION;
  /**
   * For policies and hooks that must see every request: the router then serves with one thread, whatever it is configured for.
   * Without it each request thread has an instance of its own, which sees the requests of that thread.
   */
  readonly threads?: 'single';
  /** Used as `policy: {type: <name>, ...parameters}`. */
  readonly policies?: Readonly<Record<string, PolicyPlugin>>;
  /** Used as `pre_routing_hooks: [{name: ..., plugin: <name>, ...}]`. */
  readonly hooks?: Readonly<Record<string, HookPlugin>>;
}

/** What stands in the configuration beside the keys that the router itself reads. */
export type RawParameters = Readonly<Record<string, unknown>>;

/** Reads what the configuration gives and makes something of it. Parameters are what `create` is handed. */
interface Configured<Parameters> {
  /**
   * Checks the parameters and fills in defaults. Absent: there are none, and one that is given is refused. Called
   * whenever a configuration is read, so it has no effects.
   * @throws ParameterError, or any error, whose message says what was expected.
   */
  parameters?(raw: RawParameters): Parameters;
}

export interface PolicyPlugin<Parameters = unknown> extends Configured<Parameters> {
  /**
   * Makes one policy. Called for every pool that is given the policy, for every dry run with it and for every check of a
   * configuration, so it opens and starts nothing.
   */
  create(parameters: Parameters, deps: PolicyDeps): PluginPolicy;
}

/** One way of choosing a worker. No method of it may take more than a moment: while it runs, nothing else does. */
export interface PluginPolicy<Knowledge = unknown> {
  /** `cache`: the router keeps its predicted index, and `deps.cache` knows something. Default: neither. */
  readonly needs?: Partial<Policy['needs']>;
  /**
   * Fetches what `choose` must know about one request. Cut at `timeout_ms`, when the client leaves and at the request's
   * deadline: `signal` says so. Called once per request, also where it is sent again to another worker. The pool may
   * have changed by the time of `choose`: remember members by `id`.
   */
  prepare?(ask: Ask, pool: Pool, context: { readonly signal: AbortSignal }): Promise<Knowledge>;
  /**
   * Chooses a member whose `mask` is 0. Synchronous, without I/O.
   * @param knowledge What `prepare` came to; undefined where there is none.
   */
  choose(ask: Ask, pool: Pool, knowledge: Knowledge): Choice;
  /** What `choose` would answer, for a request that will not be sent. Needed where `choose` itself remembers something. */
  peek?(ask: Ask, pool: Pool, knowledge: Knowledge): Choice;
  /** Told of every attempt that is sent, whoever chose its worker, and of every worker that left. */
  observe?(event: PolicyEvent): void;
}

export interface HookPlugin<Parameters = unknown> extends Configured<Parameters> {
  /** Makes the hook of one entry of `pre_routing_hooks`. Called for checks too, so it opens and starts nothing. */
  create(parameters: Parameters): PluginHook;
}

export interface PluginHook {
  /** Looks at one request. Cut at `timeout_ms` and when the client leaves: `signal` says so. */
  run(
    request: PluginHookRequest,
    context: { readonly signal: AbortSignal },
  ): PluginVerdict | Promise<PluginVerdict>;
}

/** A request as hooks see it: under the model it will be served by, as earlier hooks left it. */
export interface PluginHookRequest {
  /** The endpoint, e.g. `/v1/chat/completions`. */
  readonly route: string;
  readonly requestId: string;
  /** '' where the request names none. */
  readonly model: string;
  readonly stream: boolean;
  readonly tenant: string | undefined;
  /** A header of the client; only those that `forward_headers` names. */
  header(name: string): string | undefined;
  /** `application/json` for JSON objects, else what the client said. */
  readonly contentType: string;
  /** The bytes of the body as they would be sent. Not to be changed in place. */
  readonly bytes: Uint8Array;
  /** The body, parsed anew at each call. Throws where it is no JSON. */
  json(): unknown;
}

/** What a hook says: the same words as the answer of one that is asked over HTTP. */
export type PluginVerdict =
  | { readonly action: 'allow' }
  | { readonly action: 'reject'; readonly reason?: string }
  /**
   * `body` goes to the worker in place of the client's: an object, which is written as JSON (in which integers above 2^53
   * have lost digits), or the bytes of one.
   */
  | { readonly action: 'transform'; readonly body: object };

/** Says which parameter is wrong, for a message with its place in the file. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
  /** The parameter, e.g. `window` or `limits.high`; '' for the parameters as a whole. */
  readonly path: string;

  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Gives what a module exports as default its type.
 *
 *     export default definePlugin({ apiVersion: 1, policies: { my_policy: definePolicy({ create: () => ({ choose }) }) } });
 */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}

/** Ties the types of a policy together: what `parameters` returns is what `create` is handed. */
export function definePolicy<Parameters = undefined>(policy: PolicyPlugin<Parameters>): PolicyPlugin {
  return policy;
}

/** The same for a hook. */
export function defineHook<Parameters = undefined>(hook: HookPlugin<Parameters>): HookPlugin {
  return hook;
}
