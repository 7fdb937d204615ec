import type { Check } from '../check.ts';
import { fail, ok } from '../finding.ts';
import { whatCame } from '../patient.ts';

/** Whether anything answers at the address, and is well. */
export const reachable: Check = {
  name: 'reachable',
  about: 'The health route answers.',
  needs: [],
  async run(patient, signal) {
    const { healthPath } = patient.expected;
    const answer = await patient.get(healthPath, signal);
    if (answer.kind === 'failed')
      return fail(
        `no answer from ${healthPath}: ${whatCame(answer)}`,
        'Start the server, and see that the URL, the network and, for https, the certificate are right.',
      );
    const { status, ms } = answer;
    if (status >= 200 && status < 300) return ok(`${healthPath} answered in ${String(Math.round(ms))} ms`);
    return fail(
      `${healthPath} answers ${String(status)}`,
      status === 404
        ? 'Give the base URL without /v1, or the right path with --health-check-endpoint.'
        : "Look into the server's log: its engine may have died.",
    );
  },
};
