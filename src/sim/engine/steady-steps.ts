import type { ModelSettings } from './model-settings.ts';
import type { Sequence } from './sequence.ts';
import { stepMs } from './step-time.ts';

/**
 * How long, behind the step under way, every step gives each running request one more token and nothing else happens,
 * ms: no prompt is computed, nobody ends, and no block has to be found that is not free. Nobody may be waiting.
 */
export function steadyMs(running: readonly Sequence[], settings: ModelSettings, freeBlocks: number): number {
  let steps = Infinity;
  for (const { ask, generated, share } of running) {
    if (generated === 0 || share !== 1) return 0;
    // The step under way brings one more token.
    steps = Math.min(steps, ask.outputTokens - generated - 1);
  }
  const count = running.length;
  const { blockSize, stepTokens } = settings;
  if (!(steps > 0) || count === 0 || count > stepTokens) return 0;
  if (count * (Math.ceil(steps / blockSize) + 1) > freeBlocks) return 0;
  return steps * stepMs({ prefill: 0, decodes: count, loadedBlocks: 0 }, settings);
}
