import type * as z from 'zod';
import { readClients } from '../settings/clients-settings.ts';
import type { CheckProblem } from '../schema/check-problem.ts';
import { crossChecks } from '../settings/checks.ts';
import { CONFIG_KEYS, keyNamed, type ConfigKey } from '../schema/keys.ts';
import { problemAt, problemLine, shown, type Entry, type Layer, type Origin, type Problem } from './layer.ts';
import { DEFAULT_POLICY } from '../schema/policy-schema.ts';
import { innerIssue } from './inner-issue.ts';
import { mergeLayers } from './merge-layers.ts';
import { didYouMean, nearest } from '../../base/suggest.ts';
import { dereferenced, type Surroundings } from './references.ts';
import type { Group } from '../schema/field.ts';
import { configSchema, type Config } from '../schema/schema.ts';
import { mayBeSecret, namesAt } from '../schema/schema-node.ts';
import { NO_PLUGINS, type KnownPlugins } from '../schema/plugin-policy-schema.ts';
import type { Material } from './material.ts';
import { settingsFromConfig } from '../settings/settings-from-config.ts';
import type { Settings } from '../settings/settings.ts';
import { unknownValueHint } from '../schema/not-offered.ts';
import { readTls } from '../settings/tls-settings.ts';

/** The origin of every key, by its dotted name. Keys that stayed unset have the origin `default`. */
export type Origins = ReadonlyMap<string, Origin>;

export type Resolved =
  | {
      readonly kind: 'ok';
      readonly config: Config;
      readonly settings: Settings;
      readonly material: Material;
      readonly origins: Origins;
      /** Lines worth a look that do not stop the start. */
      readonly notices: readonly string[];
      /** Files beside the configuration's own that it depends on, absolute: certificates, keys, secrets. */
      readonly secretFiles: readonly string[];
      /** The same for another configuration: one that was put together from this one and an earlier one. */
      readonly compile: (config: Config) => Compiled;
    }
  | { readonly kind: 'error'; readonly problems: readonly Problem[] };

export type Compiled =
  | {
      readonly kind: 'ok';
      readonly settings: Settings;
      readonly material: Material;
      readonly notices: readonly string[];
      /** Files that were read, absolute. */
      readonly files: readonly string[];
      /** What cannot be read here, which is no problem where configuration is only looked at. */
      readonly elsewhere: readonly CheckProblem[];
    }
  | { readonly kind: 'error'; readonly problems: readonly CheckProblem[] };

/** Lays the sources over one another, lowest first, and validates the result. */
export function resolveLayers(
  layers: readonly Layer[],
  options: {
    needsWorkers: boolean;
    notices: readonly string[];
    plugins?: KnownPlugins;
    surroundings?: Surroundings;
    /** A source could be read in part only: keys are judged one by one, but not what they say together. */
    partial?: boolean;
  },
): Resolved {
  const { surroundings = PROGRAM } = options;
  const written = mergeLayers(layers);
  const problems: Problem[] = [...written.problems];
  const { merged, missing, files } = withoutReferences(written.entries, surroundings);
  if (!surroundings.lenient) problems.push(...missing);
  const { config, issues, doubtful } = parse(merged);
  problems.push(...issues);
  const compile = compilerFor(options.plugins ?? NO_PLUGINS, surroundings);
  const compiled: Compiled =
    config && options.partial !== true ? compile(config) : { kind: 'error', problems: [] };
  const isBad = problems.length > 0 || compiled.kind === 'error';
  // Where it is not valid anyhow, what is only a remark otherwise is told along with the rest.
  if (isBad && surroundings.lenient) problems.push(...missing);
  for (const { path, message, unreadable } of compiled.kind === 'error'
    ? compiled.problems
    : compiled.elsewhere) {
    const { key } = splitPath(path, merged);
    if (!isBad || (key && doubtful.has(key.group))) continue;
    problems.push({ ...problemFor(path, message, merged), ...(unreadable && { unreadable }) });
  }
  // They may all come through the API, with a state file and to a gateway.
  const somewhere = WORKER_KEYS.some((name) => merged.has(name));
  // With another problem on record they may be missing only because of it.
  if (!isBad && options.needsWorkers && !somewhere && config?.enable_igw === false) {
    problems.push({ at: 'worker_urls', message: 'no workers: give --worker-urls http://host:port' });
  }
  if (!config || problems.length > 0 || compiled.kind === 'error') return { kind: 'error', problems };
  const origins = new Map<string, Origin>();
  for (const key of CONFIG_KEYS) origins.set(key.name, { kind: 'default' });
  for (const [name, entry] of merged) origins.set(name, entry.origin());
  const unresolved = missing.map((problem) => problemLine(problem));
  const notices = [...options.notices, ...written.notices, ...unresolved, ...compiled.notices];
  const { settings, material } = compiled;
  const secretFiles = [...files, ...compiled.files];
  return { kind: 'ok', config, settings, material, origins, notices, secretFiles, compile };
}

