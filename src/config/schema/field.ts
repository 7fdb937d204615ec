import * as z from 'zod';

/** The headings that keys stand under in the help text and on the reference pages, in this order. */
export const GROUPS = [
  'Workers',
  'Gateway',
  'Models',
  'Prefill and decode',
  'External backends',
  'Server',
  'Clients',
  'Policy',
  'Tokens',
  'Answer cache',
  'LMCache',
  'Cache events',
  'Semantic',
  'Replicas',
  'Plugins',
  'Hooks',
  'Timeouts',
  'Admission',
  'Retries',
  'Circuit breaker',
  'Health checks',
  'Logging',
  'Metrics',
  'Request ids and records',
  'Decision log',
] as const;
export type Group = (typeof GROUPS)[number];

/** What the schema itself cannot say about a key. */
export interface KeyMeta {
  readonly group: Group;
  /** One or two sentences; ends with a full stop. */
  readonly about: string;
  /** Flags, the first one is the main spelling. Absent: made from the path. Empty: the key has no flag. */
  readonly flags?: readonly `--${string}`[];
  /** Flags without a value that set the key to one. */
  readonly switches?: Readonly<Record<`--${string}`, string>>;
  /** False: the key cannot be set from the environment. */
  readonly env?: false;
  /** Shown as `***` wherever configuration is shown, and never quoted in a message. */
  readonly secret?: true;
  /** A URL: shown without its user, password and query, and never quoted in a message. */
  readonly credentials?: true;
  /** What stands for the value in the help text, e.g. `URL`. */
  readonly value?: string;
  /** Shown instead of a default that depends on the machine or on other keys. */
  readonly defaultText?: string;
}

export const keyMeta = z.registry<KeyMeta>();

/** Attaches the metadata. Must wrap the outermost schema of the key, after `.default()` and `.optional()`. */
export function key<S extends z.ZodType>(schema: S, meta: KeyMeta): S {
  keyMeta.add(schema, meta);
  return schema;
}

/** Timers of the platform hold at most 2^31 - 1 ms, a little below 25 days. */
const LONGEST_SECS = 2_147_483;

/** A duration in seconds, fractions allowed, above zero. */
export const secs = () => z.number().positive().max(LONGEST_SECS);
/** A duration in seconds, fractions allowed, for which zero has a meaning of its own. */
export const secsOrZero = () => z.number().min(0).max(LONGEST_SECS);
export const milliseconds = () =>
  z
    .int()
    .positive()
    .max(LONGEST_SECS * 1000);
export const count = (least: number) => z.int().min(least);
export const port = () => z.int().min(0).max(65_535);
/** A string that means something only when it has content. */
export const text = () => z.string().min(1);
/** Goes into a header as it is. */
export const bearerKey = () => z.string().regex(/^[!-~]+$/, 'expected a key of visible ASCII characters');
export const httpToken = (what: string) =>
  z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, `expected ${what}`);
/** Host name or IP address. Brackets belong to URLs, not to addresses. */
export const host = () => z.string().regex(/^[^\s/[\]]+$/, 'expected a host name or an IP address');
