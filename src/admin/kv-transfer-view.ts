import * as z from 'zod';
import { kvTransferEntry, kvTransferTraits, workerKvTransfer } from '../config/schema/kv-transfer-schema.ts';
import { WORKER_ROLES } from '../config/settings/pd-settings.ts';
import type { KvTransferTraits, WorkerRole, WorkerTraits } from '../config/settings/settings.ts';

/** As registered, and what the worker has told since. */
const kvTransferView = workerKvTransfer.extend({
  zmq_address: z.string().optional().meta({ description: 'As it registered itself' }),
  transfer_mode: z.enum(['READ', 'WRITE']).optional(),
  engine_ids: z
    .record(z.string(), z.string())
    .optional()
    .meta({ description: 'Of Mooncake, by data-parallel rank' }),
});

export const pdFields = {
  bootstrap_port: z.int().optional().meta({ description: 'Of prefill workers, as registered' }),
  kv_transfer: kvTransferView
    .optional()
    .meta({ description: 'How its KV blocks are handed over, where anything is known of that' }),
};

interface RoleView {
  worker_type: WorkerRole;
  bootstrap_port?: number;
  kv_transfer?: z.output<typeof kvTransferView>;
}

export function showRole({
  role,
  bootstrapPort,
  kvTransfer,
}: Pick<WorkerTraits, 'role' | 'bootstrapPort' | 'kvTransfer'>): RoleView {
  return {
    worker_type: role,
    ...(bootstrapPort === undefined ? {} : { bootstrap_port: bootstrapPort }),
    ...(kvTransfer === undefined ? {} : { kv_transfer: showKvTransfer(kvTransfer) }),
  };
}

function showKvTransfer(traits: KvTransferTraits): z.output<typeof kvTransferView> {
  const { zmqAddress, transferMode, engineIds } = traits;
  return {
    ...kvTransferEntry(traits),
    ...(zmqAddress === undefined ? {} : { zmq_address: zmqAddress }),
    ...(transferMode === undefined ? {} : { transfer_mode: transferMode }),
    ...(engineIds === undefined ? {} : { engine_ids: engineIds }),
  };
}

const shown = z.object({ worker_type: z.enum(WORKER_ROLES), ...pdFields });

/** The way back, from what a router has shown; regular where that is nothing it could have. */
export function readRole(view: unknown): Pick<WorkerTraits, 'role' | 'bootstrapPort' | 'kvTransfer'> {
  const { data } = shown.safeParse(view);
  const { worker_type: role = 'regular', bootstrap_port: bootstrapPort, kv_transfer: transfer } = data ?? {};
  if (!transfer) return { role, bootstrapPort, kvTransfer: undefined };
  const { zmq_address: zmqAddress, transfer_mode: transferMode, engine_ids: engineIds } = transfer;
  // A receiver is shown with its host.
  const registered = kvTransferTraits(transfer, '');
  return { role, bootstrapPort, kvTransfer: { ...registered, zmqAddress, transferMode, engineIds } };
}
