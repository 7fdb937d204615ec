import type { PoolColumns } from '../../src/routing/stage-columns.ts';

export interface MemberLoad {
  readonly slot?: number;
  readonly prefillTokens?: number;
  readonly prefillRate?: number;
  readonly running?: number;
  /** NaN: it may not be chosen. */
  readonly saved?: number;
  readonly kvTokens?: number;
  readonly kvCapacity?: number;
}

/** The columns of a pool with these members, in slots from 0 on unless they say otherwise: idle, cold, 8,000 tokens a second. */
export function columnsOf(...members: readonly MemberLoad[]): PoolColumns {
  const column = (key: Exclude<keyof MemberLoad, 'slot'>, otherwise: number): Float64Array =>
    Float64Array.from(members, (member) => member[key] ?? otherwise);
  return {
    slots: Int32Array.from(members, ({ slot }, index) => slot ?? index),
    prefillTokens: column('prefillTokens', 0),
    prefillRate: column('prefillRate', 8000),
    running: column('running', 0),
    saved: column('saved', 0),
    kvTokens: column('kvTokens', 0),
    kvCapacity: column('kvCapacity', Infinity),
  };
}
