/** Where an engine keeps a block. */
export type Tier = 'gpu' | 'cpu' | 'disk';

/** An engine's 64-bit name for a block, in halves: they mean nothing but themselves, and nothing to another engine. */
export interface BlockName {
  readonly low: number;
  readonly high: number;
}

/** Blocks that an engine has put into its cache, one behind the other. */
export interface StoredEvent {
  readonly kind: 'stored';
  /** Low and high half of each. */
  readonly names: Uint32Array;
  /** The block before the first one; undefined where a prompt begins. */
  readonly parent: BlockName | undefined;
  /** `blockSize` for each block; none where the engine only says that blocks it told of are in another tier, too. */
  readonly tokens: Uint32Array;
  /** Tokens; 0 where `tokens` has none. */
  readonly blockSize: number;
  /** Name of the LoRA adapter; '' for the model itself. */
  readonly adapter: string;
  /** `cache_salt` of the request, where these are the first blocks of a prompt; '' for none. A secret: not to be logged. */
  readonly salt: string;
  /** By block: whatever else the engine keys it on, images above all; '' for nothing. Undefined where no block has any. */
  readonly extras: readonly string[] | undefined;
  readonly tier: Tier;
}

/** Blocks that have left a tier. */
export interface RemovedEvent {
  readonly kind: 'removed';
  readonly names: Uint32Array;
  readonly tier: Tier;
}

export type KvEvent = StoredEvent | RemovedEvent | { readonly kind: 'cleared' };

/** What is passed over in a batch that can be read; the label of the counter. */
export const DROP_REASONS = [
  /** A type of event that this version does not know. */
  'unknown_type',
  /** Of layers that do not keep the whole prompt: sliding windows, state-space models. */
  'other_group',
  /** Blocks whose tokens or keys do not fit their number: partial blocks, or an encoding that is not known. */
  'misshapen',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];
export type Dropped = Record<DropReason, number>;

export function nothingDropped(): Dropped {
  return { unknown_type: 0, other_group: 0, misshapen: 0 };
}
