import type * as z from 'zod';
import { crossChecks } from './checks.ts';
import { CONFIG_KEYS, keyNamed, policyNames, type ConfigKey } from './keys.ts';
import { problemAt, shown, type Entry, type Layer, type Origin, type Problem } from './layer.ts';
import { DEFAULT_POLICY } from './policy-schema.ts';
import { configSchema, type Config } from './schema.ts';
import { settingsFromConfig } from './settings-from-config.ts';
import type { Settings } from './settings.ts';
import { didYouMean, nearest } from './suggest.ts';

/** The origin of every key, by its dotted name. Keys that stayed unset have the origin `default`. */
export type Origins = ReadonlyMap<string, Origin>;

export type Resolved =
  | {
      readonly kind: 'ok';
      readonly config: Config;
      readonly settings: Settings;
      readonly origins: Origins;
      /** Lines worth a look that do not stop the start. */
      readonly notices: readonly string[];
    }
  | { readonly kind: 'error'; readonly problems: readonly Problem[] };

/** Lays the sources over one another, lowest first, and validates the result. */
export function resolveLayers(
  layers: readonly Layer[],
  options: { needsWorkers: boolean; notices: readonly string[] },
): Resolved {
  const problems: Problem[] = [];
  const merged = mergeLayers(layers, problems);
  if (problems.length > 0) return { kind: 'error', problems };
  const parsed = configSchema.safeParse(nested(merged));
  if (!parsed.success) {
    return { kind: 'error', problems: parsed.error.issues.map((issue) => problemOfIssue(issue, merged)) };
  }
  const config = parsed.data;
  const checked = crossChecks(config);
  for (const { path, message } of checked.problems) problems.push(problemFor(path, message, merged));
  // With a state file they may all come through the API.
  if (options.needsWorkers && !merged.has('worker_urls') && !merged.has('state_file')) {
    problems.push({ at: 'worker_urls', message: 'no workers: give --worker-urls http://host:port' });
  }
  if (problems.length > 0) return { kind: 'error', problems };
  const origins = new Map<string, Origin>();
  for (const key of CONFIG_KEYS) origins.set(key.name, merged.get(key.name)?.origin() ?? { kind: 'default' });
  const notices = [...options.notices, ...checked.notices];
  return { kind: 'ok', config, settings: settingsFromConfig(config), origins, notices };
}

/**
 * Values of higher sources replace those of lower ones, lists and maps as a whole. A source that names another
 * policy than the sources below it drops their parameters; a parameter that the policy does not have is a problem.
 */
function mergeLayers(layers: readonly Layer[], problems: Problem[]): Map<string, Entry> {
  const merged = new Map<string, Entry>();
  let policy: unknown = DEFAULT_POLICY;
  for (const layer of layers) {
    const named = layer.get('policy.type')?.value;
    if (named !== undefined && named !== policy) {
      policy = named;
      for (const [name, entry] of merged) if (entry.key.policies) merged.delete(name);
    }
    for (const [name, entry] of layer) {
      merged.set(name, entry);
      const owners = entry.key.policies;
      if (!owners || owners.some((owner) => owner === policy)) continue;
      // A misspelt policy is reported by itself; its parameters cannot be judged.
      if (typeof policy !== 'string' || !policyNames().includes(policy)) continue;
      const message = `the policy ${policy} has no such parameter (${owners.join(' and ')} ${owners.length > 1 ? 'have' : 'has'} it)`;
      problems.push(problemAt(entry.origin(), name, message));
    }
  }
  return merged;
}

function nested(entries: ReadonlyMap<string, Entry>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const { key, value } of entries.values()) place(root, key.path, value);
  // Parameters without a name are those of the default policy.
  const policy = root['policy'];
  if (isRecord(policy)) policy['type'] ??= DEFAULT_POLICY;
  return root;
}

function place(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let section = root;
  for (const [depth, name] of path.entries()) {
    if (depth === path.length - 1) section[name] = value;
    else {
      const inner = section[name];
      section = isRecord(inner) ? inner : (section[name] = {});
    }
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function problemOfIssue(issue: z.core.$ZodIssue, entries: ReadonlyMap<string, Entry>): Problem {
  const { key, inside } = splitPath(issue.path);
  if (!key) return { at: issue.path.join('.'), message: issue.message };
  const value = valueInside(entries.get(key.name)?.value, inside);
  if (issue.code === 'invalid_key') {
    return problemFor(
      issue.path,
      `${issue.issues[0]?.message ?? 'a bad key'}, got ${shown(inside.at(-1), key.secret)}`,
      entries,
    );
  }
  return problemFor(
    issue.path,
    `${expectation(issue, key, inside, value)}, got ${shown(value, key.secret)}${hintFor(key, value)}`,
    entries,
  );
}

function expectation(
  issue: z.core.$ZodIssue,
  key: ConfigKey,
  inside: readonly PropertyKey[],
  value: unknown,
): string {
  // Patterns and refinements of the schema carry their own words; they judge only values of the right type.
  if (issue.message.startsWith('expected ')) return issue.message;
  if (inside.length > 0) return `expected ${key.kind === 'map' ? 'a string that is not empty' : 'a string'}`;
  const quote = key.kind === 'string' && typeof value === 'number' ? ' (put it in quotes)' : '';
  return `expected ${key.expected}${quote}`;
}

function hintFor(key: ConfigKey, value: unknown): string {
  if (key.kind !== 'choice' || typeof value !== 'string') return '';
  return didYouMean(nearest(value, key.choices));
}

function problemFor(
  path: readonly PropertyKey[],
  message: string,
  entries: ReadonlyMap<string, Entry>,
): Problem {
  const { key, inside } = splitPath(path);
  const entry = key && entries.get(key.name);
  if (!entry) return { at: path.join('.'), message };
  return problemAt(entry.origin(inside), nameWith(entry.key.name, inside), message);
}

/** The longest start of a path that is a key, and the rest. */
function splitPath(path: readonly PropertyKey[]): {
  key: ConfigKey | undefined;
  inside: readonly PropertyKey[];
} {
  for (let length = path.length; length > 0; length--) {
    const key = keyNamed(path.slice(0, length).join('.'));
    if (key) return { key, inside: path.slice(length) };
  }
  return { key: undefined, inside: [] };
}

function valueInside(value: unknown, inside: readonly PropertyKey[]): unknown {
  let current = value;
  for (const segment of inside) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<PropertyKey, unknown>)[segment];
  }
  return current;
}

function nameWith(name: string, inside: readonly PropertyKey[]): string {
  return name + inside.map((segment) => (typeof segment === 'number' ? `[${segment}]` : '')).join('');
}
