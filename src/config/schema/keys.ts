import * as z from 'zod';
import { keyMeta, type Group } from './field.ts';
import { PLUGIN_POLICIES, PLUGIN_POLICY_KEYS } from './plugin-policy-schema.ts';
import { DEFAULT_POLICY, POLICY_ABOUT, policySchema } from './policy-schema.ts';
import { configSchema } from './schema.ts';
import { DECODE_URL_NODE, PREFILL_URL_NODE } from './stage-urls-schema.ts';
import { isStructured, takesText, type SchemaNode } from './schema-node.ts';

/** `policy`: a name, or a mapping with `type` and parameters. */
export type KeyKind = 'integer' | 'number' | 'boolean' | 'string' | 'choice' | 'list' | 'map' | 'policy';

/** One setting as every source and every page sees it. */
export interface ConfigKey {
  /** Where it stands in the YAML file, e.g. `['retry', 'max_retries']`. */
  readonly path: readonly string[];
  /** The path joined by dots. */
  readonly name: string;
  readonly kind: KeyKind;
  /** Main spelling first; empty when the key has no flag. */
  readonly flags: readonly string[];
  /** Flags without a value, with what each sets the key to. */
  readonly switches: Readonly<Record<string, string>>;
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
  /** A list or mapping whose items are mappings: it can be given in a file only. */
  readonly structured: boolean;
  readonly node: SchemaNode;
}

export const ENV_PREFIX = 'VLLM_ROUTER_';

/**
 * The JSON schema of the configuration with the metadata of every key in its nodes. Reading it is zod's public way
 * of looking into a schema.
 */
export function annotatedSchema(): SchemaNode {
  const root = nodeOf(configSchema);
  const { mode, ...keys } = root.properties ?? {};
  return {
    ...root,
    properties: {
      mode: { ...mode, properties: withForms(mode?.properties) },
      ...withForms(keys),
      policy: policyNode(root.properties?.['policy']),
    },
  };
}

/** zod knows no more of these keys than that they are read in several forms. */
function withForms(keys: SchemaNode['properties'] = {}): Record<string, SchemaNode> {
  const forms: Readonly<Record<string, Partial<SchemaNode>>> = {
    prefill_urls: { items: PREFILL_URL_NODE },
    decode_urls: { items: DECODE_URL_NODE },
    prefill_policy: stagePolicyForms(),
    decode_policy: stagePolicyForms(),
  };
  return Object.fromEntries(Object.entries(keys).map(([name, node]) => [name, { ...node, ...forms[name] }]));
}

/** A name, a built-in policy with its parameters, or one that a plugin may have. */
function stagePolicyForms(): Partial<SchemaNode> {
  const builtIn = nodeOf(policySchema).oneOf ?? [];
  return { anyOf: [{ type: 'string' }, ...builtIn, OPEN_POLICY] };
}

const OPEN_POLICY = {
  type: 'object',
  properties: { type: { type: 'string' } },
  required: ['type'],
  additionalProperties: true,
};

function nodeOf(schema: z.ZodType): SchemaNode {
  // zod types the node loosely; its shape for the few types used here is fixed by the JSON Schema standard.
  const node = z.toJSONSchema(schema, { io: 'input', metadata: keyMeta });
  return node as unknown as SchemaNode;
}

/** The built-in policies, and the open form that the policies of plugins have. */
function policyNode(node: SchemaNode | undefined): SchemaNode {
  const builtIn = nodeOf(policySchema).oneOf ?? [];
  const names = builtIn.flatMap((variant) => variant.properties?.['type']?.const ?? []);
  const { properties } = nodeOf(PLUGIN_POLICY_KEYS);
  const open = {
    type: 'object',
    properties: {
      type: { type: 'string', not: { enum: names } },
      ...properties,
      fallback: { ...properties?.['fallback'], anyOf: [{ type: 'string', enum: names }, { oneOf: builtIn }] },
    },
    required: ['type'],
    additionalProperties: true,
  };
  return { ...node, default: { type: DEFAULT_POLICY }, oneOf: [...builtIn, open] };
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
  const named = (variant: SchemaNode): string => variant.properties?.['type']?.const ?? PLUGIN_POLICIES;
  const names = variants.map(named).filter((name) => name !== PLUGIN_POLICIES);
  const owners = new Map<string, { node: SchemaNode; policies: string[] }>();
  for (const variant of variants) {
    for (const [name, node] of Object.entries(variant.properties ?? {})) {
      if (name === 'type') continue;
      const known = owners.get(name) ?? { node, policies: [] };
      known.policies.push(named(variant));
      owners.set(name, known);
    }
  }
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
    ...[...owners].flatMap(([name, { node, policies }]) => {
      if (node.properties && !node.group)
        return Object.entries(node.properties).map(([part, child]) =>
          makeKey(child, [...path, name, part], policies),
        );
      // A policy inside a policy: by its name, or as a mapping that a file alone can hold.
      if (node.anyOf)
        return { ...makeKey({ ...node, enum: names }, [...path, name], policies), structured: true };
      return makeKey(node, [...path, name], policies);
    }),
  ];
}

