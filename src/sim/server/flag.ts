import type { LmcacheDraft } from '../lmcache/lmcache-draft.ts';
import type { KvEventDraft } from '../kv-events/settings.ts';
import type { KvTransferDraft } from '../kv-transfer/settings.ts';
import type { SimOptions } from './options.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
export type Model = Mutable<NonNullable<SimOptions['model']>>;

/** In the order of the help. */
export const FLAG_GROUPS = [
  'Workers',
  'Engine',
  'Prefill and decode',
  'Cache events',
  'LMCache',
  'Answers',
  'Faults',
] as const;

/** What the flags add up to: one set of options, and what concerns the fleet. */
export interface Draft {
  count: number;
  options: Mutable<SimOptions>;
  model: Model;
  /** Faults of single workers, counted from 1. */
  faultsOf: Map<number, string[]>;
  kvEvents: KvEventDraft;
  lmcache: LmcacheDraft;
  kvTransfer: KvTransferDraft;
  keyFile?: string;
  certFile?: string;
}

export interface Flag {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** How its value is called in the help; without one it is a switch. */
  readonly value?: string;
  readonly about: string;
  readonly group: (typeof FLAG_GROUPS)[number];
  /** Returns what is wrong with the value, if anything. */
  readonly set: (draft: Draft, value: string) => string | undefined;
}

/** Reads a number into `put`; returns what is wrong with it, if anything. */
export function number(
  value: string,
  rule: { readonly least: number; readonly most?: number; readonly whole?: boolean },
  put: (value: number) => void,
): string | undefined {
  const parsed = value.trim() === '' ? NaN : Number(value);
  const most = rule.most ?? Infinity;
  if (!(parsed >= rule.least && parsed <= most) || (rule.whole === true && !Number.isInteger(parsed))) {
    const upTo = most === Infinity ? `at least ${rule.least}` : `from ${rule.least} to ${most}`;
    return `expected a ${rule.whole === true ? 'whole ' : ''}number ${upTo}`;
  }
  put(parsed);
  return undefined;
}
