import type { Arrival } from '../arrive/arrival.ts';
import type { Deadline } from '../arrive/deadline.ts';
import { recordPlan } from '../answer/explain.ts';
import { FIRST_TRY, type Tries } from '../choose/pair.ts';
import { giveBack } from '../choose/leg.ts';
import { makePlan, type Plan } from '../choose/plan.ts';
import { waitForWorker } from '../choose/wait-for-worker.ts';
import { recordPrompt } from '../record/record-prompt.ts';
import type { Runtime } from '../runtime.ts';
import type { Call } from '../understand/read-call.ts';
import { askExternal } from './ask-external.ts';
import { askPair } from './ask-pair.ts';
import { askWorker } from './ask-worker.ts';
import { Handover } from './handover.ts';
import { LegOutcome } from './leg-outcome.ts';
import { RetryDecision } from './retry.ts';
import { wordingOf, type Said, type Wording } from './wording.ts';

/**
 * Plan, lease, send; again on another worker while no byte has reached the client and the rules allow it. Returns when
 * the response has left; throws the error that the client is to get.
 */
export async function forward(rt: Runtime, arrival: Arrival, call: Call, deadline: Deadline): Promise<void> {
  const retry = new RetryDecision(rt, arrival, call, deadline);
  const wording = wordingOf(rt, arrival, call);
  let tries: Tries = FIRST_TRY;
  for (;;) {
    deadline.check();
    const plan = makePlan(rt, call, tries);
    if (plan.kind === 'none') {
      await waitForWorker(rt, arrival, call, deadline, plan);
      continue;
    }
    const { leg, prefill } = plan;
    const said = wording && (await inTheirWords(wording, plan));
    const handover = prefill && new Handover(rt, arrival, said?.call ?? call, plan, prefill);
    const outcome = new LegOutcome(rt, arrival, call, plan, leg, {
      streamed: call.stream,
      expectedMs: plan.predictedTtftMs ?? 0,
      prefill: handover,
    });
    try {
      recordPlan(rt, arrival.decision, plan);
      if (tries === FIRST_TRY) recordPrompt(rt, arrival, call);
      const step = { leg, outcome, retry, tries, ...(wording && said && { put: { wording, said } }) };
      const again = handover
        ? await askPair(rt, arrival, call, deadline, { ...step, handover, prefill })
        : leg.role === 'external'
          ? await askExternal(rt, arrival, call, deadline, step)
          : await askWorker(rt, arrival, call, deadline, step);
      if (!again) return;
      tries = again;
      arrival.times.givenUpMs += rt.clock.now() - arrival.times.dispatched;
    } finally {
      handover?.close();
      outcome.close();
    }
    await retry.backOff();
  }
}

/** The plan is not carried out where the request cannot be put so. */
async function inTheirWords(wording: Wording, plan: Plan): Promise<Said> {
  try {
    return await wording.said(plan);
  } catch (error) {
    giveBack(plan.leg);
    if (plan.prefill) giveBack(plan.prefill.leg);
    throw error;
  }
}
