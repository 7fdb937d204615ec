import type { Check } from '../check.ts';
import { fail, ok, skipped, warn } from '../finding.ts';
import { jsonOf } from '../patient.ts';
import { computeAt, idsOf, randomWords } from '../probe-prompt.ts';

const WORDS = 8;

/** Whether `/tokenize` says how many tokens the engine then computes, of a chat: the template is a part of it. */
export const tokens: Check = {
  name: 'tokens',
  about: '/tokenize says which tokens a chat has, and the engine computes as many.',
  needs: ['models'],
  computes: true,
  async run(patient, signal) {
    const { random, chart } = patient;
    const messages = [
      { role: 'system', content: randomWords(random, WORDS) },
      { role: 'user', content: randomWords(random, WORDS) },
    ];
    const body = jsonOf(await patient.post('/tokenize', { model: chart.model, messages }, signal));
    if (typeof body === 'string')
      return warn(
        `/tokenize does not answer: ${body}`,
        'What is known of caches in tokens (events, LMCache) is of no use then without a tokenizer of the router’s own: open the route, or give --tokenizer-path.',
      );
    const ids = idsOf(body['tokens']);
    if (!ids)
      return fail('/tokenize answers without token ids', 'See whether the URL is that of a vLLM server.');
    const computed = await computeAt(patient, '/v1/chat/completions', { messages }, signal);
    if (typeof computed === 'string') return skipped(`the model answers no chat: ${computed}`);
    if (computed.promptTokens === ids.length)
      return ok(`/tokenize and the engine agree on a chat of ${String(ids.length)} tokens`);
    return fail(
      `a chat has ${String(ids.length)} tokens by /tokenize, and ${String(computed.promptTokens)} were computed`,
      'See what stands in front of the worker: something changes requests on their way, or answers in its place.',
    );
  },
};
