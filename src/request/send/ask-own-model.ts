import { probeHeaders } from '../../engines/http/probe.ts';
import { collect } from '../../engines/collect.ts';
import type { AskEmbeddings, EmbeddingAnswer, EmbeddingLimits } from '../../semantic/embedder.ts';
import { matchEndpoint } from '../arrive/endpoints.ts';
import { FIRST_TRY } from '../choose/pair.ts';
import { makePlan } from '../choose/plan.ts';
import type { Runtime } from '../runtime.ts';
import { understand, type CallSource } from '../understand/read-call.ts';

const PATH = '/v1/embeddings';

/**
 * Has a worker of the router's own make a vector: its model's policy chooses, and the worker's load and circuit count it like any
 * request. It passes no queue and no limits, since the request that it is made for has passed them.
 */
export function askOwnModel(rt: Runtime): AskEmbeddings {
  return (body, limits) => ask(rt, body, limits);
}

async function ask(rt: Runtime, body: Buffer, limits: EmbeddingLimits): Promise<EmbeddingAnswer> {
  const match = matchEndpoint('POST', PATH);
  const source: CallSource = {
    ...{ target: PATH, match, endpoint: match.endpoint, req: { rawHeaders: [] } },
    ...{ decision: { stream: false }, releases: [] },
  };
  const call = understand(rt, source, body);
  if (!rt.registry.membersFor(call.model).listed)
    return { kind: 'failed', code: 'no_worker', message: `no worker lists ${call.model}` };
  const plan = makePlan(rt, { ...call, handoff: undefined }, FIRST_TRY);
  if (plan.kind === 'none')
    return { kind: 'failed', code: 'no_worker', message: `no worker of ${call.model} can take it` };
  const { worker, lease, permit, uncachedTokens } = plan.leg;
  const headers = [...probeHeaders(worker.spec), 'content-type', 'application/json'];
  if (worker.spec.rank !== undefined) headers.push('x-data-parallel-rank', String(worker.spec.rank));
  headers.push('accept-encoding', 'identity');
  const answer = await collect(
    rt.clientOf(worker),
    { method: 'POST', path: PATH, headers, body, upgrade: undefined },
    rt.clock,
    limits,
  );
  if (answer.kind === 'response') lease.firstToken(uncachedTokens);
  // The embedder has a circuit of its own, and a short patience: only what would fail any request fails the worker.
  if (answer.kind === 'response' && answer.status < 500) permit.success();
  else if (answer.kind === 'failed' && answer.code === 'connect_failed') permit.failure();
  else permit.cancel();
  lease.release();
  return answer;
}
