import type { Holdings, HeldTokens } from '../../routing/policy.ts';
import type { SlotId } from '../../workers/ledger.ts';
import type { Holding, Reading } from './controller.ts';
import type { InstanceMap } from './instance-map.ts';

interface Held extends HeldTokens, SlotId {}

/** Where one prompt is stored, as the controller said when it was asked. A worker that has left meanwhile holds nothing, nor does the next one in its slot. */
export class PromptHoldings implements Holdings {
  readonly #entries: readonly Held[];
  readonly #isPresent: (at: SlotId) => boolean;

  /** @param promptTokens vLLM computes the last token of a prompt even where all of it is stored. */
  constructor(
    { entries }: Reading<Holding>,
    map: InstanceMap,
    {
      promptTokens,
      isPresent,
    }: { readonly promptTokens: number; readonly isPresent: (at: SlotId) => boolean },
  ) {
    const most = Math.max(0, promptTokens - 1);
    const bySlot = new Map<number, Held>();
    for (const { instance, tokens, tier } of entries) {
      for (const { slot, generation } of map.workersOf(instance)) {
        const held = { slot, generation, tier, tokens: Math.min(tokens, most) };
        if (held.tokens > (bySlot.get(slot)?.tokens ?? 0)) bySlot.set(slot, held);
      }
    }
    this.#entries = [...bySlot.values()];
    this.#isPresent = isPresent;
  }

  get held(): readonly HeldTokens[] {
    return this.#entries.filter((entry) => this.#isPresent(entry));
  }
}
