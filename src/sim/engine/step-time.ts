import type { ModelSettings } from './model-settings.ts';

/** What a step does: prompt tokens computed, requests that decode, and blocks that come back from the CPU. */
export interface StepWork {
  readonly prefill: number;
  readonly decodes: number;
  readonly loadedBlocks: number;
}

/** How long a step takes, ms. */
export function stepMs({ prefill, decodes, loadedBlocks }: StepWork, settings: ModelSettings): number {
  const { prefillTokensPerSecond, decodeBaseMs, decodePerRequestMs, timeScale } = settings;
  const { blockSize, cpuLoadTokensPerSecond } = settings;
  const prefillMs = (prefill / prefillTokensPerSecond) * 1000;
  const decodeMs = decodes === 0 ? 0 : decodeBaseMs + decodePerRequestMs * decodes;
  const loadMs = loadedBlocks === 0 ? 0 : ((loadedBlocks * blockSize) / cpuLoadTokensPerSecond) * 1000;
  return (prefillMs + decodeMs + loadMs) * timeScale;
}
