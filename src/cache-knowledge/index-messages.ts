import type { MessageKind } from '../base/channel.ts';
import type { IndexMemory } from './predicted-index.ts';

/** What a request thread is shown of the index, and where its own records go. Undefined: nobody needs an index. */
export type ShownIndex = (IndexMemory & { readonly records: ArrayBufferLike }) | undefined;

/** To request threads: the memory of the index is this from now on. */
export const INDEX_IS: MessageKind<ShownIndex> = { name: 'cache-index:is' };

/** To control: some policy of this thread needs the index, or none does any more. */
export const INDEX_WANTED: MessageKind<boolean> = { name: 'cache-index:wanted' };

/** To control, which has nothing to do: there are records. */
export const INDEX_RECORDS: MessageKind<null> = { name: 'cache-index:records' };
