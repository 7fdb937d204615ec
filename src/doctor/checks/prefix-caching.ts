import { REMEDIES } from '../../cache-knowledge/accuracy/verdicts.ts';
import type { Check } from '../check.ts';
import { fail, ok, quote, skipped, warn, type Finding } from '../finding.ts';
import { compute, probePrompt, TOO_SHORT, type Computed } from '../probe-prompt.ts';
import type { Patient } from '../patient.ts';

/** A busy cache may have thrown the probe out in between. */
const TRIES = 2;

/** Sends the same prompt twice: the second time the worker must have it. */
export const prefixCaching: Check = {
  name: 'prefix_caching',
  about: 'The same prompt twice: the second time it comes from the cache.',
  needs: ['models'],
  computes: true,
  async run(patient, signal) {
    let finding = skipped('not tried');
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      const probe = await probePrompt(patient, signal);
      if (!probe) return skipped(TOO_SHORT);
      const cold = await compute(patient, probe.prompt, signal);
      if (typeof cold === 'string') return notComputed(cold);
      const warm = await compute(patient, probe.prompt, signal);
      if (typeof warm === 'string') return notComputed(warm);
      finding = compared(patient, cold, warm);
      if (finding.mark !== 'fail') return finding;
    }
    return finding;
  },
};

function notComputed(why: string): Finding {
  if (why.startsWith('status 404')) return skipped(`the model completes no prompts: ${why}`);
  return fail(
    `a prompt of a few words was not computed: ${why}`,
    "Look into the server's log: it answers, but its engine does not.",
  );
}

function compared({ chart, spec }: Patient, cold: Computed, warm: Computed): Finding {
  const times = `${cold.ms.toFixed(0)} ms, then ${warm.ms.toFixed(0)} ms`;
  const { cachedTokens: held } = warm;
  if (held === undefined)
    return warn(
      `the answer does not say how much came from the cache (${times})`,
      REMEDIES.cached_tokens_not_reported,
    );
  const whole = `${String(held)} of ${String(warm.promptTokens)} tokens came from the cache`;
  if (held === 0) return fail(`the same prompt twice, and ${whole} (${times})`, REMEDIES.prefix_caching_off);
  if (cold.cachedTokens !== undefined && cold.cachedTokens >= held)
    return warn(
      `${String(cold.cachedTokens)} tokens of a prompt that is new came from the cache`,
      `See what stands in front of ${quote(spec.baseUrl)}: something answers in the place of the engine.`,
    );
  const blockSize = chart.cache?.blockSize;
  const expected =
    blockSize === undefined ? held : blockSize * Math.floor((warm.promptTokens - 1) / blockSize);
  if (held === expected) return ok(`the second time ${whole} (${times})`);
  return warn(
    `the second time ${whole}, and full blocks of ${String(blockSize)} would be ${String(expected)} (${times})`,
    'Its cache is hit in other steps than its block size, or is so full that the probe was thrown out: see its load.',
  );
}
