import type { StoreSettings } from './redis-settings.ts';

/** Folders of models, or the `tokenizer.json` in them. */
export interface TokenizerPaths {
  /** By a part of the model's name, the longest first. */
  readonly byModel: readonly (readonly [part: string, path: string])[];
  /** For every other model. */
  readonly otherwise: string | undefined;
}

/** How the token ids of prompts come to be known. */
export interface TokenSettings {
  /** `auto`: where somebody goes by them. */
  readonly exact: 'auto' | 'always' | 'off';
  /** For each request. */
  readonly timeoutMs: number;
  /** Whether templates that requests bring are used. */
  readonly trustChatTemplates: boolean;
  /** Tokenizers of the router's own, where the worker names none. */
  readonly paths: TokenizerPaths;
  /** Where they are kept beside that; undefined: nowhere. */
  readonly shared: StoreSettings | undefined;
  readonly cache: { readonly maxBytes: number; readonly maxEntries: number; readonly ttlMs: number };
}
