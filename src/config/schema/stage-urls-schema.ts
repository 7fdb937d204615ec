import * as z from 'zod';
import { roleProblem } from './worker-entry.ts';
import type { SchemaNode } from './schema-node.ts';
import { parseWorkerUrl } from './worker-url.ts';

/** A prefill worker, and where decode workers ask it for blocks. */
export interface PrefillUrl {
  readonly url: string;
  readonly bootstrap_port?: number | undefined;
}

const ITEM_FORMS = 'a URL, [URL, bootstrap port or null], or a mapping with url and bootstrap_port';
const PORT = 'expected a bootstrap port from 1 to 65535, or null';

const urlNode: SchemaNode = { type: 'string' };
const portNode: SchemaNode = {
  anyOf: [{ type: 'integer', minimum: 1, maximum: 65_535 }, { type: 'null' }],
};

/** The forms of an item, as JSON schema. */
export const PREFILL_URL_NODE: SchemaNode = {
  anyOf: [
    urlNode,
    { type: 'array', prefixItems: [urlNode, portNode], minItems: 1, maxItems: 2 },
    mappingNode({ url: urlNode, bootstrap_port: portNode }),
  ],
};
export const DECODE_URL_NODE: SchemaNode = { anyOf: [urlNode, mappingNode({ url: urlNode })] };

function mappingNode(properties: Readonly<Record<string, SchemaNode>>): SchemaNode {
  return { type: 'object', properties, required: ['url'], additionalProperties: false };
}

/** As files and flags of other routers have them, too: a URL, a pair of URL and port, or a mapping. */
export const prefillUrl = z.unknown().transform((value, context): PrefillUrl => {
  const written = readItem(value);
  if (!written) return refuse(context, [], `expected ${ITEM_FORMS}`);
  const { url, urlAt, port, portAt, unknown } = written;
  if (unknown !== undefined) return refuse(context, [unknown], 'is unknown: expected url and bootstrap_port');
  const problem = urlProblem(url, 'prefill');
  if (problem !== undefined) return refuse(context, urlAt, problem);
  if (port === undefined || port === null) return { url };
  if (typeof port === 'number' && Number.isInteger(port) && port > 0 && port < 65_536)
    return { url, bootstrap_port: port };
  return refuse(context, portAt, PORT);
});

/** A URL, or a mapping with url. */
export const decodeUrl = z.unknown().transform((value, context): string => {
  const isMapping = isRecord(value) && Object.keys(value).join() === 'url';
  const url = isMapping ? value['url'] : value;
  if (typeof url !== 'string') return refuse(context, [], 'expected a URL, or a mapping with url');
  const problem = urlProblem(url, 'decode');
  return problem === undefined ? url : refuse(context, isMapping ? ['url'] : [], problem);
});

interface WrittenItem {
  readonly url: string;
  readonly urlAt: readonly PropertyKey[];
  readonly port: unknown;
  readonly portAt: readonly PropertyKey[];
  /** A name in the mapping that means nothing. */
  readonly unknown?: string | undefined;
}

/** The parts of an item, and where they stand in it. */
function readItem(value: unknown): WrittenItem | undefined {
  if (typeof value === 'string') return { url: value, urlAt: [], port: undefined, portAt: [] };
  if (Array.isArray(value)) {
    const [url, port] = value as readonly unknown[];
    if (typeof url !== 'string' || value.length > 2) return undefined;
    return { url, urlAt: [0], port, portAt: [1] };
  }
  if (!isRecord(value) || typeof value['url'] !== 'string') return undefined;
  const unknown = Object.keys(value).find((name) => name !== 'url' && name !== 'bootstrap_port');
  const { url, bootstrap_port: port } = value;
  return { url, urlAt: ['url'], port, portAt: ['bootstrap_port'], unknown };
}

function urlProblem(url: string, role: 'prefill' | 'decode'): string | undefined {
  const parsed = parseWorkerUrl(url);
  return parsed.kind === 'bad' ? `expected ${parsed.expected}` : roleProblem(role, url);
}

function refuse(context: z.RefinementCtx, path: readonly PropertyKey[], message: string): never {
  context.addIssue({ code: 'custom', path: [...path], message });
  return z.NEVER;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
