import { textHash } from './tokens.ts';

/** What sets the caches of equal tokens apart. */
export interface CacheScope {
  /** The LoRA adapter by its name. */
  readonly adapter: string | undefined;
  /** The request's `cache_salt`. */
  readonly salt: string | undefined;
}

export const NO_SCOPE: CacheScope = { adapter: undefined, salt: undefined };

/** What block hashes begin with. */
export function scopeHash({ adapter, salt }: CacheScope): number {
  return (adapter === undefined ? 0 : textHash(adapter)) ^ (salt === undefined ? 0 : textHash(salt));
}
