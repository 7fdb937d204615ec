import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import type { Caller } from '../arrive/caller.ts';
import type { Runtime } from '../runtime.ts';

/**
 * The names that model rules give to models that workers list, with the card of the model behind each: of several the
 * first one that has a card. Patterns with a wildcard are no names. A name that a worker lists itself needs no second
 * card.
 */
export function aliasesFor(rt: Runtime, caller: Caller): ReadonlyMap<string, JsonObject> {
  const aliases = new Map<string, JsonObject>();
  const { modelRules } = rt.settings;
  if (!modelRules || modelRules.exact.size === 0) return aliases;
  const cards = new Map<unknown, JsonObject>();
  for (const card of rt.registry.modelCards()) if (isObject(card)) cards.set(card['id'], card);
  for (const [alias, index] of modelRules.exact) {
    if (cards.has(alias) || !caller.mayUse(alias)) continue;
    const target = modelRules.rules[index]?.targets.find(
      ({ model }) => cards.has(model) && caller.mayUse(model),
    );
    const card = target && cards.get(target.model);
    if (card) aliases.set(alias, { ...card, id: alias, root: card['id'] });
  }
  return aliases;
}
