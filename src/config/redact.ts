import { CONFIG_KEYS } from './keys.ts';
import type { Config } from './schema.ts';

export const REDACTED = '***';

/** A copy that may be shown: secrets read `***`, the names in a map of secrets stay. */
export function redactConfig(config: Config): Config {
  const copy = structuredClone(config);
  for (const key of CONFIG_KEYS) {
    if (key.secret) redactAt(copy, key.path);
  }
  return copy;
}

function redactAt(root: object, path: readonly string[]): void {
  // Paths come from the schema, so every section on the way is a mapping.
  let section = root as Record<string, unknown>;
  for (const name of path.slice(0, -1)) section = section[name] as Record<string, unknown>;
  const name = path.at(-1) ?? '';
  const value = section[name];
  if (typeof value === 'string') section[name] = REDACTED;
  else if (typeof value === 'object' && value !== null) {
    section[name] = Object.fromEntries(Object.keys(value).map((inner) => [inner, REDACTED]));
  }
}
