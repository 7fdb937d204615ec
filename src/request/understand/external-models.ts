import type { JsonObject } from '../../api/prompt-sink.ts';
import type { Worker } from '../../workers/worker.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Runtime } from '../runtime.ts';
import { matchesRule } from './external-wish.ts';

/** Cards of the models that the caller can have from providers: by a rule, or since there is nobody else. */
export function externalCards(rt: Runtime, caller: Caller): readonly JsonObject[] {
  const { registry, settings } = rt;
  if (registry.externals.length === 0 || caller.tenant?.allowExternal === false) return [];
  const cards = new Map<string, JsonObject>();
  for (const worker of registry.externals)
    for (const model of worker.models)
      if (!cards.has(model) && caller.mayUse(model) && (settings.externalOnly || isLedTo(rt, worker, model)))
        cards.set(model, card(model, worker));
  return [...cards.values()];
}

function isLedTo({ settings }: Runtime, { traits }: Worker, model: string): boolean {
  const name = traits.external?.name ?? '';
  return (
    settings.modelRules?.external.find(({ match }) => matchesRule(match, model))?.chain.includes(name) ===
    true
  );
}

function card(id: string, { traits }: Worker): JsonObject {
  return { id, object: 'model', created: 0, owned_by: traits.external?.name ?? '', parent: null };
}
