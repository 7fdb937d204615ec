import type { Clock, Timer } from '../base/clock.ts';
import type { Breaker } from '../workers/breaker.ts';
import type { Permit } from '../workers/permit.ts';
import type { Gate } from './gate.ts';
import type { Hook, HookInput, HookVerdict } from './hook.ts';

/** A hook with what stands between it and the requests. */
export interface Callee {
  readonly hook: Hook;
  readonly breaker: Breaker;
  readonly gate: Gate;
}

export type CallResult = HookVerdict | { readonly action: 'timeout' } | { readonly action: 'aborted' };

interface CallOptions {
  readonly clock: Clock;
  /** Ends the call: the client has left, or the request's own time is up. */
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

const CIRCUIT_OPEN: HookVerdict = {
  action: 'error',
  message: 'its circuit is open after too many failures in a row',
  blame: 'request',
};

/** Asks one hook once, within its time; waiting for a free place counts. Never rejects. */
export function callHook(callee: Callee, input: HookInput, options: CallOptions): Promise<CallResult> {
  if (options.signal.aborted) return Promise.resolve({ action: 'aborted' });
  if (!callee.breaker.admits(options.clock.now())) return Promise.resolve(CIRCUIT_OPEN);
  return new Promise((resolve) => {
    new HookCall(callee, options, resolve).begin(input);
  });
}

/** One call, which ends once: by its verdict, its time or its signal. */
class HookCall {
  readonly #callee: Callee;
  readonly #options: CallOptions;
  readonly #resolve: (result: CallResult) => void;
  readonly #cut = new AbortController();
  readonly #timer: Timer;
  #permit: Permit | undefined;
  #leave: (() => void) | undefined;
  #settled = false;

  constructor(callee: Callee, options: CallOptions, resolve: (result: CallResult) => void) {
    this.#callee = callee;
    this.#options = options;
    this.#resolve = resolve;
    this.#timer = options.clock.after(options.timeoutMs, () => {
      this.#end({ action: 'timeout' });
    });
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  begin(input: HookInput): void {
    this.#leave = this.#callee.gate.enter(() => {
      this.#send(input);
    });
  }

  #send(input: HookInput): void {
    const { hook, breaker } = this.#callee;
    const now = this.#options.clock.now();
    // The circuit may have opened while this call was waiting for its place.
    if (!breaker.admits(now)) {
      this.#settle(CIRCUIT_OPEN);
      return;
    }
    this.#permit = breaker.permit(now);
    runOf(hook, input, this.#cut.signal).then(
      (verdict) => {
        this.#settle(verdict);
      },
      (error: unknown) => {
        this.#settle({ action: 'error', message: messageOf(error), blame: 'hook' });
      },
    );
  }

  readonly #onAbort = (): void => {
    this.#end({ action: 'aborted' });
  };

  #end(result: CallResult): void {
    this.#settle(result);
    this.#cut.abort();
  }

  #settle(result: CallResult): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#timer.cancel();
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    giveBack(this.#permit, result);
    this.#resolve(result);
    this.#leave?.();
  }
}

/** A hook that throws at once has failed like one that does so later. */
async function runOf(hook: Hook, input: HookInput, signal: AbortSignal): Promise<HookVerdict> {
  return await hook.run(input, signal);
}

function giveBack(permit: Permit | undefined, result: CallResult): void {
  if (result.action === 'timeout') permit?.failure();
  else if (result.action === 'aborted') permit?.cancel();
  else if (result.action !== 'error') permit?.success();
  else if (result.blame === 'hook') permit?.failure();
  else permit?.cancel();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
