import type { CacheView } from '../../routing/policy.ts';
import type { WorkerModel } from '../../sim/engine/worker-model.ts';

/** What engines really hold, at once: the bound of what can be known. */
export function heldView(modelOf: (slot: number) => WorkerModel | undefined): CacheView {
  return {
    match: (ask, slot) => {
      const { hashes, count, tokensPerBlock } = ask.blocks();
      const model = modelOf(slot);
      const onGpu = model?.cache.match(hashes, count) ?? 0;
      const onCpu = model?.cpuCache?.match(hashes, count, onGpu) ?? 0;
      const tokens = (onGpu + onCpu) * tokensPerBlock;
      const tiers = { cpu: onCpu * tokensPerBlock, disk: 0 };
      return onCpu === 0 ? { tokens, source: 'events' } : { tokens, source: 'events', tiers };
    },
  };
}
