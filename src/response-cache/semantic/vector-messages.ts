import type { MessageKind, QuestionKind } from '../../base/channel.ts';
import type { NearestVector, VectorEntry } from './vector-table.ts';

/** To the vector thread. */
export const ADD: MessageKind<VectorEntry> = { name: 'vector:add' };
export const DROP: MessageKind<readonly number[]> = { name: 'vector:drop' };
export const NEAREST: QuestionKind<
  { readonly partition: string; readonly vector: Float32Array; readonly threshold: number },
  NearestVector | undefined
> = { name: 'vector:nearest' };
