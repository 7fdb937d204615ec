import type { KeyMeta } from './field.ts';

/** A node of the JSON schema of the configuration, with the metadata of its key. */
export interface SchemaNode extends Partial<KeyMeta> {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  /** Of a mapping with names of its own, the node of its values. */
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  /** Of a list of fixed places, one for each of them. */
  readonly prefixItems?: readonly SchemaNode[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly required?: readonly string[];
  readonly oneOf?: readonly SchemaNode[];
  readonly anyOf?: readonly SchemaNode[];
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

/** The node of each item of a list or of each value of a mapping with names of its own. */
export function itemOf(node: SchemaNode): SchemaNode | undefined {
  if (node.items) return node.items;
  return typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
}

/** Whether it is a mapping with names that are given, or the items of a list or mapping are more than plain texts: then it can be given in a file only. */
export function isStructured(node: SchemaNode): boolean {
  if (node.properties) return true;
  const item = itemOf(node);
  return item !== undefined && item.type !== 'string';
}

/** Whether all that stands in it can also be a plain text, as flags and variables have it. */
export function takesText(node: SchemaNode): boolean {
  return !isStructured(node) || variantsOf(itemOf(node) ?? {}).some(({ type }) => type === 'string');
}

/** Whether a secret may stand at `path` or below it; a path that the schema does not know may hold anything. */
export function mayHoldSecret(node: SchemaNode, path: readonly PropertyKey[] = []): boolean {
  if (node.secret || node.credentials) return true;
  const [segment, ...rest] = path;
  if (segment === undefined) return childrenOf(node).some((child) => mayHoldSecret(child));
  const next = childrenAt(node, segment);
  if (next.length === 0) return mayHoldSecret(node);
  return next.some((child) => mayHoldSecret(child, rest));
}

/** Whether `value` at `path` may be a secret or hold one. A text is none where a name may stand instead of a mapping that holds some. */
export function mayBeSecret(node: SchemaNode, path: readonly PropertyKey[], value: unknown): boolean {
  return mayHoldSecret(node, path) && !(typeof value === 'string' && takesName(node, path));
}

function takesName(node: SchemaNode, path: readonly PropertyKey[]): boolean {
  const [segment, ...rest] = path;
  if (segment !== undefined) {
    const next = childrenAt(node, segment);
    return next.length > 0 && next.every((child) => takesName(child, rest));
  }
  return !isSecretText(node) && [node, ...variantsOf(node)].some(({ type }) => type === 'string');
}

/** The names that may stand in the mapping at `path`, whatever variant it is. */
export function namesAt(node: SchemaNode, path: readonly PropertyKey[]): readonly string[] {
  const [segment, ...rest] = path;
  if (segment !== undefined) return childrenAt(node, segment).flatMap((child) => namesAt(child, rest));
  return [
    ...Object.keys(node.properties ?? {}),
    ...variantsOf(node).flatMap((variant) => namesAt(variant, [])),
  ];
}

/** A copy of `value` with `mask` in the place of every secret; the names in a mapping of secrets stay. */
export function redacted(node: SchemaNode, value: unknown, mask: string): unknown {
  if (value === undefined || value === null) return value;
  if (node.secret) return isMapping(value) ? mapValues(value, () => mask) : mask;
  if (node.credentials) return typeof value === 'string' ? withoutCredentials(value, mask) : mask;
  if (!mayHoldSecret(node)) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => redactedIn(node, 0, item, mask));
  return isMapping(value) ? mapValues(value, (inner, name) => redactedIn(node, name, inner, mask)) : value;
}

function redactedIn(node: SchemaNode, segment: PropertyKey, value: unknown, mask: string): unknown {
  return childrenAt(node, segment).reduce((safe, child) => redacted(child, safe, mask), value);
}

/** A copy of `value` with every text that is a secret, or a URL that may hold one, replaced; `path` leads to the text. */
export function mapSecrets(
  node: SchemaNode,
  value: unknown,
  change: (text: string, path: readonly PropertyKey[]) => string,
): unknown {
  const walk = (nodes: readonly SchemaNode[], at: unknown, secret: boolean, path: PropertyKey[]): unknown => {
    const here = secret || nodes.some(isSecretText);
    if (typeof at === 'string') return here ? change(at, path) : at;
    if (!here && !nodes.some((one) => mayHoldSecret(one))) return at;
    const below = (inner: unknown, segment: PropertyKey): unknown => {
      const children = nodes.flatMap((one) => childrenAt(one, segment));
      return walk(children, inner, here, [...path, segment]);
    };
    if (Array.isArray(at)) return at.map((inner: unknown, index) => below(inner, index));
    return isMapping(at) ? mapValues(at, below) : at;
  };
  return walk([node], value, false, []);
}

function isSecretText(node: SchemaNode): boolean {
  return node.secret === true || node.credentials === true || variantsOf(node).some(isSecretText);
}

/** What may stand at one step below a node: several nodes where it has variants. */
function childrenAt(node: SchemaNode, segment: PropertyKey): SchemaNode[] {
  const named = typeof segment === 'string' ? node.properties?.[segment] : undefined;
  const own = named ?? itemOf(node);
  return [...(own ? [own] : []), ...variantsOf(node).flatMap((variant) => childrenAt(variant, segment))];
}

function childrenOf(node: SchemaNode): SchemaNode[] {
  const item = itemOf(node);
  return [...Object.values(node.properties ?? {}), ...(item ? [item] : []), ...variantsOf(node)];
}

function variantsOf(node: SchemaNode): readonly SchemaNode[] {
  return [...(node.oneOf ?? []), ...(node.anyOf ?? [])];
}

/** Services are told apart by host and path; the user, the password and what a query may hold are nobody's business. */
function withoutCredentials(url: string, mask: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, `$1${mask}@`).replace(/\?.*$/s, `?${mask}`);
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mapValues(
  value: Readonly<Record<string, unknown>>,
  change: (inner: unknown, name: string) => unknown,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, change(inner, name)]));
}
