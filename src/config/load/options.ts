import { readObject } from './object-layer.ts';
import type { Reading } from './layer.ts';
import type { Plugin } from '../../plugins/plugin.ts';
import type { PolicyInput, PolicyName } from '../schema/policy-schema.ts';
import type { ConfigInput } from '../schema/schema.ts';

type CamelWord<S> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<CamelWord<Tail>>}` : S;

/** The same shape with camel case names, through objects; keys of maps (worker URLs) stay as they are. */
type Camel<T> = T extends readonly (infer Item)[]
  ? readonly (Item | Camel<Item>)[]
  : T extends object
    ? { readonly [Name in keyof T as CamelWord<Name> & string]: Camel<T[Name]> }
    : T;

/** The settings of the YAML file in camel case, e.g. `{ workerUrls: [...], retry: { maxRetries: 3 } }`. */
export type RouterOptions = Omit<Camel<ConfigInput>, 'policy' | 'mode' | 'plugins'> & {
  /** A name, or `{ type: 'cache_aware', cacheThreshold: 0.4 }`. */
  readonly policy?: PolicyName | Camel<PolicyInput> | PluginPolicyOption;
  /** What modules with policies and hooks export, or where they are: `Router.load` loads those. */
  readonly plugins?: readonly (Plugin | string)[];
};

/** A policy that a plugin brings; its parameters in the plugin's own spelling. */
export interface PluginPolicyOption {
  readonly type: string;
  readonly fallback?: PolicyName | Camel<PolicyInput>;
  readonly timeoutMs?: number;
  readonly overrunMs?: number;
  readonly [parameter: string]: unknown;
}

export function camel(segment: string): string {
  return segment.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

export function readOptions(options: RouterOptions): Reading {
  return readObject(options, {
    spell: camel,
    origin: (path) => ({ kind: 'option', option: optionPath(path) }),
  });
}

/** `workerUrls[1]`, `retry.maxRetries`. */
function optionPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else text += (text === '' ? '' : '.') + String(segment);
  }
  return text === '' ? 'options' : text;
}
