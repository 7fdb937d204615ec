import { tokenMembers } from '../../tokenize/token-members.ts';
import { readTokenPrompt, type TokenPrompt, type Unasked } from '../../tokenize/token-prompt.ts';
import type { TokensFound } from '../../tokenize/tokens.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import type { Endpoint } from '../arrive/endpoints.ts';
import { roundMs } from '../record/decision.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { goesOut } from './external.ts';
import { needsOfDeciders } from './deciders.ts';
import { orAborted } from '../understand/while-wanted.ts';
import { lookUp } from './look-up.ts';
import { asChat, isChatHere } from './message-tokens.ts';

/** Why the tokens of a prompt are estimated. */
type Estimated = Unasked | Exclude<TokensFound['kind'], 'found'>;

/**
 * Finds out which token ids the worker will compute, where somebody goes by them; where they cannot be known in time their
 * number is estimated, and the request goes on all the same.
 */
export function knowTokens(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  deadline: Deadline,
): Promise<void> | undefined {
  const prompt = promptOf(rt, arrival.endpoint, call);
  if (!prompt) return undefined;
  if (prompt.kind === 'ids') {
    call.ask.setTokenIds(prompt.ids, 'request');
    note(rt, arrival, call);
    return undefined;
  }
  if (prompt.kind === 'unasked') {
    note(rt, arrival, call, prompt.why);
    return undefined;
  }
  return waitForTokens(rt, arrival, call, { deadline, renderOnly: prompt.renderOnly });
}

/** The same for a request that is only talked about. */
export async function withTokens(rt: Runtime, endpoint: Endpoint, call: Call): Promise<void> {
  const prompt = promptOf(rt, endpoint, call);
  if (prompt?.kind === 'ids') call.ask.setTokenIds(prompt.ids, 'request');
  if (prompt?.kind !== 'text') return;
  const found = await question(rt, endpoint, call, prompt.renderOnly);
  if (found.kind === 'found') call.ask.setTokenIds(found.ids, found.source);
}

/** Whether anybody wants to know the tokens of such a prompt. */
function isWanted(rt: Runtime, call: Call): boolean {
  const { settings, lmcache } = rt;
  const { exact } = settings.tokens;
  if (exact !== 'auto') return exact === 'always';
  const needs = needsOfDeciders(rt, call);
  return needs.tokens === true || lmcache.concerns(needs);
}

/** Undefined where nobody wants to know its tokens. */
function promptOf(rt: Runtime, { tokenRoute }: Endpoint, call: Call): TokenPrompt | undefined {
  // Nobody who goes by them is asked.
  if (tokenRoute === undefined || goesOut(call) || !isWanted(rt, call)) return undefined;
  const { values, isWhole } = call.ask.said();
  if (!isWhole || !Buffer.isBuffer(call.body)) return { kind: 'unasked', why: 'too_long' };
  return readTokenPrompt(tokenRoute, values, rt.settings.tokens);
}

async function waitForTokens(
  rt: Runtime,
  arrival: Arrival,
  call: Call,
  { deadline, renderOnly }: { readonly deadline: Deadline; readonly renderOnly: boolean },
): Promise<void> {
  const noteSpent = (spentMs: number): void => {
    arrival.times.tokensMs = spentMs;
    arrival.decision.tokenize_ms = roundMs(spentMs);
  };
  const found = await lookUp(rt, { arrival, deadline }, noteSpent, (signal) =>
    orAborted(signal, question(rt, arrival.endpoint, call, renderOnly), LATE),
  );
  if (found.kind === 'found') call.ask.setTokenIds(found.ids, found.source);
  note(rt, arrival, call, found.kind === 'found' ? undefined : found.kind);
}

/** Never rejects. */
async function question(
  rt: Runtime,
  endpoint: Endpoint,
  call: Call,
  renderOnly: boolean,
): Promise<TokensFound> {
  const { body, model } = call;
  const { tokenRoute: route } = endpoint;
  if (route === undefined || !Buffer.isBuffer(body)) return { kind: 'failed' };
  const worded = isChatHere(rt, endpoint, call) ? await asChat(rt, body) : { route, body, renderOnly };
  const members = worded && tokenMembers(worded.body);
  if (!worded || members === undefined) return { kind: 'failed' };
  return rt.tokens.tokensFor({ model, route: worded.route, members, renderOnly: worded.renderOnly });
}

function note({ metrics }: Runtime, { decision }: Arrival, { ask }: Call, why?: Estimated): void {
  const source = ask.tokensSource;
  decision.tokens_source = source;
  metrics.promptTokensSourceTotal.with(source).inc();
  if (why !== undefined) metrics.promptTokensEstimatedTotal.with(why).inc();
}

const LATE = { kind: 'late' } as const;