/** A parameter of a plugin's policy: known by its name alone, and judged by the plugin. */
export function pluginParameterKey(name: string, policy: string): ConfigKey {
  const about = 'A parameter of a plugin.';
  const node: SchemaNode = {
    group: 'Policy',
    about,
    flags: [],
    env: false,
    type: 'string',
    defaultText: 'none',
  };
  return makeKey(node, ['policy', name], [policy]);
}

function makeKey(
  node: SchemaNode,
  path: readonly string[],
  policies: readonly string[] | undefined,
): ConfigKey {
  const name = path.join('.');
  if (node.group === undefined || node.about === undefined) throw new Error(`${name} has no metadata`);
  const kind = kindOf(node);
  const structured = isStructured(node) || kind === 'policy' || node.properties !== undefined;
  if (!takesText(node) && (node.flags?.length !== 0 || node.env !== false))
    throw new Error(`${name} has no spelling as a flag or variable: give it flags: [] and env: false`);
  const choices = choicesOf(node);
  return {
    path,
    name,
    kind,
    flags: node.flags ?? [`--${path.join('-').replaceAll('_', '-')}`],
    switches: node.switches ?? {},
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
    structured,
    node,
  };
}

/** `policy.type` is set by `VLLM_ROUTER_POLICY`, as by `--policy`. */
function envName(name: string): string {
  const flat = name === 'policy.type' ? 'policy' : name.replaceAll('.', '_');
  return ENV_PREFIX + flat.toUpperCase();
}

/** The words that may be given; beside them numbers, where the key is one of those. */
function choicesOf(node: SchemaNode): readonly string[] {
  if (node.enum) return node.enum;
  if (node.const !== undefined) return [node.const];
  return (node.anyOf ?? []).flatMap(({ const: word }) => word ?? []);
}

/** The part of a key that is a number or a word which tells what number is. */
function numberIn(node: SchemaNode): SchemaNode {
  return node.anyOf?.find(({ type }) => type === 'integer') ?? node;
}

function kindOf(key: SchemaNode): KeyKind {
  if (key.enum ?? key.const) return 'choice';
  if (isPolicy(key)) return 'policy';
  const node = numberIn(key);
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

/** It may be a name as well as a mapping. */
function isPolicy({ anyOf = [] }: SchemaNode): boolean {
  return anyOf.some(({ type }) => type === 'string') && anyOf.some(({ type }) => type === 'object');
}

function placeholder(kind: KeyKind, name: string, choices: readonly string[]): string {
  if (kind === 'choice') return name === 'policy.type' ? 'NAME' : choices.join('|');
  if (name.endsWith('_secs')) return 'SECS';
  if (name.endsWith('_ms')) return 'MS';
  if (name.endsWith('_bytes') || name.endsWith('_size')) return kind === 'integer' ? 'N' : 'VALUE';
  return kind === 'integer' || kind === 'number' ? ['N', ...choices].join('|') : 'VALUE';
}

function expectedOf(node: SchemaNode, kind: KeyKind, choices: readonly string[]): string {
  switch (kind) {
    case 'choice':
      return choices.length === 1 ? String(choices[0]) : `one of ${choices.join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'list':
      return `a list of ${!isStructured(node) ? 'strings' : takesText(node) ? 'strings or mappings' : 'mappings'}`;
    case 'map':
      return `a mapping of ${isStructured(node) ? 'names to settings' : 'strings'}`;
    case 'policy':
      return 'a policy: its name, or a mapping with type';
    case 'string':
      return 'a string that is not empty';
    default:
      return [`${kind === 'integer' ? 'an integer' : 'a number'}${rangeOf(numberIn(node))}`, ...choices].join(
        ' or ',
      );
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
  if (value === undefined) return 'none';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
