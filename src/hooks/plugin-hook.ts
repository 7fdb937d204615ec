import type { Clock } from '../base/clock.ts';
import { Overruns, type OverrunCells } from '../base/overruns.ts';
import type { PluginHookSettings } from '../config/settings/settings.ts';
import { headerOf } from '../http/headers.ts';
import type { PluginHook as OwnHook, PluginHookRequest } from '../plugins/plugin.ts';
import type { OnPluginTrouble, PluginFailure } from '../routing/policy.ts';
import type { Hook, HookInput, HookVerdict } from './hook.ts';

export interface PluginHookDeps {
  readonly clock: Clock;
  readonly report: OnPluginTrouble;
  /** Where overruns of all threads are counted together. */
  readonly overruns: OverrunCells;
}

const TOO_OFTEN = 'it held the process up too often and is not asked any more';
/** Calls that go on although nobody waits for them any more; above this no further one is begun. */
const MOST_LATE = 1024;

/**
 * A hook that is no part of the router. Its answers are judged like those of a service: what it throws and what cannot be
 * used is an error, and so is every call after it has held the process up too often. The caller cuts it at its time.
 */
export class PluginHook implements Hook {
  readonly #settings: PluginHookSettings;
  readonly #deps: PluginHookDeps;
  readonly #overruns: Overruns;
  readonly #hook: OwnHook | undefined;
  #late = 0;
  /** Why there is none. */
  #broken: string | undefined;

  constructor(settings: PluginHookSettings, deps: PluginHookDeps) {
    this.#settings = settings;
    this.#deps = deps;
    const { identity, overrunMs } = settings;
    const cells = deps.overruns.of(`hook ${identity} ${overrunMs}`);
    this.#overruns = new Overruns(overrunMs, deps.clock, cells);
    this.#hook = this.#create();
  }

  async run(input: HookInput, signal: AbortSignal): Promise<HookVerdict> {
    const disabled = this.#broken ?? (this.#overruns.tooMany ? TOO_OFTEN : undefined);
    if (disabled !== undefined) return { action: 'error', message: disabled, blame: 'request' };
    if (this.#late >= MOST_LATE)
      return this.#failed('timeout', `${MOST_LATE} calls of it go on although they were cut`);
    let verdict: unknown;
    try {
      verdict = await this.#answer(input, signal);
    } catch (error) {
      // What a call says that was cut is of no use, and no failure.
      if (signal.aborted) return { action: 'error', message: 'it was cut', blame: 'request' };
      return this.#failed('threw', 'run threw', error);
    }
    const read = verdictOf(verdict);
    return typeof read === 'string' ? this.#failed('invalid', `run returned ${read}`) : read;
  }

  #create(): OwnHook | undefined {
    const { plugin, parameters } = this.#settings;
    try {
      return plugin.create(parameters);
    } catch (error) {
      this.#broken = 'the plugin made no hook: create threw';
      this.#report('threw', 'create threw', error, true);
      return undefined;
    }
  }

  /** What of `run` is done at once is measured: meanwhile nothing else is. */
  #answer(input: HookInput, signal: AbortSignal): Promise<unknown> {
    const startedAt = this.#deps.clock.now();
    let answer: Promise<unknown>;
    try {
      answer = Promise.resolve(this.#hook?.run(requestOf(input, this.#settings), { signal }));
    } finally {
      this.#measure(startedAt);
    }
    return this.#watched(answer, signal);
  }

  #watched(answer: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
    let cut = false;
    const onCut = (): void => {
      cut = true;
      this.#late += 1;
    };
    signal.addEventListener('abort', onCut, { once: true });
    return answer.finally(() => {
      signal.removeEventListener('abort', onCut);
      if (cut) this.#late -= 1;
    });
  }

  #measure(startedAt: number): void {
    const took = this.#overruns.note(startedAt);
    if (took === undefined) return;
    const disabled = this.#overruns.tooMany;
    this.#report('overrun', `run held the process up for ${took.toFixed(1)} ms`, undefined, disabled);
  }

  #failed(kind: PluginFailure, message: string, error?: unknown): HookVerdict {
    this.#report(kind, message, error, false);
    const detail = error instanceof Error ? `${message}: ${error.message}` : message;
    return { action: 'error', message: detail, blame: 'hook' };
  }

  #report(kind: PluginFailure, message: string, error: unknown, disabled: boolean): void {
    this.#deps.report({
      plugin: this.#settings.pluginName,
      kind,
      message,
      ...(error === undefined ? {} : { error }),
      ...(disabled ? { disabled: true } : {}),
    });
  }
}

function requestOf(input: HookInput, { forwardHeaders }: PluginHookSettings): PluginHookRequest {
  const { route, requestId, model, stream, tenant, contentType, body, headers } = input;
  return {
    ...{ route, requestId, model, stream, tenant, contentType },
    bytes: body,
    json: () => JSON.parse(body.toString('utf8')) as unknown,
    header: (name) => {
      const wanted = name.toLowerCase();
      return forwardHeaders.includes(wanted) ? headerOf(headers, wanted) : undefined;
    },
  };
}

/** What a plugin returned, as a verdict; or what it is instead, in words that follow "returned". */
function verdictOf(value: unknown): HookVerdict | string {
  if (typeof value !== 'object' || value === null) return `${String(value)} instead of a verdict`;
  // Every field is looked at before it is used.
  const { action, reason, body } = value as Readonly<Record<string, unknown>>;
  switch (action) {
    case 'allow':
      return { action };
    case 'reject':
      if (reason !== undefined && typeof reason !== 'string') return 'a reason that is no text';
      return { action, reason };
    case 'transform':
      return transformOf(body);
    default:
      return typeof action === 'string' ? { action: 'unknown' } : 'a verdict without an action';
  }
}

function transformOf(body: unknown): HookVerdict | string {
  if (body === undefined) return { action: 'transform', body: undefined };
  if (body instanceof Uint8Array) return { action: 'transform', body: Buffer.from(body) };
  if (typeof body !== 'object' || body === null) return 'a body that is neither an object nor bytes';
  try {
    return { action: 'transform', body: Buffer.from(JSON.stringify(body)) };
  } catch {
    return 'a body that cannot be written as JSON';
  }
}
