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
  const size = ranksOf(defaults, role);
  const ranks = size > 1 && rank === undefined ? Array.from({ length: size }, (_, index) => index) : [rank];
  return ranks.map((one) => ({
    ...{ baseUrl, rank: one, id: workerId({ baseUrl, rank: one }) },
    ...{ apiKey, traits: DEFAULT_TRAITS },
  }));
}

/** How many workers a URL of this role stands for. */
export function ranksOf({ ranksPerUrl }: Pick<WorkerDefaults, 'ranksPerUrl'>, role: WorkerRole): number {
  return role === 'external' ? 1 : ranksPerUrl[role];
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
  { apiKey, address, role }: Registration,
  { apiKeys, apiKey: general, isProvidersKey }: WorkerDefaults,
): string | undefined {
  const own = apiKey ?? apiKeys.get(address.baseUrl);
  // The key of the fleet is nothing that another company should learn.
  return own ?? ((role === 'external') === (isProvidersKey === true) ? general : undefined);
}
