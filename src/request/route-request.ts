/**
 * THE request path. Every request, whatever its endpoint, takes these steps in this order; every exit goes through
 * `finish`. `docs/design/request-path.md` draws the same steps with the same names.
 */
import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import { identify, type Arrival } from './arrive/arrival.ts';
import { answerFromCache } from './cache/answer-from-cache.ts';
import { askForUsage } from './understand/ask-for-usage.ts';
import { settleHalves } from './choose/pair.ts';
import { askLmcache } from './choose/ask-lmcache.ts';
import { authenticate } from './arrive/authenticate.ts';
import { prepares } from './choose/deciders.ts';
import { claimSeat } from './arrive/claim-seat.ts';
import { answerLocally } from './arrive/local-answers.ts';
import { answerPreflight, guardRoute } from './arrive/guard-route.ts';
import { Deadline } from './arrive/deadline.ts';
import { finish } from './record/finish.ts';
import { forward } from './send/forward.ts';
import { knowCluster } from './choose/know-cluster.ts';
import { knowTokens } from './choose/know-tokens.ts';
import { knowOwners } from './understand/know-owners.ts';
import { ownTransfers } from './understand/own-transfers.ts';
import { preparePolicy } from './choose/prepare-policy.ts';
import { readCall } from './understand/read-call.ts';
import { replyError } from './answer/reply.ts';
import { reserveTokens } from './turn/reserve-tokens.ts';
import { resolveModel } from './understand/resolve-model.ts';
import { runHooks } from './understand/run-hooks.ts';
import type { Runtime } from './runtime.ts';
import { waitForTurn } from './turn/admit.ts';

export async function routeRequest(
  rt: Runtime,
  req: EdgeRequest,
  res: EdgeResponse,
  tunnel?: Arrival['tunnel'],
): Promise<void> {
  const arrival = identify(rt, req, res, tunnel);
  const deadline = new Deadline(rt, arrival.startedAt, () => {
    res.destroy();
  });
  try {
    // A step that has nothing to wait for says so at once: to wait for it all the same costs more than most steps.
    const preflight = answerPreflight(rt, arrival);
    if (preflight && (await preflight)) return;
    guardRoute(rt, arrival);
    claimSeat(rt, arrival);
    const known = authenticate(rt, arrival);
    const caller = known instanceof Promise ? await known : known;
    const local = answerLocally(rt, arrival, caller);
    if (local && (await local)) return;

    // One variable: a call that another one replaces must not keep its body to the end of the answer.
    let call = await readCall(rt, arrival);
    arrival.times.bodyRead = rt.clock.now();
    const asked = knowOwners(rt, caller, call);
    if (asked) await asked;
    call = resolveModel(rt, arrival, caller, call);
    if (rt.settings.hooks.length > 0) call = await runHooks(rt, arrival, caller, call, deadline);
    const own = ownTransfers(rt, arrival, call);
    call = own instanceof Promise ? await own : own;
    call = settleHalves(rt, askForUsage(rt, arrival, call));
    const reserved = reserveTokens(rt, arrival, call);
    if (reserved) await reserved;
    const cached = answerFromCache(rt, arrival, caller, call, deadline);
    const fresh = cached instanceof Promise ? await cached : cached;
    if (!fresh) return;
    call = fresh;
    const turn = waitForTurn(rt, arrival, caller, call, deadline);
    if (turn) await turn;
    rt.retryBudget.onRequest();
    const tokens = knowTokens(rt, arrival, call, deadline);
    if (tokens) await tokens;
    const looked = askLmcache(rt, arrival, call, deadline);
    if (looked) await looked;
    const nearing = knowCluster(rt, arrival, call, deadline);
    if (nearing) await nearing;
    if (prepares(rt, call)) call = await preparePolicy(rt, arrival, call, deadline);
    await forward(rt, arrival, call, deadline);
  } catch (error) {
    await replyError(rt, arrival, error);
  } finally {
    deadline.cancel();
    finish(rt, arrival);
  }
}

/** The steps answer their own errors; what escapes them must not end the process, and with it every other request. */
export async function serveRequest(...args: Parameters<typeof routeRequest>): Promise<void> {
  const [rt, , res] = args;
  try {
    await routeRequest(...args);
  } catch (error) {
    rt.log.error({ err: error }, 'unexpected error outside the request path');
    res.destroy();
  }
}
