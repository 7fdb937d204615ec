import { inspect } from 'node:util';
import { RouterError } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { Overruns, type OverrunCells } from '../../base/overruns.ts';
import type { PluginPolicySettings } from '../../config/settings/settings.ts';
import type { PluginPolicy } from '../../plugins/plugin.ts';
import { NOBODY } from '../eligible.ts';
import type {
  Ask,
  Choice,
  OnPluginTrouble,
  PluginFailure,
  Policy,
  PolicyDeps,
  PolicyEvent,
  Pool,
} from '../policy.ts';
import { checkedChoice } from './checked-choice.ts';
import { PluginViews, depsForPlugin } from './plugin-views.ts';

export interface GuardDeps {
  readonly fallback: Policy;
  readonly deps: PolicyDeps;
  readonly report: OnPluginTrouble;
  /** Where overruns of all threads are counted together. */
  readonly overruns?: OverrunCells | undefined;
}

/** What `prepare` came to, for `choose`. */
type Prepared =
  | { readonly kind: 'ready'; readonly knowledge: unknown }
  | { readonly kind: 'failed'; readonly cause: PluginFailure };

/** Calls of `prepare` that go on although they were cut; above this no further one is begun. */
const MOST_LATE = 1024;

/**
 * A policy that is no part of the router. Whatever it does, short of not returning at all, the request goes on: where it
 * throws, answers nonsense or is not ready in time, the fallback chooses, and where it keeps holding the process up it is
 * not asked any more.
 */
export class GuardedPolicy implements Policy {
  readonly name: string;
  readonly needs: Policy['needs'];
  readonly prepare?: NonNullable<Policy['prepare']>;
  readonly #settings: PluginPolicySettings;
  readonly #fallback: Policy;
  readonly #clock: Clock;
  readonly #report: GuardDeps['report'];
  readonly #views = new PluginViews();
  readonly #overruns: Overruns;
  readonly #plugin: PluginPolicy | undefined;
  /** Its `create` threw. */
  #broken = false;
  #late = 0;

  constructor(settings: PluginPolicySettings, { fallback, deps, report, overruns }: GuardDeps) {
    this.name = settings.name;
    this.#settings = settings;
    this.#fallback = fallback;
    this.#clock = deps.clock;
    this.#report = report;
    const { name, parameters, overrunMs } = settings;
    this.#overruns = new Overruns(
      overrunMs,
      deps.clock,
      overruns?.of(`policy ${inspect([name, parameters, overrunMs])}`),
    );
    const own = depsForPlugin(deps);
    this.#plugin = this.#create(own.deps);
    const needsCache = this.#plugin?.needs?.cache === true;
    if (needsCache) own.openCache();
    const wantsTokens = this.#plugin?.needs?.tokens === true;
    this.needs = {
      cache: needsCache || fallback.needs.cache,
      get tokens() {
        return wantsTokens || fallback.needs.tokens === true;
      },
      lmcache: needsCache ? 'if_configured' : fallback.needs.lmcache,
    };
    if (this.#plugin?.prepare) this.prepare = (ask, pool, signal) => this.#prepare(ask, pool, signal);
  }

  choose(ask: Ask, pool: Pool, prepared?: unknown): Choice {
    if (pool.eligible === 0) return NOBODY;
    const own = this.#failureBefore(prepared) ?? this.#choose(ask, pool, prepared);
    return typeof own === 'object' ? own : this.#instead(own, this.#fallback.choose(ask, pool));
  }

  /** As `choose`, but nothing is counted or held against the plugin. */
  peek(ask: Ask, pool: Pool, prepared?: unknown): Choice {
    if (pool.eligible === 0) return NOBODY;
    const own = this.#failureBefore(prepared) ?? this.#peek(ask, pool, prepared);
    if (typeof own === 'object') return own;
    const fallback = this.#fallback;
    return this.#instead(own, fallback.peek ? fallback.peek(ask, pool) : fallback.choose(ask, pool));
  }

