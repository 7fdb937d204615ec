import { isDeepStrictEqual } from 'node:util';
import { CONFIG_KEYS, keyNamed, pluginParameterKey, type ConfigKey } from '../schema/keys.ts';
import { shown } from '../load/layer.ts';
import { redactConfig } from '../show/redact.ts';
import { RELOAD_EFFECTS, type ReloadEffect, type ReloadRow } from './reload-effects.ts';
import { policyInForce } from '../schema/plugin-policy-schema.ts';
import type { Config } from '../schema/schema.ts';

/** One key that has another value. */
export interface KeyChange {
  /** As in the YAML file, with dots. */
  readonly key: string;
  readonly effect: ReloadEffect;
  /** What it was and is, as far as it may be shown, and what becomes of the state. */
  readonly detail: string;
}

/** What differs between two configurations, in the order of the schema. */
export function configChanges(givenBefore: Config, givenAfter: Config): KeyChange[] {
  const [before, after] = [inForce(givenBefore), inForce(givenAfter)];
  const safeBefore = redactConfig(before);
  const safeAfter = redactConfig(after);
  return [...CONFIG_KEYS, ...pluginParameters(before, after)].flatMap((key) => {
    if (isDeepStrictEqual(valueAt(before, key.path), valueAt(after, key.path))) return [];
    const [effect, about] = rowOf(key);
    const values = fromTo(key, valueAt(safeBefore, key.path), valueAt(safeAfter, key.path));
    return [{ key: key.name, effect, detail: about === undefined ? values : `${values}; ${about}` }];
  });
}

/** Whether the default policy was written down makes no difference. */
function inForce(config: Config): Config {
  return { ...config, policy: policyInForce(config) };
}

/** What a plugin's policy has of its own, before or after. */
function pluginParameters(...configs: readonly Config[]): ConfigKey[] {
  const keys = configs
    .map(policyInForce)
    .flatMap((policy) => Object.keys(policy).map((name) => pluginParameterKey(name, policy.type)));
  const own = keys.filter(({ name }) => !keyNamed(name));
  return [...new Map(own.map((key) => [key.name, key])).values()];
}

/** `after` with the values of `before` where a key cannot change while the router runs; itself where there is none. */
export function configInForce(before: Config, after: Config): Config {
  const kept = CONFIG_KEYS.filter((key) => {
    if (rowOf(key)[0] !== 'restart_needed') return false;
    return !isDeepStrictEqual(valueAt(before, key.path), valueAt(after, key.path));
  });
  if (kept.length === 0) return after;
  const merged = structuredClone(after);
  for (const { path } of kept) put(merged, path, structuredClone(valueAt(before, path)));
  return merged;
}

/** A key without a row is a mistake of ours, and what nobody has thought about is better left alone. */
function rowOf({ name }: ConfigKey): ReloadRow {
  if (!keyNamed(name)) return ['policy'];
  return RELOAD_EFFECTS[name] ?? ['restart_needed'];
}

function fromTo(key: ConfigKey, before: unknown, after: unknown): string {
  // Equal once redacted: what differs is a secret.
  if (key.secret || isDeepStrictEqual(before, after)) return 'changed';
  return `${shown(before, false)} -> ${shown(after, false)}`;
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const name of path) value = isRecord(value) ? value[name] : undefined;
  return value;
}

function put(root: unknown, path: readonly string[], value: unknown): void {
  const [name, ...rest] = path;
  if (name === undefined || !isRecord(root)) return;
  if (rest.length > 0) put((root[name] ??= {}), rest, value);
  else if (value === undefined) Reflect.deleteProperty(root, name);
  else root[name] = value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
