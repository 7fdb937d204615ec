import * as z from 'zod';
import type { Tenant } from '../limits/tenant.ts';
import { AdminError } from './admin-error.ts';
import { route, type AdminRoute } from './route.ts';

/** A tenant: its settings without its keys, and what it has used. */
export const tenantSchema = z.strictObject({
  name: z.string(),
  enabled: z.boolean(),
  rate_limit_rps: z.number(),
  max_concurrent: z.int(),
  tokens_per_minute: z.int().nullable(),
  allowed_models: z.array(z.string()),
  priority_class: z.enum(['high', 'normal', 'low']),
  total_requests: z.int().meta({ description: 'Let in since the start' }),
  total_rate_limited: z.int().meta({ description: 'Refused by its limits since the start' }),
  in_flight: z.int(),
  tokens_used: z.number().meta({ description: 'Of requests that have ended' }),
  tokens_remaining: z.int().nullable().meta({ description: 'Of this minute; null without a limit' }),
  keys: z.int().meta({ description: 'How many keys it has' }),
  metadata: z.record(z.string(), z.string()),
});

export function tenantView(tenant: Tenant): z.output<typeof tenantSchema> {
  const { settings } = tenant;
  return {
    name: settings.name,
    enabled: settings.enabled,
    rate_limit_rps: settings.ratePerSecond,
    max_concurrent: settings.maxConcurrent,
    tokens_per_minute: settings.tokensPerMinute ?? null,
    allowed_models: [...settings.allowedModels],
    priority_class: settings.priorityClass,
    total_requests: tenant.totalRequests,
    total_rate_limited: tenant.totalRateLimited,
    in_flight: tenant.inFlight,
    tokens_used: tenant.tokensUsed,
    tokens_remaining: tenant.tokenLevel()?.remaining ?? null,
    keys: settings.digests.length,
    metadata: settings.metadata,
  };
}

const listTenants = route({
  method: 'GET',
  path: '/admin/tenants',
  about: 'The tenants with their limits and what they have used. Keys are not shown.',
  answers: {
    200: {
      about: 'In the order of the configuration; `message` says so where there are none.',
      schema: z.strictObject({ tenants: z.array(tenantSchema), message: z.string().optional() }),
    },
  },
  handle({ tenants }) {
    const all = tenants.all().map(tenantView);
    const message = 'no tenants are configured (api_keys)';
    return { status: 200, json: { tenants: all, ...(all.length === 0 ? { message } : {}) } };
  },
});

const showTenant = route({
  method: 'GET',
  path: '/admin/tenants/{name}',
  about: 'One tenant.',
  answers: {
    200: { about: 'As in the list.', schema: tenantSchema },
    404: { about: 'No tenant has that name.' },
  },
  handle({ tenants }, { name }) {
    const tenant = tenants.named(name);
    if (!tenant) throw new AdminError('TENANT_NOT_FOUND', `Tenant ${JSON.stringify(name)} not found`);
    return { status: 200, json: tenantView(tenant) };
  },
});

export const TENANT_ROUTES: readonly AdminRoute[] = [listTenants, showTenant];
