import * as z from 'zod';
import type { Accuracy } from '../cache-knowledge/accuracy/judge.ts';
import type { Proof } from '../cache-knowledge/accuracy/proof.ts';
import { REMEDIES, VERDICTS } from '../cache-knowledge/accuracy/verdicts.ts';
import { CACHE_SOURCES } from '../routing/policy.ts';

const share = z.number().meta({ description: 'Of the prompt tokens' });

/** What was predicted and told over the answers that say how much was cached. */
const accuracyView = z.strictObject({
  answers: z.int(),
  prompt_tokens: z.number(),
  predicted_hit_share: share,
  actual_hit_share: share,
  mean_error_tokens: z
    .number()
    .meta({ description: 'Distance of predicted from actual, mean of all answers' }),
  error_share: share,
  bias_share: z.number().meta({ description: 'Above 0: more is predicted than there is' }),
});

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

function showAccuracy({
  answers,
  prompt,
  predicted,
  actual,
  over,
  under,
}: Accuracy): z.output<typeof accuracyView> {
  const ofPrompt = (tokens: number): number => (prompt === 0 ? 0 : rounded(tokens / prompt));
  return {
    answers,
    prompt_tokens: prompt,
    predicted_hit_share: ofPrompt(predicted),
    actual_hit_share: ofPrompt(actual),
    mean_error_tokens: answers === 0 ? 0 : rounded((over + under) / answers),
    error_share: ofPrompt(over + under),
    bias_share: ofPrompt(over - under),
  };
}

function rounded(value: number): number {
  return Math.round(10_000 * value) / 10_000;
}
