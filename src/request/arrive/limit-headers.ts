import type { Level, Tenant } from '../../limits/tenant.ts';

/** What is left of a tenant's limits, under the names that clients of OpenAI know. */
export function addLimitHeaders(headers: string[], tenant: Tenant): void {
  addLevel(headers, 'requests', tenant.requestLevel());
  const tokens = tenant.tokenLevel();
  if (tokens) addLevel(headers, 'tokens', tokens);
}

function addLevel(
  headers: string[],
  what: 'requests' | 'tokens',
  { limit, remaining, resetMs }: Level,
): void {
  headers.push(
    `x-ratelimit-limit-${what}`,
    String(limit),
    `x-ratelimit-remaining-${what}`,
    String(remaining),
    `x-ratelimit-reset-${what}`,
    durationText(resetMs),
  );
}

/** As OpenAI writes durations: `12ms`, `8.64s`, `6m0s`, `1h0m3s`. Rounded up, so that it is never too early. */
export function durationText(ms: number): string {
  if (ms <= 0) return '0s';
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const centis = Math.ceil(ms / 10);
  const hours = Math.floor(centis / 360_000);
  const minutes = Math.floor((centis % 360_000) / 6_000);
  const seconds = (centis % 6_000) / 100;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
