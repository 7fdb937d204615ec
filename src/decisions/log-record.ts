import { decodeBlockHashes } from '../routing/recorded-blocks.ts';

/** A record as replay needs it, of any schema version. Durations in ms; undefined = not recorded. */
export interface LogRecord {
  readonly version: 1 | 2 | 3 | 4 | 5;
  /** When the request came, ms since 1970. */
  readonly arrivedAt: number;
  readonly requestId: string | undefined;
  readonly route: string;
  readonly status: number;
  readonly outcome: string | undefined;
  readonly stream: boolean;
  readonly model: string | undefined;
  readonly method: string | undefined;
  readonly policy: string | undefined;
  readonly worker: string | undefined;
  readonly reason: string | undefined;
  readonly durationMs: number;
  /** To the end; before version 4 only what `durationMs` says is known. */
  readonly totalMs: number;
  readonly ttftMs: number | undefined;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  readonly predictedCachedTokens: number | undefined;
  readonly actualCachedTokens: number | undefined;
  /** Whether one worker computed its prompt and another one answered. */
  readonly split: boolean;
  readonly attempts: number;
  /** From the dispatch to the worker that answered, to the end of its answer. */
  readonly lastAttemptMs: number | undefined;
  /** Two words per block, see `decodeBlockHashes`. */
  readonly blockHashes: Uint32Array | undefined;
  readonly blockTokens: number | undefined;
  readonly requestText: string | undefined;
  /** Whoever else could have been chosen, as far as the record lists them. */
  readonly candidates: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

const NEWEST = 5;

class Unusable extends Error {}

/** Reads one line; says what is wrong with it where it cannot be used. */
export function parseRecord(line: string): LogRecord | string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'not valid JSON';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not a JSON object';
  try {
    return recordOf(value as Fields);
  } catch (error) {
    if (error instanceof Unusable) return error.message;
    throw error;
  }
}

function recordOf(fields: Fields): LogRecord {
  const version = versionOf(fields);
  const durationMs = required(fields, 'duration_ms', number);
  const totalMs = number(fields, 'total_ms') ?? durationMs;
  const stamp = timestamp(fields);
  return {
    version,
    // Up to version 3 a record was stamped when it was made, after the answer's head.
    arrivedAt: version < 4 ? stamp - durationMs : stamp,
    requestId: text(fields, 'request_id'),
    route: required(fields, 'route', text),
    status: required(fields, 'status', number),
    outcome: text(fields, 'outcome'),
    stream: fields['stream'] === true,
    model: text(fields, 'model'),
    method: text(fields, 'method'),
    policy: text(fields, 'policy'),
    worker: text(fields, 'worker'),
    reason: text(fields, 'reason'),
    durationMs,
    totalMs,
    ttftMs: number(fields, 'ttft_ms'),
    promptTokens: number(fields, 'prompt_tokens'),
    completionTokens: number(fields, 'completion_tokens'),
    predictedCachedTokens: number(fields, 'predicted_cached_tokens'),
    actualCachedTokens: number(fields, 'actual_cached_tokens'),
    split: isSplit(fields),
    ...attemptsOf(fields),
    ...blocksOf(fields),
    requestText: text(fields, 'request_text'),
    candidates: candidatesOf(fields),
  };
}

function versionOf(fields: Fields): LogRecord['version'] {
  const { schema_version: version = 1 } = fields;
  if (version === 1 || version === 2 || version === 3 || version === 4 || version === 5) return version;
  if (typeof version === 'number' && version > NEWEST)
    throw new Unusable(`schema version ${String(version)} is newer than what is known here (${NEWEST})`);
  throw new Unusable(`no schema version: ${JSON.stringify(version)}`);
}

function timestamp(fields: Fields): number {
  const stamp = Date.parse(text(fields, 'timestamp') ?? '');
  if (Number.isNaN(stamp)) throw new Unusable('timestamp is not a time');
  return stamp;
}

function attemptsOf({ attempts }: Fields): Pick<LogRecord, 'attempts' | 'lastAttemptMs'> {
  if (!Array.isArray(attempts)) return { attempts: 0, lastAttemptMs: undefined };
  const last: unknown = attempts.at(-1);
  const lastAttemptMs =
    typeof last === 'object' && last !== null ? number(last as Fields, 'duration_ms') : undefined;
  return { attempts: attempts.length, lastAttemptMs };
}

function isSplit({ pd }: Fields): boolean {
  return typeof pd === 'object' && pd !== null && 'split' in pd && pd.split === true;
}

function candidatesOf({ candidates }: Fields): readonly string[] {
  if (!Array.isArray(candidates)) return [];
  return candidates.flatMap((one: unknown) =>
    typeof one === 'object' && one !== null ? (text(one as Fields, 'worker') ?? []) : [],
  );
}

function blocksOf(fields: Fields): Pick<LogRecord, 'blockHashes' | 'blockTokens'> {
  const encoded = text(fields, 'block_hashes');
  if (encoded === undefined) return { blockHashes: undefined, blockTokens: undefined };
  const blockHashes = decodeBlockHashes(encoded);
  if (blockHashes === undefined) throw new Unusable('block_hashes is not what a router writes');
  const blockTokens = required(fields, 'block_tokens', number);
  if (blockTokens === 0) throw new Unusable('block_tokens is 0');
  return { blockHashes, blockTokens };
}

function required<T>(fields: Fields, name: string, read: (fields: Fields, name: string) => T | undefined): T {
  const value = read(fields, name);
  if (value === undefined) throw new Unusable(`${name} is missing: not a decision record`);
  return value;
}

/** Nulls count as absent, as other writers put them. */
function number(fields: Fields, name: string): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new Unusable(`${name} is not a number from 0 up`);
}

function text(fields: Fields, name: string): string | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'string') return value;
  throw new Unusable(`${name} is not a text`);
}
