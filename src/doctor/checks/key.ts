import { modelCards } from '../../engines/http/probe.ts';
import type { Check } from '../check.ts';
import { fail, ok, warn } from '../finding.ts';
import { jsonOf } from '../patient.ts';

/** Whether the worker takes the key that it is given; what it lists is kept for the checks behind. */
export const key: Check = {
  name: 'key',
  about: 'The configured key is accepted.',
  needs: ['reachable'],
  async run(patient, signal) {
    const { apiKey } = patient.spec;
    const answer = await patient.get('/v1/models', signal);
    if (answer.kind === 'response' && (answer.status === 401 || answer.status === 403))
      return apiKey === undefined
        ? fail(
            `it wants a key (status ${String(answer.status)}), and none is configured for it`,
            'Give its key: --api-key for all workers, worker_api_keys for single ones.',
          )
        : fail(
            `the configured key is refused with status ${String(answer.status)}`,
            "Compare worker_api_keys and --api-key with the server's --api-key.",
          );
    const body = jsonOf(answer);
    if (typeof body === 'string')
      return fail(
        `/v1/models does not answer: ${body}`,
        'Without it nobody knows which models the worker serves: see whether the URL is that of a vLLM server.',
      );
    patient.chart.cards = modelCards(body) ?? [];
    if (apiKey === undefined) return ok('it asks for no key, and gets none');
    const bare = await patient.get('/v1/models', signal, ['user-agent', 'vllm-router']);
    return bare.kind === 'response' && bare.status === 200
      ? warn(
          'the configured key is accepted, but so is none at all',
          'Start vLLM with --api-key, or see that nobody but the router reaches it.',
        )
      : ok('the configured key is accepted, and needed');
  },
};