/** Keys that say where workers are, or that they come by themselves. */
const WORKER_KEYS = [
  ...['worker_urls', 'workers', 'prefill_urls', 'decode_urls'],
  ...['pd.discovery_address', 'state_file'],
];

/** Checks what the keys say together, reads the files that they name, and compiles it all. */
function compilerFor(plugins: KnownPlugins, { cwd, lenient }: Surroundings): (config: Config) => Compiled {
  return (config) => {
    const { problems: wrong, notices } = crossChecks(config, plugins);
    const tls = readTls(config, cwd);
    const clients = readClients(config, cwd);
    const [elsewhere, bad] = partition(
      [...tls.problems, ...clients.problems],
      ({ unreadable }) => lenient && unreadable,
    );
    if (wrong.length + bad.length > 0 || plugins.incomplete === true)
      return { kind: 'error', problems: [...wrong, ...bad, ...elsewhere] };
    const remarks = elsewhere.map(({ path, message }) => `${path.join('.')}: ${message}`);
    const { listener, workers, redis } = tls;
    const material = { tls: { listener, workers, redis }, clients: clients.settings };
    return {
      kind: 'ok',
      settings: settingsFromConfig(config, plugins, material.tls, material.clients),
      material,
      notices: [...notices, ...tls.notices, ...clients.notices, ...remarks],
      files: [...tls.files, ...clients.files],
      elsewhere,
    };
  };
}

/**
 * What the schema makes of the entries. Those that it refuses are left out, so that the others can be looked at together;
 * what is said of the groups that they belong to is in doubt then.
 */
function parse(entries: ReadonlyMap<string, Entry>): {
  readonly config: Config | undefined;
  readonly issues: readonly Problem[];
  readonly doubtful: ReadonlySet<Group>;
} {
  const parsed = configSchema.safeParse(nested(entries));
  if (parsed.success) return { config: parsed.data, issues: [], doubtful: new Set() };
  const wrong = parsed.error.issues.flatMap((issue) => {
    const { key } = splitPath(innerIssue(issue).path, entries);
    return key ? [key] : [];
  });
  const names = new Set(wrong.map(({ name }) => name));
  const rest = new Map([...entries].filter(([name]) => !names.has(name)));
  return {
    config: configSchema.safeParse(nested(rest)).data,
    issues: parsed.error.issues.map((issue) => problemOfIssue(issue, entries)),
    doubtful: new Set(wrong.map(({ group }) => group)),
  };
}

/** Options of the programmatic API say what they mean: there is nothing to look up. */
const PROGRAM: Surroundings = { variables: undefined, cwd: process.cwd(), lenient: false };

