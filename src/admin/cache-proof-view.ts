import * as z from 'zod';
import type { BySource, TokensCompared } from '../cache-knowledge/accuracy/by-model.ts';
import type { Accuracy } from '../cache-knowledge/accuracy/judge.ts';
import type { Proof } from '../cache-knowledge/accuracy/proof.ts';
import { REMEDIES, VERDICTS } from '../cache-knowledge/accuracy/verdicts.ts';
import { CACHE_SOURCES } from '../routing/policy.ts';

const share = z.number().meta({ description: 'Of the prompt tokens' });

const sharesView = z.strictObject({
  prompt_tokens: z.number(),
  predicted_hit_share: share,
  actual_hit_share: share,
  error_share: share,
  bias_share: z.number().meta({ description: 'Above 0: more is predicted than there is' }),
});

/** What was predicted and told over the answers that say how much was cached. */
const accuracyView = sharesView.extend({
  answers: z.int(),
  mean_error_tokens: z
    .number()
    .meta({ description: 'Distance of predicted from actual, mean of all answers' }),
});

/** The same of one model, of all workers that are here. */
export const modelProofView = z.partialRecord(z.enum(CACHE_SOURCES), sharesView);

/** Whether what is known of a worker's cache is true. */
export const cacheProofView = z.strictObject({
  verdict: z.enum(VERDICTS),
  finding: z.string(),
  remedy: z.string().nullable(),
  by_source: z
    .partialRecord(z.enum(CACHE_SOURCES), accuracyView)
    .meta({ description: 'Since it joined, by how its cache was known' }),
  answers_without_cached_tokens: z.int(),
});

export function showProof({ verdict, bySource, unreported }: Proof): z.output<typeof cacheProofView> {
  return {
    verdict: verdict.name,
    finding: verdict.finding,
    remedy: REMEDIES[verdict.name] ?? null,
    by_source: Object.fromEntries(
      Object.entries(bySource).map(([source, accuracy]) => [source, showAccuracy(accuracy)]),
    ),
    answers_without_cached_tokens: unreported,
  };
}

export function showModelProof(bySource: BySource): z.output<typeof modelProofView> {
  return Object.fromEntries(
    Object.entries(bySource).map(([source, compared]) => [source, showShares(compared)]),
  );
}

function showAccuracy(accuracy: Accuracy): z.output<typeof accuracyView> {
  const { answers, over, under } = accuracy;
  return {
    answers,
    ...showShares(accuracy),
    mean_error_tokens: answers === 0 ? 0 : rounded((over + under) / answers),
  };
}

function showShares({ prompt, predicted, actual, over, under }: TokensCompared): z.output<typeof sharesView> {
  const ofPrompt = (tokens: number): number => (prompt === 0 ? 0 : rounded(tokens / prompt));
  return {
    prompt_tokens: prompt,
    predicted_hit_share: ofPrompt(predicted),
    actual_hit_share: ofPrompt(actual),
    error_share: ofPrompt(over + under),
    bias_share: ofPrompt(over - under),
  };
}

function rounded(value: number): number {
  return Math.round(10_000 * value) / 10_000;
}
