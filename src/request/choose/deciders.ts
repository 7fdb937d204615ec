import type { Policy, PolicyNeeds } from '../../routing/policy.ts';
import type { Stage } from '../../workers/model-pools.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { goesOut } from './external.ts';
import { mayPair, policyOf } from './pair.ts';

/** Who may choose a worker for a request, and of which. */
interface Decider {
  readonly policy: Policy;
  readonly stage: Stage;
}

/** The model's policy, and where the request may go through a pair those of its halves. */
export function decidersOf(rt: Runtime, call: Call): readonly Decider[] {
  const whole = { policy: call.policy, stage: 'whole' } as const;
  if (!mayPair(rt, call)) return [whole];
  const halves = (['prefill', 'decode'] as const).flatMap((stage) => {
    const policy = policyOf(rt, call, stage);
    return policy ? [{ policy, stage }] : [];
  });
  return [whole, ...halves];
}

/** What any of them goes by. */
export function needsOfDeciders(rt: Runtime, call: Call): PolicyNeeds {
  if (!mayPair(rt, call)) return call.policy.needs;
  const needs = [rt.policies.pairs.needs, ...decidersOf(rt, call).map(({ policy }) => policy.needs)];
  const asked = (['prompts', 'occupancy', 'if_configured'] as const).find((word) =>
    needs.some(({ lmcache }) => lmcache === word),
  );
  return {
    cache: needs.some(({ cache }) => cache),
    tokens: needs.some(({ tokens }) => tokens === true),
    lmcache: asked,
  };
}

/** Whether any of them looks something up by itself. */
export function prepares(rt: Runtime, call: Call): boolean {
  if (goesOut(call)) return false;
  if (call.policy.prepare) return true;
  return mayPair(rt, call) && decidersOf(rt, call).some(({ policy }) => policy.prepare !== undefined);
}
