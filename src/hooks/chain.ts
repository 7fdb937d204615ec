import type { Clock } from '../base/clock.ts';
import type { HookSettings } from '../config/settings/settings.ts';
import { Breaker, type BreakerStateName } from '../workers/breaker.ts';
import { Gate } from './gate.ts';
import { TOKEN_SUFFIX, type Hook, type HookInput, type HookOutcome } from './hook.ts';
import { callHook, type CallResult, type Callee } from './call-hook.ts';

/** The request that a chain is run over. */
export interface HookSubject {
  /** As the next hook is to see it. */
  input(): HookInput;
  /**
   * Puts another body in place. A message where it cannot be: that is an error of the hook, and its `on_error` decides.
   * What it throws ends the chain.
   */
  replace(body: Buffer, hook: string): string | undefined;
  /** A hook has been asked: the token for header and record. */
  ran(token: string): void;
}

export type ChainOutcome =
  | { readonly kind: 'passed' }
  | {
      readonly kind: 'rejected';
      readonly hook: string;
      readonly how: 'block403' | 'block400';
      readonly reason: string | undefined;
    }
  | { readonly kind: 'failed'; readonly hook: string; readonly why: 'timeout' | 'error' | 'out_of_sockets' }
  /** The signal came first. */
  | { readonly kind: 'aborted' };

/** Who hears of what hooks do. */
export interface HookEvents {
  outcome(hook: string, outcome: HookOutcome, durationMs: number): void;
  breaker(hook: string, from: BreakerStateName, to: BreakerStateName): void;
  /** A hook that answered fails: once, until it answers again. */
  failing(hook: string, message: string): void;
  recovered(hook: string): void;
}

/** A hook that may be given other settings without losing its connections. */
export interface OpenHook extends Hook {
  reconfigure?(settings: HookSettings): void;
}

export interface HookChainDeps {
  readonly clock: Clock;
  readonly events: HookEvents;
  /** Makes what an entry of the configuration stands for. */
  readonly open: (settings: HookSettings) => OpenHook;
  /** How many threads have such a chain; each has its share of the calls that a hook may get at once. Default 1. */
  readonly threads?: number;
}

/** What is kept of a hook while its name and its source stay the same. */
interface Member extends Callee {
  readonly hook: OpenHook;
  readonly key: string;
  /** Runs of the chain that may still call it. */
  users: number;
  dropped: boolean;
  failing: boolean;
}

interface Link {
  readonly settings: HookSettings;
  readonly member: Member;
}

/** The configured hooks, asked one after the other. */
export class HookChain {
  readonly #deps: HookChainDeps;
  #links: readonly Link[];

  constructor(settings: readonly HookSettings[], deps: HookChainDeps) {
    this.#deps = deps;
    this.#links = settings.map((entry) => ({ settings: entry, member: this.#open(entry) }));
  }

  /** Hooks of the same name and source keep connections and breaker; the others are closed after their running calls. */
  reconfigure(settings: readonly HookSettings[]): void {
    const before = new Map(this.#links.map(({ member }) => [member.key, member]));
    this.#links = settings.map((entry) => {
      const kept = before.get(keyOf(entry));
      if (!kept) return { settings: entry, member: this.#open(entry) };
      before.delete(kept.key);
      kept.breaker.reconfigure(entry.breaker);
      kept.gate.reconfigure(this.#share(entry));
      kept.hook.reconfigure?.(entry);
      return { settings: entry, member: kept };
    });
    for (const member of before.values()) drop(member);
  }

  /**
   * Asks every hook in order, until one of them ends the request. Never rejects, but with what `subject.replace` throws.
   */
  async run(subject: HookSubject, signal: AbortSignal): Promise<ChainOutcome> {
    const links = this.#links;
    for (const { member } of links) member.users += 1;
    try {
      for (const link of links) {
        const end = await this.#ask(link, subject, signal);
        if (end) return end;
      }
      return { kind: 'passed' };
    } finally {
      for (const { member } of links) {
        member.users -= 1;
        closeUnused(member);
      }
    }
  }

  /** Closes every hook after its running calls. */
  close(): void {
    this.reconfigure([]);
  }

  async #ask(link: Link, subject: HookSubject, signal: AbortSignal): Promise<ChainOutcome | undefined> {
    const { settings, member } = link;
    const { clock, events } = this.#deps;
    const from = clock.now();
    const result = await callHook(member, subject.input(), { clock, signal, timeoutMs: settings.timeoutMs });
    if (result.action === 'aborted') return { kind: 'aborted' };
    const judged = judge(settings, result, subject);
    const { outcome, message } = judged;
    events.outcome(settings.name, outcome, clock.now() - from);
    // What the router lacks is no news of the hook.
    if (!isRoutersDoing(result)) this.#noteHealth(link, outcome, message);
    subject.ran(settings.name + TOKEN_SUFFIX[outcome]);
    if (judged.thrown) throw judged.thrown;
    return endOf(settings, outcome, result);
  }

