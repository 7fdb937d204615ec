export type Medium = 'GPU' | 'CPU';

/** What an engine tells of its caches, before it is encoded. Hashes are whole digests. */
export type KvEvent =
  | {
      readonly kind: 'stored';
      readonly hashes: readonly Buffer[];
      /** Undefined: the first block of a sequence. */
      readonly parent: Buffer | undefined;
      readonly tokens: Int32Array;
      readonly blockSize: number;
      readonly adapter: string | undefined;
      /** Number of the adapter in this engine. */
      readonly adapterId: number | undefined;
      /** One list per block, empty where it has none. */
      readonly extraKeys: readonly (readonly string[])[];
    }
  /** Blocks copied to the CPU: vLLM gives their hashes alone. */
  | { readonly kind: 'offloaded'; readonly hash: Buffer }
  | { readonly kind: 'removed'; readonly hash: Buffer; readonly medium: Medium }
  | { readonly kind: 'cleared' };
