/**
 * The last guard before a line is written: credentials and prompts do not belong in logs, and no call site passes them on
 * purpose, but an error's cause or a dumped header map may. Numbers and booleans always stay: `prompt_tokens: 12` is
 * no secret, and neither is `body: 2048`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

const SECRET = '[redacted]';
const CONTENT = '[omitted]';

/** Compared without case, hyphens and underscores. */
const SECRET_NAMES = new Set([
  'authorization',
  'proxyauthorization',
  'cookie',
  'setcookie',
  'routerkey',
  'xrouterkey',
  'adminkey',
  'xadminkey',
  'workerapikeys',
  'credentials',
  'bearer',
]);
const SECRET_ENDINGS = ['apikey', 'password', 'passwd', 'secret', 'token'];
const CONTENT_NAMES = new Set([
  'prompt',
  'messages',
  'input',
  'content',
  'text',
  'body',
  'delta',
  'choices',
  'documents',
  'instructions',
]);

export type Verdict = 'plain' | 'secret' | 'content';

/** Field names are mostly literals of this program; foreign ones (a dumped header map) must not pile up. */
const MAX_VERDICTS = 1024;
const verdicts = new Map<string, Verdict>();

const MAX_DEPTH = 5;
const MAX_ITEMS = 100;

/** The fields as they may be written. Returns the very object when there is nothing to change. */
export function cleanFields(fields: LogFields, depth = 0): LogFields {
  let copy: Record<string, unknown> | undefined;
  for (const key in fields) {
    const value = fields[key];
    const clean = cleanField(key, value, depth);
    if (clean !== value) (copy ??= { ...fields })[key] = clean;
  }
  return copy ?? fields;
}

/**
 * Takes credentials out of free text: `https://user:secret@host` and `Bearer abc`. What follows the `@` tells a password
 * from a port with a data-parallel rank, `http://host:8000@1`.
 */
export function cleanText(text: string): string {
  // The tests are plain substring searches: nearly every string passes them untouched.
  let clean = text;
  if (clean.includes('://') && clean.includes('@'))
    clean = clean.replace(URL_USER, (user) => (user.includes(':', 1) ? `://${SECRET}@` : user));
  if (clean.includes('earer ')) clean = clean.replace(BEARER, `$1 ${SECRET}`);
  return clean;
}

/** One run up to the `@`: with the colon of the password in it, a text of colons would be read once for each of them. */
const URL_USER = /:\/\/[^\s/?#@]*@(?!\d+(?![\w.:-]))/g;
const BEARER = /\b(bearer) +[^\s"',;]+/gi;

export function cleanField(key: string, value: unknown, depth: number): unknown {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined || value === null)
    return value;
  const verdict = verdictOf(key);
  if (verdict === 'secret') return SECRET;
  if (verdict === 'content') return CONTENT;
  return cleanValue(value, depth);
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '[deep]';
  if (value instanceof Error) return errorFields(value, depth + 1);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return CONTENT;
  if (Array.isArray(value)) return cleanItems(value, depth + 1);
  if (value instanceof URL) return cleanText(value.href);
  if (value instanceof Map) return cleanFields(Object.fromEntries(value) as LogFields, depth + 1);
  if (value instanceof Set) return cleanItems([...value], depth + 1);
  // Any other object is read by its enumerable keys, as JSON would.
  return cleanFields(value as LogFields, depth + 1);
}

function cleanItems(items: readonly unknown[], depth: number): unknown[] {
  const clean = items.slice(0, MAX_ITEMS).map((item) => cleanValue(item, depth));
  if (items.length > MAX_ITEMS) clean.push(`[${String(items.length - MAX_ITEMS)} more]`);
  return clean;
}

/** Only these fields: errors of HTTP clients carry whole responses in enumerable properties. */
function errorFields(error: Error, depth: number): LogFields {
  const fields: Record<string, unknown> = { type: error.name, message: cleanText(error.message) };
  if ('code' in error && (typeof error.code === 'string' || typeof error.code === 'number'))
    fields['code'] = error.code;
  if (error.stack !== undefined) fields['stack'] = cleanText(error.stack);
  if (error.cause !== undefined) fields['cause'] = cleanValue(error.cause, depth);
  if (error instanceof AggregateError) fields['errors'] = cleanValue(error.errors, depth);
  return fields;
}

export function verdictOf(key: string): Verdict {
  const known = verdicts.get(key);
  if (known !== undefined) return known;
  const name = key.toLowerCase().replaceAll(/[-_]/g, '');
  let verdict: Verdict = 'plain';
  if (SECRET_NAMES.has(name) || SECRET_ENDINGS.some((ending) => name.endsWith(ending))) verdict = 'secret';
  else if (CONTENT_NAMES.has(name)) verdict = 'content';
  if (verdicts.size >= MAX_VERDICTS) verdicts.clear();
  verdicts.set(key, verdict);
  return verdict;
}
