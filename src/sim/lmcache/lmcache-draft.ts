import type { SimLmcacheOptions } from './lmcache-server.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What the flags say of the controller. */
export interface LmcacheDraft extends Mutable<SimLmcacheOptions> {
  /** By `--lmcache`. */
  on?: boolean;
  /** The first of the other flags. */
  named?: string;
}
