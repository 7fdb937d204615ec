import type { Check } from '../check.ts';
import { ok, quote, warn } from '../finding.ts';
import { jsonOf } from '../patient.ts';

/** Which vLLM it is. */
export const version: Check = {
  name: 'version',
  about: 'The server tells its version.',
  needs: ['reachable'],
  async run(patient, signal) {
    const body = jsonOf(await patient.get('/version', signal));
    const told = typeof body === 'string' ? undefined : body['version'];
    if (typeof told === 'string') return ok(`vLLM ${quote(told)}`);
    return warn(
      `/version tells none${typeof body === 'string' ? `: ${body}` : ''}`,
      'See whether the URL is that of a vLLM server, and not of a proxy that knows some of its routes only.',
    );
  },
};
