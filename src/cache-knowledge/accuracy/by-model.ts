import { CACHE_SOURCES, type CacheSource } from '../../routing/policy.ts';
import type { Accuracy } from './judge.ts';

/** Models that are shown, those with the most prompt tokens. */
const MOST_MODELS = 100;

export type TokensCompared = Omit<Accuracy, 'answers'>;
export type BySource = Readonly<Partial<Record<CacheSource, TokensCompared>>>;

/** A series of `vllm_router_cache_accuracy_tokens_total`: worker, model, source and kind. */
interface AccuracySeries {
  readonly labelValues: readonly string[];
  readonly value: number;
}

const NOTHING: TokensCompared = { prompt: 0, predicted: 0, actual: 0, over: 0, under: 0 };

/** What was predicted and told of each model's prompts, of all workers that are here. */
export function accuracyByModel(series: Iterable<AccuracySeries>): ReadonlyMap<string, BySource> {
  const byModel = new Map<string, Partial<Record<CacheSource, TokensCompared>>>();
  for (const { labelValues, value } of series) {
    const [, model = '', label, kind = ''] = labelValues;
    const source = CACHE_SOURCES.find((one) => one === label);
    if (source === undefined || !Object.hasOwn(NOTHING, kind)) continue;
    const sums = byModel.get(model) ?? {};
    const before = sums[source] ?? NOTHING;
    const known: Readonly<Record<string, number>> = { ...before };
    sums[source] = { ...before, [kind]: (known[kind] ?? 0) + value };
    byModel.set(model, sums);
  }
  const promptsOf = (sums: BySource): number =>
    CACHE_SOURCES.reduce((sum, source) => sum + (sums[source]?.prompt ?? 0), 0);
  const most = [...byModel].sort(([, one], [, other]) => promptsOf(other) - promptsOf(one));
  return new Map(most.slice(0, MOST_MODELS));
}
