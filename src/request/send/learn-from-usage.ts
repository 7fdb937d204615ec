import { wholeBlocks } from '../../routing/blocks.ts';
import { blockSizeOf } from '../../workers/cache-config.ts';
import { usedAt } from '../../cache-knowledge/table-memory.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Leg } from '../choose/leg.ts';
import type { Plan } from '../choose/plan.ts';
import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';

/** What a worker said of a prompt that it answered. */
export interface ToldUsage {
  readonly promptTokens: number;
  readonly cachedTokens: number | undefined;
  /** Undefined where the answer did not come to its end. */
  readonly answerTokens: number | undefined;
}

/** Contradictions of fewer blocks come from estimated tokens. */
const LEAST_BLOCKS = 2;
/** Where more of a prompt is left, it may be its estimate that was too high. */
const MOST_LEFT = 0.5;

/** What an answer teaches of the tokens that the model's text comes to, and of what the worker keeps. */
export function learnFromUsage(rt: Runtime, call: Call, plan: Plan, told: ToldUsage): void {
  const { worker } = computingLeg(plan);
  const { ask, model, samples, prompts } = call;
  const { promptTokens, cachedTokens, answerTokens } = told;
  doubtTokens(rt, call, worker, promptTokens);
  if (plan.split && answerTokens !== undefined) rt.policies.pairs.answered(answerTokens / samples);
  if (ask.readText) rt.tokenRatio.learn(model, ask.readText, promptTokens);
  if (ask.promptKey) {
    // The last token of an answer is never computed further; of several answers none is the one that comes back.
    const reusable = samples * prompts > 1 ? 0 : Math.max(0, (answerTokens ?? 0) - 1);
    rt.answered.note(ask.promptKey, { promptTokens, answerTokens: reusable, slot: plan.leg.worker.slot });
  }
  if (prompts > 1) return;
  compare(rt, plan, told);
  if (cachedTokens === undefined || samples > 1) return;
  learnReturn(rt, call, worker, { promptTokens, cachedTokens });
  if (plan.cacheSource === 'predicted') learnOfCache(rt, plan, cachedTokens);
}

/** Of the worker that computes the prompt. */
function computingLeg({ leg, prefill }: Plan): Leg {
  return prefill?.leg ?? leg;
}

/** What was predicted against what is told, for who judges whether what is known of caches is true. */
function compare({ tallies, metrics }: Runtime, plan: Plan, { promptTokens, cachedTokens }: ToldUsage): void {
  const { worker } = computingLeg(plan);
  if (cachedTokens === undefined) {
    tallies.unreported(worker.slot);
    metrics.cachedTokensUnreportedTotal.with(worker.id).inc();
  } else if (plan.predictedCachedTokens !== undefined)
    tallies.compare(worker.slot, {
      source: plan.cacheSource,
      ...{ prompt: promptTokens, predicted: plan.predictedCachedTokens, actual: cachedTokens },
    });
}

/**
 * Its blocks are there now in any case, since the worker has computed them. But where they were not found it had forgotten them, and with
 * them whatever was not used since; where more was found than was thought it keeps more.
 */
function learnOfCache({ cacheIndex, tallies }: Runtime, plan: Plan, cachedTokens: number): void {
  const { predictedCachedTokens: predicted, predictedTtftMs = 0, now } = plan;
  const { worker, lastUse, blocks } = computingLeg(plan);
  if (predicted === undefined || !cacheIndex) return;
  const { slot, generation, cacheConfig } = worker;
  const least = LEAST_BLOCKS * blockSizeOf(cacheConfig);
  if (cachedTokens >= predicted + least) {
    cacheIndex.learn({ kind: 'kept' }, slot, generation);
  } else if (cachedTokens <= MOST_LEFT * predicted - least && lastUse !== undefined) {
    // Whoever had brought them may have been in the queue still, and nothing computed yet.
    if (lastUse >= usedAt(now - predictedTtftMs)) return;
    tallies.forgotten(slot);
    cacheIndex.learn({ kind: 'forgot', usedAt: lastUse, blocks }, slot, generation);
  }
}

/** What was found to be the tokens of the prompt must be as many as the worker has counted. */
function doubtTokens(rt: Runtime, { ask, model, prompts }: Call, worker: Worker, promptTokens: number): void {
  const { tokensSource: source } = ask;
  if (source === 'estimate' || source === 'request' || prompts !== 1 || ask.promptTokens() === promptTokens)
    return;
  rt.metrics.promptTokensContradictedTotal.with(source).inc();
  rt.tokens.doubt({ model, worker: worker.id });
}

/** Whether the answer before was found in the cache, where that shows in whole blocks. */
function learnReturn(
  { answered }: Runtime,
  { ask, model }: Call,
  worker: Worker,
  { promptTokens, cachedTokens }: { readonly promptTokens: number; readonly cachedTokens: number },
): void {
  const { beginning } = ask;
  if (beginning?.answer?.slot !== worker.slot) return;
  const { tokens, answer } = beginning;
  const withAnswer = tokens + answer.tokens;
  if (withAnswer > promptTokens) return;
  const blockSize = blockSizeOf(worker.cacheConfig);
  const before = wholeBlocks(tokens, promptTokens, blockSize);
  const after = wholeBlocks(withAnswer, promptTokens, blockSize);
  if (after > before && cachedTokens >= before) answered.learnReturn(model, cachedTokens >= after);
}
