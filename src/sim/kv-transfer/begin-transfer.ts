import { badRequest } from '../server/api-error.ts';
import type { Exchange } from '../server/exchange.ts';
import type { FaultPlan } from '../server/faults.ts';
import type { SimState } from '../server/sim-state.ts';
import { RequestTransfer } from './request-transfer.ts';

/** Looks what a request has to do with the KV caches of other workers. Throws an ApiError. */
export function beginTransfer(sim: SimState, exchange: Exchange, plan: FaultPlan): void {
  const { kvTransfer } = sim;
  if (!kvTransfer?.concerns(exchange.path)) return;
  const { fields, path } = exchange;
  const request = kvTransfer.requestOf(path, sim.requestId(exchange, fields), fields);
  if (request.params && plan.rejectParams)
    throw badRequest('kv_transfer_params: simulated rejection', 'kv_transfer_params');
  const handing = kvTransfer.connector.read(request, kvTransfer.self);
  if (handing) exchange.transfer = new RequestTransfer(kvTransfer, request, handing, plan);
}
