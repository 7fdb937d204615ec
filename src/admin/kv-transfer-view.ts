import * as z from 'zod';
import { kvTransferEntry, workerKvTransfer } from '../config/schema/kv-transfer-schema.ts';
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
