import type { Check } from '../check.ts';
import { skipped } from '../finding.ts';
import { handOver } from '../hand-over.ts';
import { coupleOf } from '../partner.ts';

/** A prompt of several blocks through two workers, proven by what the second one counts. */
export const handover: Check = {
  name: 'handover',
  about: 'Blocks that a prefill worker has computed come to a decode worker, by the metrics of the latter.',
  needs: ['models'],
  async run(patient, signal) {
    const couple = await coupleOf(patient);
    if (typeof couple === 'string') return skipped(couple);
    // The blocks' arrival is told to the router alone.
    if (couple.connector.name === 'lmcache')
      return skipped('what LMCache hands over is announced to the router alone');
    using other = patient.beside(couple.other);
    const isPrefill = patient.spec.traits.role === 'prefill';
    const both = isPrefill ? { prefill: patient, decode: other } : { prefill: other, decode: patient };
    return await handOver(couple, both, patient, signal);
  },
};
