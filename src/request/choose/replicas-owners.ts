import type { SharedValues } from '../../redis/shared-values.ts';
import type { Owner, OwnersElsewhere } from './resource-owners.ts';

/** vLLM keeps responses until its process ends. */
const KEPT_MS = 24 * 3_600_000;
/** Who does not know the owner asks every worker. */
const WITHIN_MS = 50;
/** Of what a client may have chosen as the name of a resource. */
const LONGEST_ID = 512;

export const MOST_OWNER_BYTES = 4096;

/** In Redis or Valkey. What stands there names workers and tenants; nobody is connected to because of it. */
export class OwnersOfReplicas implements OwnersElsewhere {
  readonly #values: SharedValues;

  constructor(values: SharedValues) {
    this.#values = values;
  }

  async find(resourceId: string): Promise<Owner | undefined> {
    if (resourceId.length > LONGEST_ID) return undefined;
    const bytes = await this.#values.get(keyOf(resourceId), WITHIN_MS);
    const owner = bytes && ownerIn(bytes);
    if (bytes && !owner) this.#values.unreadable();
    return owner;
  }

  /** Whoever is noted already stays: who finds a resource does not know whose it is. */
  note(resourceId: string, { worker, tenant }: Owner): void {
    if (resourceId.length > LONGEST_ID) return;
    const text = JSON.stringify({ worker, tenant });
    this.#values.set(keyOf(resourceId), Buffer.from(text), KEPT_MS, true);
  }
}

function keyOf(resourceId: string): string {
  return encodeURIComponent(resourceId.toWellFormed());
}

function ownerIn(bytes: Buffer): Owner | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value !== 'object' || value === null || !('worker' in value)) return undefined;
    const { worker } = value;
    const tenant = 'tenant' in value ? value.tenant : undefined;
    if (typeof worker !== 'string' || (tenant !== undefined && typeof tenant !== 'string')) return undefined;
    return { worker, tenant };
  } catch {
    return undefined;
  }
}