  observe(event: PolicyEvent): void {
    this.#fallback.observe?.(event);
    const plugin = this.#plugin;
    if (!plugin?.observe || this.#disabled !== undefined) return;
    const seen = event.type === 'dispatched' ? { ...event, ask: this.#views.ask(event.ask) } : event;
    // An async function fits the type, and its rejection would end the process.
    const watched: { observe?(event: PolicyEvent): unknown } = plugin;
    const startedAt = this.#clock.now();
    try {
      this.#absorb(watched.observe?.(seen), 'observe');
    } catch (error) {
      this.#failed('threw', 'observe threw', error);
    }
    this.#measure('observe', startedAt);
  }

  #create(deps: PolicyDeps): PluginPolicy | undefined {
    const { plugin, parameters } = this.#settings;
    try {
      return plugin.create(parameters, deps);
    } catch (error) {
      this.#broken = true;
      this.#failed('threw', 'create threw', error, true);
      return undefined;
    }
  }

  #prepare(ask: Ask, pool: Pool, outer: AbortSignal): Promise<Prepared> {
    const disabled = this.#disabled;
    if (disabled) return Promise.resolve({ kind: 'failed', cause: disabled });
    if (this.#late >= MOST_LATE) {
      this.#failed('timeout', `${MOST_LATE} calls of prepare go on after their time`);
      return Promise.resolve({ kind: 'failed', cause: 'timeout' });
    }
    const cut = new AbortController();
    const { timeoutMs } = this.#settings;
    return new Promise((resolve) => {
      let open = true;
      const end = (prepared: Prepared): void => {
        open = false;
        timer.cancel();
        outer.removeEventListener('abort', onOuter);
        resolve(prepared);
      };
      const cutOff = (): void => {
        this.#late += 1;
        end({ kind: 'failed', cause: 'timeout' });
        cut.abort();
      };
      // Nobody will choose any more: that is not the plugin's failure.
      const onOuter = cutOff;
      const timer = this.#clock.after(timeoutMs, () => {
        this.#failed('timeout', `prepare took longer than ${timeoutMs} ms`);
        cutOff();
      });
      outer.addEventListener('abort', onOuter);
      this.#startPreparing(ask, pool, cut.signal).then(
        (knowledge) => {
          if (open) end({ kind: 'ready', knowledge });
          else this.#late -= 1;
        },
        (error: unknown) => {
          if (open) {
            // Else the client's own body could not be read, and whoever chooses will say so.
            if (!(error instanceof RouterError)) this.#failed('threw', 'prepare threw', error);
            end({ kind: 'failed', cause: 'threw' });
          } else this.#late -= 1;
        },
      );
    });
  }

  /** What of `prepare` runs at once is measured like `choose`. */
  #startPreparing(ask: Ask, pool: Pool, signal: AbortSignal): Promise<unknown> {
    const startedAt = this.#clock.now();
    try {
      return Promise.resolve(
        this.#plugin?.prepare?.(this.#views.ask(ask), this.#views.pool(pool), { signal }),
      );
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#measure('prepare', startedAt);
    }
  }

  #choose(ask: Ask, pool: Pool, prepared: unknown): Choice | PluginFailure {
    const startedAt = this.#clock.now();
    const answer = this.#ask('choose', ask, pool, prepared);
    this.#measure('choose', startedAt);
    if (answer.kind === 'failed') {
      this.#failed(answer.cause, answer.message, answer.error);
      return answer.cause;
    }
    return answer.choice;
  }

  #peek(ask: Ask, pool: Pool, prepared: unknown): Choice | PluginFailure {
    const answer = this.#plugin?.peek
      ? this.#ask('peek', ask, pool, prepared)
      : this.#ask('choose', ask, pool, prepared);
    return answer.kind === 'failed' ? answer.cause : answer.choice;
  }

  #ask(method: 'choose' | 'peek', ask: Ask, pool: Pool, prepared: unknown): Answer {
    let raw: unknown;
    try {
      raw = this.#plugin?.[method]?.(this.#views.ask(ask), this.#views.pool(pool), knowledgeOf(prepared));
    } catch (error) {
      // The client's own body could not be read.
      if (error instanceof RouterError) throw error;
      return { kind: 'failed', cause: 'threw', message: `${method} threw`, error };
    }
    if (this.#absorb(raw, method))
      return { kind: 'failed', cause: 'invalid', message: `${method} returned a promise` };
    const checked = checkedChoice(raw, pool);
    if (typeof checked === 'object') return { kind: 'chosen', choice: checked };
    return { kind: 'failed', cause: 'invalid', message: `${method} returned ${checked}` };
  }

  /** Whether `value` is a promise; its rejection is counted instead of ending the process. */
  #absorb(value: unknown, method: string): boolean {
    if (!isThenable(value)) return false;
    Promise.resolve(value).catch((error: unknown) => {
      this.#failed('threw', `${method} rejected`, error);
    });
    return true;
  }

  /** Why it is not asked any more. */
  get #disabled(): PluginFailure | undefined {
    if (this.#broken) return 'threw';
    return this.#overruns.tooMany ? 'overrun' : undefined;
  }

  /** Why the plugin need not be asked at all. */
  #failureBefore(prepared: unknown): PluginFailure | undefined {
    const disabled = this.#disabled;
    if (disabled) return disabled;
    if (!this.prepare) return undefined;
    if (!isPrepared(prepared)) return 'timeout';
    return prepared.kind === 'failed' ? prepared.cause : undefined;
  }

  #instead(cause: PluginFailure, choice: Choice): Choice {
    if (choice.kind === 'none') return choice;
    return { ...choice, fallback: { policy: this.#fallback.name, cause } };
  }

  #measure(method: string, startedAt: number): void {
    const took = this.#overruns.note(startedAt);
    if (took === undefined) return;
    const disabled = this.#overruns.tooMany;
    const message = `${method} held the process up for ${took.toFixed(1)} ms`;
    this.#failed('overrun', message, undefined, disabled);
  }

  #failed(kind: PluginFailure, message: string, error?: unknown, disabled = false): void {
    this.#report({
      plugin: this.name,
      kind,
      message,
      ...(error === undefined ? {} : { error }),
      ...(disabled ? { disabled: true } : {}),
    });
  }
}

type Answer =
  | { readonly kind: 'chosen'; readonly choice: Choice }
  | {
      readonly kind: 'failed';
      readonly cause: PluginFailure;
      readonly message: string;
      readonly error?: unknown;
    };

function isPrepared(value: unknown): value is Prepared {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

function knowledgeOf(prepared: unknown): unknown {
  return isPrepared(prepared) && prepared.kind === 'ready' ? prepared.knowledge : undefined;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
