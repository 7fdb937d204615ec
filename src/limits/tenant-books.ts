import type { TenantSettings } from '../config/settings/settings.ts';

/** What a tenant has used in all replicas together. */
export interface TenantBooks {
  /** Whether they can be asked; where not, each replica keeps to its share of the limits. */
  readonly isOpen: boolean;
  /** One look and one change, of all limits at once: nothing is taken where one of them refuses. Never rejects. */
  enter(tenant: TenantSettings, tokens: number): Promise<BookEntry>;
}

export type BookEntry =
  | {
      readonly kind: 'entered';
      /** It has ended, and took so many tokens. */ readonly leave: (used: number) => void;
    }
  | {
      readonly kind: 'over_limit';
      readonly limit: 'requests' | 'concurrency' | 'tokens';
      /** Infinity: never. */
      readonly retryAfterMs: number;
    }
  /** They cannot be asked, or did not answer in time. */
  | { readonly kind: 'away' };
