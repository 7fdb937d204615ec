import { DEFAULT_TRAITS, type WorkerDefaults, type WorkerRole, type WorkerSpec } from './settings.ts';
import { traitsOf, type Registration } from '../schema/worker-entry.ts';
import { workerId, type WorkerAddress } from '../schema/worker-url.ts';

/** The workers that an address stands for. A rank of its own is kept: it is one worker. */
export function workerSpecs(
  address: WorkerAddress,
  defaults: WorkerDefaults,
  role: WorkerRole = DEFAULT_TRAITS.role,
): WorkerSpec[] {
  const { baseUrl, rank } = address;
  const apiKey = defaults.apiKeys.get(baseUrl) ?? defaults.apiKey;
  const size = defaults.ranksPerUrl[role];
  const ranks = size > 1 && rank === undefined ? Array.from({ length: size }, (_, index) => index) : [rank];
  return ranks.map((one) => ({
    ...{ baseUrl, rank: one, id: workerId({ baseUrl, rank: one }) },
    ...{ apiKey, traits: DEFAULT_TRAITS },
  }));
}

/** One per rank, where the configuration makes ranks of every URL. */
export function specsOf(registration: Registration, defaults: WorkerDefaults): readonly WorkerSpec[] {
  const apiKey = keyOf(registration, defaults);
  const traits = traitsOf(registration);
  return workerSpecs(registration.address, defaults, traits.role).map((spec) => ({
    ...spec,
    apiKey,
    traits,
  }));
}

/** The key that counts for it. */
export function keyOf(
  { apiKey, address }: Registration,
  { apiKeys, apiKey: general }: WorkerDefaults,
): string | undefined {
  return apiKey ?? apiKeys.get(address.baseUrl) ?? general;
}
