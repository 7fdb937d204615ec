import { RouterError, type ErrorCode } from '../../base/errors.ts';
import type { TenantSettings } from '../../config/settings/settings.ts';
import type { OverLimit } from '../../limits/tenant.ts';

const CODES = {
  requests: 'rate_limit_exceeded',
  concurrency: 'concurrency_exceeded',
  tokens: 'tokens_exceeded',
} as const satisfies Record<OverLimit['limit'], ErrorCode>;

/** The 429 for a request that its tenant's limits refuse. `tokens`: what it would have taken, where that is the matter. */
export function overLimit(
  tenant: TenantSettings,
  { limit, retryAfterSecs }: OverLimit,
  tokens = 0,
): RouterError {
  const messages = {
    requests: `more than ${tenant.ratePerSecond} requests per second`,
    concurrency: `more than ${tenant.maxConcurrent} requests at a time`,
    tokens:
      retryAfterSecs === undefined
        ? `the request may take ${tokens} tokens (prompt, estimated, and max_tokens), and ${tenant.tokensPerMinute ?? 0} per minute are allowed: it can never be served`
        : `more than ${tenant.tokensPerMinute ?? 0} tokens per minute; the request may take ${tokens}`,
  };
  const headers = ['x-ratelimit-limit', String(tenant.ratePerSecond)];
  // Clients of OpenAI and Anthropic would try again by themselves.
  if (retryAfterSecs === undefined) headers.push('x-should-retry', 'false');
  const options = { headers, ...(retryAfterSecs === undefined ? {} : { retryAfterSecs }) };
  return new RouterError(CODES[limit], `Rate limit of this API key: ${messages[limit]}`, options);
}
