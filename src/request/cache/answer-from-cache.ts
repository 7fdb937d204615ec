import { injectIncludeUsage } from '../../api/json-edit.ts';
import type { Landing, Lead } from '../../response-cache/flights.ts';
import { decodeAnswer, encodeAnswer, type StoredAnswer } from '../../response-cache/stored-answer.ts';
import type { Arrival } from '../arrive/arrival.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { lookUp } from '../choose/look-up.ts';
import { roundMs, type CacheStatus } from '../record/decision.ts';
import type { AnswerCache, Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { orAborted } from '../understand/while-wanted.ts';
import { replaceBody } from '../understand/replace-body.ts';
import { answerByMeaning, type ByMeaning } from './answer-by-meaning.ts';
import { AnswerCopy } from './answer-copy.ts';
import { cacheTerms, type CacheTerms } from './cache-terms.ts';
import { replayOf, sendReplay } from './replay-answer.ts';
import { SHAPES } from './shapes.ts';

/** Nobody waits any more. */
const ALONE: Landing = { kind: 'alone' };

type Open = Extract<CacheTerms, { readonly kind: 'open' }>;

/** Where an answer is from. */
type CacheHit = Extract<CacheStatus, 'exact-hit' | 'semantic-hit'>;

/** What every part of the step works with. */
interface Step {
  readonly rt: Runtime;
  /** Undefined where answers are kept by their meaning alone. */
  readonly cache: AnswerCache | undefined;
  readonly arrival: Arrival;
  readonly call: Call;
  readonly deadline: Deadline;
  readonly terms: Open;
}

/**
 * Answers with what is stored for the same question; else the answer of the worker is kept for those who ask it next. Takes no
 * place and no worker. Returns the call that goes on, or undefined when the client has its answer.
 */
export function answerFromCache(
  rt: Runtime,
  arrival: Arrival,
  caller: Caller,
  call: Call,
  deadline: Deadline,
): Promise<Call | undefined> | Call {
  const { answerCache: cache } = rt;
  const { decision, endpoint } = arrival;
  const isExact = cache !== undefined && rt.settings.answerCache !== undefined;
  if (endpoint.cached === undefined || !(isExact || mayMean(rt, endpoint))) return call;
  const terms = cacheTerms(rt, arrival, caller, call);
  if (terms.kind === 'bypass') {
    decision.cache_status = 'bypass';
    decision.cache_bypass = terms.why;
    return call;
  }
  return lookedUp({ rt, cache: isExact ? cache : undefined, arrival, call, deadline, terms });
}

/** Whether answers on the route are kept by their meaning. */
function mayMean({ settings, answersByMeaning }: Runtime, { tokens }: Arrival['endpoint']): boolean {
  return (
    settings.semantic.cache !== undefined && answersByMeaning !== undefined && tokens === 'prompt_and_answer'
  );
}

async function lookedUp(step: Step): Promise<Call | undefined> {
  const { rt, arrival, call, terms } = step;
  const stored = terms.reads ? await find(step) : undefined;
  if (stored && (await answered(step, stored))) return undefined;
  const byMeaning = terms.reads
    ? await answerByMeaning({ ...step, ...terms, note: noteSpent(arrival) })
    : undefined;
  if (byMeaning?.found && (await answeredByMeaning(step, byMeaning.found))) return undefined;
  let lead: Lead | undefined;
  if (step.cache && terms.reads && !call.stream && rt.settings.answerCache?.coalesce === true) {
    const landing = await board(step, step.cache);
    if (landing.kind === 'answer' && (await answered(step, landing.answer, { isShared: true })))
      return undefined;
    if (landing.kind === 'lead') lead = landing.lead;
  }
  arrival.decision.cache_status = 'miss';
  keepWhatComes(step, lead, byMeaning?.keep);
  return call.stream ? withUsage(rt, arrival, call) : call;
}

function find({ rt, cache, arrival, deadline, terms }: Step): Promise<StoredAnswer | undefined> | undefined {
  if (!cache) return undefined;
  return lookUp(rt, { arrival, deadline }, noteSpent(arrival), async (signal) => {
    const looked = cache.store.get(terms.key);
    const bytes = looked instanceof Promise ? await orAborted(signal, looked, undefined) : looked;
    const answer = bytes && decodeAnswer(bytes);
    if (bytes && !answer) rt.metrics.cacheRejectedTotal.with('unreadable').inc();
    if (!answer || rt.clock.wall() - answer.createdAt > terms.maxAgeMs) return undefined;
    return answer;
  });
}

/** Sends a stored answer, where it can be told as the request wants it. */
async function answered(
  step: Step,
  answer: StoredAnswer,
  {
    status = 'exact-hit',
    isShared = false,
  }: { readonly status?: CacheHit; readonly isShared?: boolean } = {},
): Promise<boolean> {
  const { rt, arrival, call } = step;
  const replay = replayOf(rt, arrival, call, answer, SHAPES[arrival.endpoint.cached ?? 'whole']);
  if (!replay) return false;
  const { decision } = arrival;
  decision.cache_status = status;
  decision.method = status === 'exact-hit' ? 'cache-hit' : 'semantic-hit';
  if (isShared) decision.cache_shared = true;
  if (answer.external !== undefined) decision.external = { backend: answer.external };
  decision.cache_age_ms = Math.max(0, Math.round(rt.clock.wall() - answer.createdAt));
  if (answer.promptTokens !== undefined) decision.prompt_tokens = answer.promptTokens;
  if (answer.completionTokens !== undefined) decision.completion_tokens = answer.completionTokens;
  await sendReplay(rt, arrival, answer, replay);
  return true;
}

/** The same for one that was given to another question. */
async function answeredByMeaning(
  step: Step,
  { answer, similarity }: NonNullable<ByMeaning['found']>,
): Promise<boolean> {
  const { decision } = step.arrival;
  decision.cache_similarity = similarity;
  if (await answered(step, answer, { status: 'semantic-hit' })) return true;
  delete decision.cache_similarity;
  return false;
}

/** Waits for the one who asks a worker the same just now, if there is one; its own deadline stands. */
async function board({ rt, arrival, deadline, terms }: Step, cache: AnswerCache): Promise<Landing> {
  const boarding = cache.flights.join(terms.key);
  if (boarding.kind !== 'wait') return boarding;
  try {
    return await lookUp(rt, { arrival, deadline }, noteSpent(arrival), (signal) =>
      orAborted(signal, boarding.landing, ALONE),
    );
  } catch (error) {
    boarding.leave();
    // It may have become the one to ask in this very moment.
    void boarding.landing.then((landing) => {
      if (landing.kind === 'lead') landing.lead.left();
    });
    throw error;
  }
}

function keepWhatComes(
  { rt, cache, arrival, terms }: Step,
  lead: Lead | undefined,
  keepByMeaning: ByMeaning['keep'],
): void {
  const settings = cache && rt.settings.answerCache;
  const most = keepByMeaning ? (rt.settings.semantic.cache?.maxEntryBytes ?? 0) : 0;
  const copies = cache?.copies ?? rt.answersByMeaning?.copies;
  if (!copies || (!settings && most === 0)) return;
  const copy = new AnswerCopy({
    clock: rt.clock,
    maxBytes: Math.max(settings?.maxEntryBytes ?? 0, most),
    budget: copies,
    shape: SHAPES[arrival.endpoint.cached ?? 'whole'],
    onWhole: (whole) => {
      const backend = arrival.decision.external?.backend;
      const answer = { ...whole, ...(backend !== undefined && { external: backend }) };
      rt.metrics.cacheStoresTotal.with('stored').inc();
      const value = encodeAnswer(answer);
      if (settings && value.length <= settings.maxEntryBytes)
        cache.store.set(terms.key, value, settings.ttlMs);
      if (answer.body.length <= most) keepByMeaning?.(value);
      lead?.landed(answer);
    },
    onNotKept: (why) => {
      rt.metrics.cacheStoresTotal.with(why).inc();
    },
  });
  arrival.copy = copy;
  arrival.releases.push(() => {
    copy.end();
    if (arrival.client.gone) lead?.left();
    else lead?.failed();
  });
}

/** A stream is kept with its usage, which those who want it in one piece expect; a client that did not ask for it does not see it. */
function withUsage(rt: Runtime, arrival: Arrival, call: Call): Call {
  if (call.swallowUsage === true || rt.settings.clients.usageInjection === 'off') return call;
  const bytes = Buffer.isBuffer(call.body) ? injectIncludeUsage(call.body) : undefined;
  if (bytes === undefined) return call;
  return { ...call, ...replaceBody(rt, arrival, call, bytes), swallowUsage: true };
}

function noteSpent(arrival: Arrival): (spentMs: number) => void {
  return (spentMs) => {
    arrival.times.cacheMs += spentMs;
    arrival.decision.cache_ms = roundMs(arrival.times.cacheMs);
  };
}
