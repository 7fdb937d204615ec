import type { Call } from '../understand/read-call.ts';
import type { Runtime } from '../runtime.ts';
import { poolFor } from './call-pool.ts';

/** How many workers of each stage can take a request. */
export interface StageCounts {
  readonly prefill: number;
  readonly decode: number;
}

/** Undefined where there are no prefill workers for its model. */
export function stageCounts(rt: Runtime, call: Call): StageCounts | undefined {
  if (!rt.registry.hasPrefill(call.model)) return undefined;
  const [prefill, decode] = [poolFor(rt, call, 'prefill'), poolFor(rt, call, 'decode')];
  return { prefill: prefill.eligible, decode: decode.eligible };
}