  /** An open circuit is no news: its opening was. */
  #noteHealth({ settings: { name }, member }: Link, outcome: HookOutcome, message: string): void {
    const failing = outcome === 'error' || outcome === 'timeout';
    if (failing === member.failing) return;
    member.failing = failing;
    if (failing) this.#deps.events.failing(name, message);
    else this.#deps.events.recovered(name);
  }

  #open(settings: HookSettings): Member {
    const { clock, events, open } = this.#deps;
    const { name, breaker } = settings;
    return {
      hook: open(settings),
      key: keyOf(settings),
      breaker: new Breaker(breaker, clock, (from, to) => {
        events.breaker(name, from, to);
      }),
      gate: new Gate(this.#share(settings)),
      users: 0,
      dropped: false,
      failing: false,
    };
  }

  /** Never more in all than the hook is to get, but for one that each thread needs. */
  #share({ maxConcurrent }: HookSettings): number {
    return Math.max(1, Math.floor(maxConcurrent / (this.#deps.threads ?? 1)));
  }
}

interface Judged {
  readonly outcome: HookOutcome;
  readonly message: string;
  readonly thrown?: Error;
}

/** What a result comes to under the hook's settings. A transform is carried out here. */
function judge(
  settings: HookSettings,
  result: Exclude<CallResult, { action: 'aborted' }>,
  subject: HookSubject,
): Judged {
  switch (result.action) {
    case 'allow':
      return { outcome: 'allowed', message: '' };
    case 'reject':
      return { outcome: settings.onReject === 'pass' ? 'rejected_ignored' : 'rejected', message: '' };
    case 'transform':
      if (!settings.transform) return { outcome: 'allowed', message: '' };
      if (!result.body) return { outcome: 'transform_no_body', message: '' };
      return replaced(subject, result.body, settings.name);
    case 'unknown':
      return { outcome: 'unknown', message: '' };
    case 'timeout':
      return { outcome: 'timeout', message: `no answer within ${settings.timeoutMs} ms (timeout_ms)` };
    case 'error':
      return { outcome: 'error', message: result.message };
  }
}

function replaced(subject: HookSubject, body: Buffer, hook: string): Judged {
  try {
    const problem = subject.replace(body, hook);
    return problem === undefined
      ? { outcome: 'transformed', message: '' }
      : { outcome: 'error', message: problem };
  } catch (error) {
    const thrown = error instanceof Error ? error : new Error(String(error));
    return { outcome: 'error', message: thrown.message, thrown };
  }
}

function endOf(
  { name, onReject, onError }: HookSettings,
  outcome: HookOutcome,
  result: CallResult,
): ChainOutcome | undefined {
  if (outcome === 'rejected' && onReject !== 'pass') {
    const reason = result.action === 'reject' ? result.reason : undefined;
    return { kind: 'rejected', hook: name, how: onReject, reason };
  }
  if ((outcome === 'error' || outcome === 'timeout') && onError === 'block')
    return { kind: 'failed', hook: name, why: isRoutersDoing(result) ? 'out_of_sockets' : outcome };
  return undefined;
}

function isRoutersDoing(result: CallResult): boolean {
  return result.action === 'error' && result.blame === 'router';
}

function keyOf({ name, source }: HookSettings): string {
  return JSON.stringify([name, source.kind, source.kind === 'http' ? source.address : source.identity]);
}

function drop(member: Member): void {
  member.dropped = true;
  closeUnused(member);
}

function closeUnused(member: Member): void {
  if (member.dropped && member.users === 0) member.hook.close?.();
}
