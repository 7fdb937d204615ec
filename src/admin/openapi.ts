import * as z from 'zod';
import { VERSION } from '../config/version.ts';
import { ADMIN_ERRORS } from './admin-error.ts';
import type { AdminRoute, AnswerAbout } from './route.ts';

type Json = Readonly<Record<string, unknown>>;

const errorSchema = z.looseObject({
  error: z.string(),
  code: z.enum(Object.keys(ADMIN_ERRORS)),
  fields: z
    .array(z.object({ path: z.string(), message: z.string() }))
    .optional()
    .meta({ description: 'What is wrong with which field, for INVALID_REQUEST' }),
});

/** What the router answers by itself beside its worker and admin routes; open to clients. */
export const LOCAL_ABOUT: Readonly<Record<string, string>> = {
  '/': 'What this is, and where to look further: text, or HTML for a browser.',
  '/v1/models': 'The models of all workers.',
  '/v1/models/{id}': 'One of them, or another name for one.',
  '/health': 'Whether every worker is healthy.',
  '/liveness': 'Whether the process runs.',
  '/readiness': 'Whether at least one worker can be used.',
  '/health_generate': 'Whether a worker generates a token.',
  '/version': "The workers' version, and the router's.",
  '/get_server_info': 'The router and its workers in short.',
  '/get_model_info': 'The models with their sizes and workers.',
};

/** The router's own API. What is proxied is described by the workers. */
export function describeApi(routes: readonly AdminRoute[], localRoutes: readonly string[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const row of routes) (paths[row.path] ??= {})[row.method.toLowerCase()] = operation(row);
  for (const path of localRoutes) (paths[path] ??= {})['get'] = localOperation(path);
  return {
    openapi: '3.1.0',
    info: {
      title: 'vllm-router',
      version: VERSION,
      description: "The router's own routes. Every other path is proxied to a worker.",
    },
    paths,
    components: {
      schemas: { Error: schemaOf(errorSchema, 'output') },
      securitySchemes: {
        adminKey: { type: 'apiKey', in: 'header', name: 'X-Admin-Key' },
        adminBearer: { type: 'http', scheme: 'bearer' },
      },
    },
    // Without a configured key: this machine alone, without any.
    security: [{ adminKey: [] }, { adminBearer: [] }, {}],
  };
}

function operation(row: AdminRoute): Json {
  return {
    operationId: operationId(row),
    summary: row.about,
    tags: [row.path.startsWith('/admin') || row.path === '/openapi.json' ? 'admin' : 'workers'],
    parameters: [...pathParameters(row.path), ...queryParameters(row.query)],
    ...(row.body
      ? { requestBody: { required: true, content: jsonContent(schemaOf(row.body, 'input')) } }
      : {}),
    responses: {
      ...Object.fromEntries(
        Object.entries(row.answers).map(([status, about]) => [status, answer(status, about)]),
      ),
      401: errorAnswer('The admin key is missing or wrong.'),
      403: errorAnswer(
        'No admin key is configured, and the request does not plainly come from this machine.',
      ),
      ...((row.body ?? row.query)
        ? { 400: errorAnswer(row.answers[400]?.about ?? 'A field is wrong.') }
        : {}),
    },
  };
}

function operationId({ method, path }: AdminRoute): string {
  return [method.toLowerCase(), ...path.split(/[^A-Za-z0-9]+/)].filter(Boolean).join('_');
}

function localOperation(path: string): Json {
  return {
    operationId: ['get', ...path.split(/[^A-Za-z0-9]+/)].filter(Boolean).join('_'),
    summary: LOCAL_ABOUT[path] ?? '',
    tags: ['state'],
    security: [],
    ...(path.includes('{') ? { parameters: pathParameters(path) } : {}),
    responses: { 200: { description: 'Yes, or the answer.' }, 503: { description: 'No.' } },
  };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description:
      name === 'url'
        ? "A worker's URL; percent-encoded here, though the router takes it plain too"
        : 'Percent-encoded',
    schema: { type: 'string' },
  }));
}

function queryParameters(query: z.ZodType | undefined): Json[] {
  if (!query) return [];
  // zod's JSON schema of an object has these two members.
  const schema = schemaOf(query, 'input') as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(schema.properties ?? {}).map(([name, node]) => {
    const { description, ...rest } = node;
    return {
      name,
      in: 'query',
      required: schema.required?.includes(name) ?? false,
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

function answer(status: string, { about, schema }: AnswerAbout): Json {
  if (schema) return { description: about, content: jsonContent(schemaOf(schema, 'output')) };
  return Number(status) >= 400 ? errorAnswer(about) : { description: about };
}

function errorAnswer(description: string): Json {
  return { description, content: jsonContent({ $ref: '#/components/schemas/Error' }) };
}

function jsonContent(schema: Json): Json {
  return { 'application/json': { schema } };
}

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...node } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return node;
}
