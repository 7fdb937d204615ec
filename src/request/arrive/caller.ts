import type { TenantAccess } from '../../limits/tenant.ts';

/** Who makes a request, as far as the router knows. */
export interface Caller {
  /** Whether the router checked a key of its own: then the client's credentials are not for workers. */
  readonly keyChecked: boolean;
  /** Whose key it is; undefined where keys do not belong to tenants. */
  readonly tenant: TenantAccess | undefined;
  /** Whether the caller may use, and so know of, a model. */
  mayUse(model: string): boolean;
}

const everyModel = (): boolean => true;

/** Anybody: no keys are asked for. */
export const ANYBODY: Caller = { keyChecked: false, tenant: undefined, mayUse: everyModel };

/** Somebody with a key that opens everything. */
export const KEY_HOLDER: Caller = { keyChecked: true, tenant: undefined, mayUse: everyModel };

export function callerOf(tenant: TenantAccess): Caller {
  return { keyChecked: true, tenant, mayUse: (model) => tenant.mayUse(model) };
}
