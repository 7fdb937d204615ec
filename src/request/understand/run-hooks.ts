import { RouterError } from '../../base/errors.ts';
import { scanMembers } from '../../api/json-scan.ts';
import { headerOf } from '../../http/headers.ts';
import type { ChainOutcome, HookSubject } from '../../hooks/chain.ts';
import type { HookInput } from '../../hooks/hook.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { roundMs } from '../record/decision.ts';
import { hooksApply } from './hooks-apply.ts';
import { understand, type Call } from './read-call.ts';
import { replaceBody } from './replace-body.ts';
import { resolveReplaced } from './resolve-model.ts';
import type { Runtime } from '../runtime.ts';
import { whileWanted } from './while-wanted.ts';

/** Asks the configured hooks about the request; it goes on as they leave it. Throws what the client is to hear. */
export function runHooks(
  rt: Runtime,
  arrival: Arrival,
  caller: Caller,
  call: Call,
  deadline: Deadline,
): Call | Promise<Call> {
  if (!hooksApply(rt, arrival)) return call;
  if (arrival.tunnel) return passTunnel(rt, call);
  const { body } = call;
  if (body === undefined || (Buffer.isBuffer(body) && body.length === 0)) return call;
  if (!Buffer.isBuffer(body)) throw new Error('a body was not held for the hooks');
  const request = new CheckedRequest(rt, arrival, caller, { ...call, body });
  return checked(rt, request, { arrival, caller }, deadline);
}

function passTunnel(rt: Runtime, call: Call): Call {
  const refusing = rt.settings.hooks.find(({ tunnels }) => tunnels === 'refuse');
  if (!refusing) return call;
  throw new RouterError('hook_cannot_inspect', `the hook ${refusing.name} cannot look into a tunnel`);
}

async function checked(
  rt: Runtime,
  request: CheckedRequest,
  { arrival, caller }: { readonly arrival: Arrival; readonly caller: Caller },
  deadline: Deadline,
): Promise<Call> {
  const from = rt.clock.now();
  try {
    const outcome = await whileWanted(arrival, deadline, (signal) => rt.hooks.run(request, signal));
    settle(arrival, deadline, outcome);
    return request.replaced ? resolveReplaced(rt, arrival, caller, request.call) : request.call;
  } finally {
    const spent = rt.clock.now() - from;
    arrival.times.hooksMs = spent;
    arrival.decision.hooks_ms = roundMs(spent);
  }
}

function settle(arrival: Arrival, deadline: Deadline, outcome: ChainOutcome): void {
  switch (outcome.kind) {
    case 'passed':
      return;
    case 'aborted':
      if (arrival.client.gone)
        throw new RouterError('client_closed', 'the client left while its request was being checked');
      throw deadline.error();
    case 'rejected':
      throw new RouterError(
        outcome.how === 'block403' ? 'hook_rejected' : 'hook_rejected_400',
        shownReason(outcome.reason) ?? `the request was rejected by the hook ${outcome.hook}`,
      );
    case 'failed':
      if (outcome.why === 'out_of_sockets')
        throw new RouterError(
          'out_of_sockets',
          `the router may open no further connection to ask the hook ${outcome.hook}`,
        );
      if (outcome.why === 'timeout')
        throw new RouterError('hook_timeout', `the hook ${outcome.hook} did not answer in time`);
      throw new RouterError(
        'hook_failed',
        `the hook ${outcome.hook} failed, and without its verdict the request goes no further`,
      );
  }
}

const LONGEST_REASON = 1024;

/** A hook's own words, fit for a line of a client's log; undefined where nothing is left of them. */
function shownReason(reason: string | undefined): string | undefined {
  const line = reason
    ?.slice(0, LONGEST_REASON)
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  return line === '' ? undefined : line;
}

type HeldCall = Call & { readonly body: Buffer };

/** One request on its way through the chain. */
class CheckedRequest implements HookSubject {
  call: HeldCall;
  replaced = false;
  readonly #rt: Runtime;
  readonly #arrival: Arrival;
  readonly #caller: Caller;
  /** Whether the body is a JSON object, and so can be replaced by another. */
  readonly #json: boolean;

  constructor(rt: Runtime, arrival: Arrival, caller: Caller, call: HeldCall) {
    this.#rt = rt;
    this.#arrival = arrival;
    this.#caller = caller;
    this.call = call;
    this.#json = arrival.endpoint.body === 'json' || scanMembers(call.body) !== undefined;
  }

  input(): HookInput {
    const { requestId, endpoint, req } = this.#arrival;
    const { body, model, stream } = this.call;
    return {
      ...{ route: endpoint.route, requestId, model, stream, body },
      tenant: this.#caller.tenant?.name,
      headers: req.rawHeaders,
      contentType: this.#json
        ? 'application/json'
        : (headerOf(req.rawHeaders, 'content-type') ?? 'application/octet-stream'),
    };
  }

  ran(token: string): void {
    (this.#arrival.decision.hooks_ran ??= []).push(token);
  }

  replace(body: Buffer, hook: string): string | undefined {
    const { maxPayloadSize } = this.#rt.settings.listen;
    // What the hook wanted changed would reach the worker as it was.
    if (!this.#json) return 'it replaced the body of a request that is not JSON';
    if (body.length > maxPayloadSize)
      return `its body is larger than ${maxPayloadSize} bytes (max_payload_size)`;
    if (body[0] !== OPEN_BRACE) throw badTransform(hook, 'it is not a JSON object');
    this.call = this.#understandAnew(body, hook);
    this.replaced = true;
    return undefined;
  }

  /** Model, stream and prompt are those of the new body; what the client itself asked for stays on record. */
  #understandAnew(body: Buffer, hook: string): HeldCall {
    const { decision } = this.#arrival;
    const requested = decision.requested_model;
    delete decision.model;
    const held = replaceBody(this.#rt, this.#arrival, this.call, body);
    this.call.ask.letGo();
    try {
      const call = understand(this.#rt, this.#arrival, body, held.releaseBody);
      if (requested === undefined) delete decision.requested_model;
      return { ...call, body };
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      throw badTransform(hook, error.message);
    }
  }
}

const OPEN_BRACE = 0x7b;

function badTransform(hook: string, why: string): RouterError {
  return new RouterError(
    'hook_bad_transform',
    `the hook ${hook} put a body in place that cannot be used: ${why}`,
  );
}
