import type { Check } from '../check.ts';
import { ok, skipped } from '../finding.ts';

/** How long a prompt and its answer may be. */
export const limits: Check = {
  name: 'limits',
  about: 'The longest context that it takes.',
  needs: ['models'],
  run({ chart }) {
    const card = chart.cards.find(({ id }) => id === chart.model);
    const longest = card?.['max_model_len'];
    if (typeof longest !== 'number' || !Number.isSafeInteger(longest) || longest <= 0)
      return Promise.resolve(skipped('/v1/models tells no max_model_len'));
    chart.maxModelLen = longest;
    return Promise.resolve(ok(`up to ${longest.toLocaleString('en')} tokens a request`));
  },
};
