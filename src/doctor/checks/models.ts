import type { Check } from '../check.ts';
import { fail, ok, quoteAll } from '../finding.ts';

/** What it serves, and whether that is what the configuration says. */
export const models: Check = {
  name: 'models',
  about: 'It serves a model, and the one that is configured for it.',
  needs: ['key'],
  run({ chart, spec }) {
    const ids = chart.cards.map((card) => String(card['id']));
    const { modelId } = spec.traits;
    if (ids.length === 0)
      return Promise.resolve(fail('it lists no model', 'Look into the server’s log: no model is loaded.'));
    if (modelId !== undefined && !ids.includes(modelId))
      return Promise.resolve(
        fail(
          `it lists ${quoteAll(ids)}, not the configured ${modelId}`,
          'Set model_id of the worker to a name that it lists, or start vLLM with --served-model-name.',
        ),
      );
    // Adapters name what they stand on.
    const base = chart.cards.find((card) => typeof card['parent'] !== 'string');
    chart.model = modelId ?? (base ? String(base['id']) : ids[0]);
    const adapters = chart.cards.filter((card) => typeof card['parent'] === 'string').length;
    const more = adapters === 0 ? '' : `, ${String(adapters)} of them adapters`;
    return Promise.resolve(ok(`serves ${quoteAll(ids)}${more}`));
  },
};
