import type { SimulateOptions } from './options.ts';

export type Draft = { -readonly [Key in keyof SimulateOptions]: SimulateOptions[Key] };

export interface Flag {
  readonly name: string;
  /** How its value is called in the help; without one it is a switch. */
  readonly value?: string;
  readonly about: string;
  readonly group: 'Workload' | 'Fleet' | 'Knowledge' | 'Output';
  /** Returns what was expected when the value will not do. */
  readonly set: (draft: Draft, value: string) => string | undefined;
}

type NumberKey = {
  [Key in keyof SimulateOptions]: SimulateOptions[Key] extends number | undefined
    ? number extends SimulateOptions[Key]
      ? Key
      : never
    : never;
}[keyof SimulateOptions];

export interface Rule {
  readonly least: number;
  readonly most?: number;
  readonly whole?: true;
}

export function parseNumber(text: string, { least, most = Infinity, whole }: Rule): number | undefined {
  const value = text.trim() === '' ? NaN : Number(text);
  const fits = value >= least && value <= most && (whole !== true || Number.isInteger(value));
  return fits && Number.isFinite(value) ? value : undefined;
}

function expectedNumber({ least, most, whole }: Rule): string {
  const kind = whole === true ? 'a whole number' : 'a number';
  return most === undefined
    ? `${kind}, at least ${String(least)}`
    : `${kind} from ${String(least)} to ${String(most)}`;
}

export function number(
  name: string,
  key: NumberKey,
  rule: Rule,
  rest: Pick<Flag, 'about' | 'group' | 'value'>,
): Flag {
  return {
    name,
    ...rest,
    set: (draft, text) => {
      const value = parseNumber(text, rule);
      if (value === undefined) return expectedNumber(rule);
      draft[key] = value;
      return undefined;
    },
  };
}

export function toggle(
  name: string,
  key: 'strict' | 'wide' | 'json',
  rest: Pick<Flag, 'about' | 'group'>,
): Flag {
  return {
    name,
    ...rest,
    set: (draft) => {
      draft[key] = true;
      return undefined;
    },
  };
}

export function numbers(text: string, rule: Rule): number[] | undefined {
  const values = text.split(',').map((part) => parseNumber(part, rule));
  return values.every((value) => value !== undefined) ? values : undefined;
}
