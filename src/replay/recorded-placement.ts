import type { Choice, Policy, Pool } from '../routing/policy.ts';

/**
 * Sends every request where it went, in order, whatever `asked` would rather do; `onChoice` is told what that is. One
 * router has to see all requests, and each of them once.
 */
export function recordedPlacement(
  workers: readonly string[],
  placement: readonly number[],
  asked?: Policy,
  onChoice: (place: number, choice: Choice, pool: Pool) => void = () => undefined,
): Policy {
  let place = 0;
  return {
    name: 'recorded placement',
    needs: asked?.needs ?? { cache: true },
    choose(ask, pool) {
      const at = place++;
      const id = workers[placement[at] ?? -1];
      const index = pool.members.findIndex((member) => member.id === id);
      if (index < 0) throw new Error(`no worker for the request at place ${String(at)}`);
      const choice = asked?.choose(ask, pool);
      if (choice) onChoice(at, choice, pool);
      const matchedTokens = choice?.kind === 'chosen' ? choice.matchedTokens : undefined;
      return { kind: 'chosen', index, reason: 'recorded', ...(matchedTokens && { matchedTokens }) };
    },
    observe: (event) => asked?.observe?.(event),
  };
}
