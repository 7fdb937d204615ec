import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_TRAITS, type WorkerDefaults } from '../config/settings/settings.ts';
import type { Registration } from '../config/schema/worker-entry.ts';
import { kvTransferEntry } from '../config/schema/kv-transfer-schema.ts';
import { externalEntry } from '../config/schema/external-schema.ts';
import { eventEntry } from '../config/schema/worker-events.ts';
import { keyOf } from '../config/settings/worker-specs.ts';
import { workerId, type WorkerAddress } from '../config/schema/worker-url.ts';

/** The way back from a registration, for the state file. */
export function requestOf(registration: Registration): Readonly<Record<string, unknown>> {
  const { address, modelId, priority, cost, labels, tokenizerPath, kvEvents, unused, apiKey } = registration;
  const { role, bootstrapPort, external } = registration;
  const kvTransfer = kvTransferEntry(registration.kvTransfer);
  return {
    url: workerId(address),
    ...(modelId === undefined ? {} : { model_id: modelId }),
    ...(role === DEFAULT_TRAITS.role ? {} : { worker_type: role }),
    ...(bootstrapPort === undefined ? {} : { bootstrap_port: bootstrapPort }),
    ...(kvTransfer === undefined ? {} : { kv_transfer: kvTransfer }),
    priority,
    cost,
    labels,
    ...(tokenizerPath === undefined ? {} : { tokenizer_path: tokenizerPath }),
    ...(kvEvents === undefined ? {} : { kv_events: eventEntry(kvEvents) }),
    ...(external === undefined ? {} : { external: externalEntry(external) }),
    ...unused,
    ...(apiKey === undefined ? {} : { api_key: apiKey }),
  };
}

/** A worker of which nothing but its address is said. */
export function plainRegistration(address: WorkerAddress): Registration {
  return { address, ...DEFAULT_TRAITS, apiKey: undefined };
}

/** Whether both ask for the same, the key in effect included. */
export function isSame(left: Registration, right: Registration, defaults: WorkerDefaults): boolean {
  const inEffect = (registration: Registration): unknown => ({
    ...registration,
    address: undefined,
    apiKey: keyOf(registration, defaults),
  });
  return isDeepStrictEqual(inEffect(left), inEffect(right));
}
