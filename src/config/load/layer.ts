import type { ConfigKey } from '../schema/keys.ts';

/** Where a value came from. */
export type Origin =
  | { readonly kind: 'default' }
  | { readonly kind: 'file'; readonly file: string; readonly line: number; readonly column: number }
  /** `file` is the env file when the variable was read from one. */
  | { readonly kind: 'env'; readonly name: string; readonly file?: string }
  | { readonly kind: 'flag'; readonly flag: string }
  /** The programmatic API. */
  | { readonly kind: 'option'; readonly option: string };

/** What is wrong, and where. One line each. */
export interface Problem {
  /** `router.yaml:3:7`, `--port`, `VLLM_ROUTER_PORT` or an option's name. */
  readonly at: string;
  readonly message: string;
  /** A file could not be read at all: what stands in it may be right. */
  readonly unreadable?: true;
}

/** One value given by one source, not yet validated. */
export interface Entry {
  readonly key: ConfigKey;
  readonly value: unknown;
  /** The origin of the value, or of the part of it that `inside` leads to (an index, a map's key). */
  origin(inside?: readonly PropertyKey[]): Origin;
}

/** Everything that one source gives, by `ConfigKey.name`. */
export type Layer = ReadonlyMap<string, Entry>;

export interface Reading {
  readonly layer: Layer;
  readonly problems: readonly Problem[];
  /** What stands there could be read in part only, so that what is missing says nothing. */
  readonly partial?: true;
}

export function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return `${origin.file}:${origin.line}`;
    case 'env':
      return origin.file === undefined ? `env ${origin.name}` : `env ${origin.name} (${origin.file})`;
    case 'flag':
      return `flag ${origin.flag}`;
    case 'option':
      return `option ${origin.option}`;
  }
}

/** The place that stands before a problem's message. */
export function placeText(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return `${origin.file}:${origin.line}:${origin.column}`;
    case 'env':
      return origin.file === undefined ? origin.name : `${origin.name} (${origin.file})`;
    case 'flag':
      return origin.flag;
    case 'option':
      return origin.option;
  }
}

/** Flags, variables and options name the key by themselves; a position in a file does not. */
export function problemAt(origin: Origin, name: string, message: string): Problem {
  const named = origin.kind === 'file' || origin.kind === 'default';
  return { at: placeText(origin), message: named ? `${name}: ${message}` : message };
}

/** The problem on one line, whatever the names and values in it are made of. */
export function problemLine(problem: Problem): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it is about
  return `${problem.at}: ${problem.message}`.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '?');
}

/** Problems of files in the order of their lines, each in a place that one of them had; the others stay where they are. */
export function inLineOrder(problems: readonly Problem[]): readonly Problem[] {
  const placed = problems.flatMap((problem) => {
    const [, file, line, column] = /^(.*):(\d+):(\d+)$/s.exec(problem.at) ?? [];
    return file === undefined ? [] : [{ problem, file, line: Number(line), column: Number(column) }];
  });
  const sorted = placed.toSorted((one, other) =>
    one.file === other.file ? one.line - other.line || one.column - other.column : 0,
  );
  const inFiles = new Set(placed.map(({ problem }) => problem));
  let next = 0;
  return problems.map((problem) => (inFiles.has(problem) ? (sorted[next++]?.problem ?? problem) : problem));
}

/** A value in a message: short, with its type visible, and never a secret. */
export function shown(value: unknown, secret: boolean): string {
  if (value === undefined || value === null) return 'nothing';
  if (secret) return `${typeWithArticle(value)} (not shown)`;
  const text = typeof value === 'number' ? String(value) : asJson(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function typeWithArticle(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : `a ${typeof value}`;
}

function asJson(value: unknown): string {
  try {
    // What JSON has no words for: functions become undefined, bigints and cycles throw.
    const json = JSON.stringify(value) as string | undefined;
    return json ?? typeWithArticle(value);
  } catch {
    return typeWithArticle(value);
  }
}
