import * as z from 'zod';
import { keyMeta, type Group, type KeyMeta } from './field.ts';
import { DEFAULT_POLICY, POLICY_ABOUT } from './policy-schema.ts';
import { configSchema } from './schema.ts';

export type KeyKind = 'integer' | 'number' | 'boolean' | 'string' | 'choice' | 'list' | 'map';

/** One setting as every source and every page sees it. */
export interface ConfigKey {
  /** Where it stands in the YAML file, e.g. `['retry', 'max_retries']`. */
  readonly path: readonly string[];
  /** The path joined by dots. */
  readonly name: string;
  readonly kind: KeyKind;
  /** Main spelling first; empty when the key has no flag. */
  readonly flags: readonly string[];
  readonly env: string | undefined;
  readonly group: Group;
  readonly about: string;
  readonly secret: boolean;
  /** Placeholder of the value in the help text. */
  readonly value: string;
  /** "an integer from 0 to 65535": completes the sentence "expected ...". */
  readonly expected: string;
  readonly choices: readonly string[];
  /** Absent when the key may stay unset. */
  readonly default: unknown;
  /** The default as pages show it. */
  readonly defaultText: string;
  /** For the parameters of a policy: the policies that have it. */
  readonly policies: readonly string[] | undefined;
}

/** A node of the JSON schema of the configuration, with the metadata of its key. */
interface SchemaNode extends Partial<KeyMeta> {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly oneOf?: readonly SchemaNode[];
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

export const ENV_PREFIX = 'VLLM_ROUTER_';

/**
 * The JSON schema of the configuration with the metadata of every key in its nodes. Reading it is zod's public way
 * of looking into a schema.
 */
export function annotatedSchema(): SchemaNode {
  // zod types the node loosely; its shape for the few types used here is fixed by the JSON Schema standard.
  return z.toJSONSchema(configSchema, { io: 'input', metadata: keyMeta }) as unknown as SchemaNode;
}

/** Every setting, in the order of the schema. */
export const CONFIG_KEYS: readonly ConfigKey[] = collect(annotatedSchema(), []);

const BY_NAME = new Map(CONFIG_KEYS.map((entry) => [entry.name, entry]));

export function keyNamed(name: string): ConfigKey | undefined {
  return BY_NAME.get(name);
}

export function policyNames(): readonly string[] {
  return BY_NAME.get('policy.type')?.choices ?? [];
}

function collect(node: SchemaNode, path: readonly string[]): ConfigKey[] {
  if (node.oneOf) return collectVariants(node.oneOf, path);
  if (node.properties && !node.group) {
    return Object.entries(node.properties).flatMap(([name, child]) => collect(child, [...path, name]));
  }
  return [makeKey(node, path, undefined)];
}

/** A union tagged by `type`: the tag, then each parameter once with the variants that have it. */
function collectVariants(variants: readonly SchemaNode[], path: readonly string[]): ConfigKey[] {
  const names = variants.map((variant) => variant.properties?.['type']?.const ?? '');
  const owners = new Map<string, { node: SchemaNode; policies: string[] }>();
  variants.forEach((variant, index) => {
    for (const [name, node] of Object.entries(variant.properties ?? {})) {
      if (name === 'type') continue;
      const known = owners.get(name) ?? { node, policies: [] };
      known.policies.push(names[index] ?? '');
      owners.set(name, known);
    }
  });
  const tag: SchemaNode = {
    type: 'string',
    enum: names,
    default: DEFAULT_POLICY,
    group: 'Policy',
    about: POLICY_ABOUT,
    flags: ['--policy'],
  };
  return [
    makeKey(tag, [...path, 'type'], undefined),
    ...[...owners].map(([name, { node, policies }]) => makeKey(node, [...path, name], policies)),
  ];
}

function makeKey(
  node: SchemaNode,
  path: readonly string[],
  policies: readonly string[] | undefined,
): ConfigKey {
  const name = path.join('.');
  if (node.group === undefined || node.about === undefined) throw new Error(`${name} has no metadata`);
  const kind = kindOf(node);
  const choices = node.enum ?? (node.const === undefined ? [] : [node.const]);
  return {
    path,
    name,
    kind,
    flags: node.flags ?? [`--${path.join('-').replaceAll('_', '-')}`],
    env: node.env === false ? undefined : envName(name),
    group: node.group,
    about: node.about,
    secret: node.secret === true,
    value: node.value ?? placeholder(kind, name, choices),
    expected: expectedOf(node, kind, choices),
    choices,
    default: node.default,
    defaultText: node.defaultText ?? shownDefault(node.default),
    policies,
  };
}

/** `policy.type` is set by `VLLM_ROUTER_POLICY`, as by `--policy`. */
function envName(name: string): string {
  const flat = name === 'policy.type' ? 'policy' : name.replaceAll('.', '_');
  return ENV_PREFIX + flat.toUpperCase();
}

function kindOf(node: SchemaNode): KeyKind {
  if (node.enum ?? node.const) return 'choice';
  switch (node.type) {
    case 'integer':
    case 'number':
    case 'boolean':
    case 'string':
      return node.type;
    case 'array':
      return 'list';
    case 'object':
      return 'map';
    default:
      throw new Error(`a key of the type ${node.type} cannot be set from a flag`);
  }
}

function placeholder(kind: KeyKind, name: string, choices: readonly string[]): string {
  if (kind === 'choice') return name === 'policy.type' ? 'NAME' : choices.join('|');
  if (name.endsWith('_secs')) return 'SECS';
  if (name.endsWith('_ms')) return 'MS';
  if (name.endsWith('_bytes') || name.endsWith('_size')) return kind === 'integer' ? 'N' : 'VALUE';
  return kind === 'integer' || kind === 'number' ? 'N' : 'VALUE';
}

function expectedOf(node: SchemaNode, kind: KeyKind, choices: readonly string[]): string {
  switch (kind) {
    case 'choice':
      return choices.length === 1 ? String(choices[0]) : `one of ${choices.join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'list':
      return 'a list of strings';
    case 'map':
      return 'a mapping of strings';
    case 'string':
      return 'a string that is not empty';
    default:
      return `${kind === 'integer' ? 'an integer' : 'a number'}${rangeOf(node)}`;
  }
}

function rangeOf({ minimum, exclusiveMinimum, maximum }: SchemaNode): string {
  // zod writes the limits of safe integers into every integer.
  const top = maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? undefined : String(maximum);
  if (exclusiveMinimum !== undefined) {
    const above = ` above ${exclusiveMinimum}`;
    return top === undefined ? above : `${above} and at most ${top}`;
  }
  if (minimum === undefined || minimum === Number.MIN_SAFE_INTEGER)
    return top === undefined ? '' : ` of at most ${top}`;
  return top === undefined ? ` of at least ${minimum}` : ` from ${minimum} to ${top}`;
}

function shownDefault(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