/** The same entries with what they refer to in the place of references. */
function withoutReferences(
  written: ReadonlyMap<string, Entry>,
  surroundings: Surroundings,
): { merged: ReadonlyMap<string, Entry>; missing: readonly Problem[]; files: readonly string[] } {
  const merged = new Map<string, Entry>();
  const missing: Problem[] = [];
  const files: string[] = [];
  for (const [name, entry] of written) {
    const found = dereferenced(entry.key.node, entry.value, surroundings);
    merged.set(name, { ...entry, value: found.value });
    files.push(...found.files);
    for (const { inside, message, unreadable } of found.problems) {
      const problem = problemAt(entry.origin(inside), nameWith(entry.key, inside), message);
      missing.push({ ...problem, ...(unreadable && { unreadable }) });
    }
  }
  return { merged, missing, files };
}

function partition<T>(items: readonly T[], test: (item: T) => unknown): [T[], T[]] {
  return [items.filter((item) => test(item)), items.filter((item) => !test(item))];
}

function nested(entries: ReadonlyMap<string, Entry>): Record<string, unknown> {
  const root: Record<string, unknown> = {};
  for (const { key, value } of entries.values()) place(root, key.path, value);
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

function problemOfIssue(given: z.core.$ZodIssue, entries: ReadonlyMap<string, Entry>): Problem {
  const inner = innerIssue(given);
  const { issue } = inner;
  const { key, inside } = splitPath(inner.path, entries);
  if (!key) return { at: inner.path.join('.'), message: issue.message };
  const value = valueInside(entries.get(key.name)?.value, inside);
  if (key.structured && (inside.length > 0 || issue.code === 'unrecognized_keys')) {
    const got = inner.quotes ? `, got ${shown(value, mayBeSecret(key.node, inside, value))}` : '';
    return problemFor(inner.path, inner.message + got + insideHint(issue, key, inside, value), entries);
  }
  if (issue.code === 'invalid_key') {
    return problemFor(
      inner.path,
      `${issue.issues[0]?.message ?? 'a bad key'}, got ${shown(inside.at(-1), key.secret)}`,
      entries,
    );
  }
  return problemFor(
    inner.path,
    `${expectation(issue, key, inside, value)}, got ${shown(value, mayBeSecret(key.node, inside, value))}${hintFor(key, value)}`,
    entries,
  );
}

/** What one unknown key, or a value that is no choice, was probably meant to be. */
function insideHint(
  issue: z.core.$ZodIssue,
  key: ConfigKey,
  inside: readonly PropertyKey[],
  value: unknown,
): string {
  if (issue.code === 'invalid_value' && typeof value === 'string')
    return unknownValueHint(value, issue.values.map(String));
  if (issue.code !== 'unrecognized_keys' || issue.keys.length !== 1) return '';
  // A name that another variant has is its own nearest.
  const [name = ''] = issue.keys;
  const near = nearest(name, namesAt(key.node, inside));
  return near === name ? '' : didYouMean(near);
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
  return unknownValueHint(value, key.choices);
}

function problemFor(
  path: readonly PropertyKey[],
  message: string,
  entries: ReadonlyMap<string, Entry>,
): Problem {
  const { key, inside } = splitPath(path, entries);
  const entry = key && entries.get(key.name);
  if (!entry) return { at: path.join('.'), message };
  return problemAt(entry.origin(inside), nameWith(entry.key, inside), message);
}

/** The longest start of a path that is a key, and the rest. */
function splitPath(
  path: readonly PropertyKey[],
  entries: ReadonlyMap<string, Entry>,
): {
  key: ConfigKey | undefined;
  inside: readonly PropertyKey[];
} {
  for (let length = path.length; length > 0; length--) {
    const name = path.slice(0, length).join('.');
    const key = keyNamed(name) ?? entries.get(name)?.key;
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

/** In a plain mapping a name may be a secret that was written in the wrong place. */
function nameWith({ name, structured }: ConfigKey, inside: readonly PropertyKey[]): string {
  const steps = inside.map((segment) => {
    if (typeof segment === 'number') return `[${segment}]`;
    return structured ? `.${String(segment)}` : '';
  });
  return name + steps.join('');
}
