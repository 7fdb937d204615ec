import type { KeyMeta } from '../schema/field.ts';
import { annotatedSchema, policyNames } from '../schema/keys.ts';
import { POLICY_ABOUT } from '../schema/policy-schema.ts';

/** Metadata that is no JSON Schema keyword. */
const OWN_WORDS = [
  'group',
  'about',
  'flags',
  'switches',
  'env',
  'secret',
  'credentials',
  'value',
  'defaultText',
] as const satisfies readonly (keyof KeyMeta)[];

/** The JSON schema (draft 2020-12) of the YAML file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...schema } = publicNode({ ...annotatedSchema() });
  const properties = schema['properties'];
  if (!isNode(properties) || !isNode(properties['policy'])) throw new Error('the schema has no policy');
  const { default: policyDefault, ...policy } = properties['policy'];
  properties['policy'] = {
    description: POLICY_ABOUT,
    default: policyDefault,
    anyOf: [{ type: 'string', enum: policyNames() }, policy],
  };
  return { $schema, title: 'vllm-router configuration', ...schema };
}

type Node = Record<string, unknown>;

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function publicNode(node: Node): Node {
  const copy: Node = {};
  if (typeof node['about'] === 'string') copy['description'] = node['about'];
  for (const [name, value] of Object.entries(node)) {
    if (OWN_WORDS.some((word) => word === name)) continue;
    // The limits of safe integers, which no file comes near.
    if (typeof value === 'number' && Math.abs(value) === Number.MAX_SAFE_INTEGER) continue;
    // Such a default differs from machine to machine, and the schema must not.
    if (name === 'default' && node['defaultText'] !== undefined) continue;
    copy[name] = name === 'properties' && isNode(value) ? publicProperties(value) : publicValue(value);
  }
  return copy;
}

/** The names in here are keys of the configuration, not words of the schema. */
function publicProperties(properties: Node): Node {
  return Object.fromEntries(Object.entries(properties).map(([name, node]) => [name, publicValue(node)]));
}

function publicValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(publicValue);
  return isNode(value) ? publicNode(value) : value;
}
