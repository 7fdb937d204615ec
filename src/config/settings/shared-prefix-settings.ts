import type { StoreSettings } from './redis-settings.ts';

/** The table of where prompts were sent that begin alike. */
export interface SharedPrefixesSettings {
  /** Undefined: in the router's own memory. */
  readonly store: StoreSettings | undefined;
  readonly prefixChars: number;
  readonly ttlMs: number;
  /** 0 to 1. */
  readonly writeProbability: number;
  readonly readOnLocalMiss: boolean;
  readonly lookupMs: number;
}
