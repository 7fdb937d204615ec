import * as z from 'zod';
import { bearerKey, count, httpToken, key, milliseconds, secs, type KeyMeta } from './field.ts';
import { parseHookUrl } from './hook-url.ts';

/** Their outcomes stand in one response header. */
const MOST_HOOKS = 32;

const name = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9_.-]+$/, 'expected a name of letters, digits, _, . and -');

const url = z.string().superRefine((value, context) => {
  const parsed = parseHookUrl(value);
  if (parsed.kind === 'bad') context.addIssue({ code: 'custom', message: `expected ${parsed.expected}` });
});

/** What describes this one call, or says who the router is: neither is for the configuration to set. */
const OWN_HEADERS = new Set([
  ...['host', 'content-length', 'content-type', 'content-encoding', 'transfer-encoding', 'connection'],
  ...['keep-alive', 'proxy-connection', 'te', 'trailer', 'upgrade', 'expect'],
  ...['x-request-id', 'x-vllm-router-route', 'x-vllm-router-model', 'x-vllm-tenant'],
]);
/** Keys of the router itself. */
const NEVER_FORWARDED = new Set([...OWN_HEADERS, 'x-router-key', 'x-admin-key']);

const headerName = (refused: ReadonlySet<string>) =>
  httpToken('the name of a header')
    .max(256)
    .refine((value) => !refused.has(value.toLowerCase()), 'expected a header that the router does not set');

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'Hooks', about, ...more });
}

const circuitBreaker = z
  .strictObject({
    failure_threshold: field(
      count(1).default(5),
      'Errors and timeouts in a row, within a minute, that open the circuit of the hook.',
    ),
    timeout_duration_secs: field(
      secs().default(5),
      'How long it stays open: calls count as errors at once. Then one call tries whether the hook is back.',
    ),
  })
  .prefault({});

/** One entry of `pre_routing_hooks`. */
export const hookEntry = z.strictObject({
  name: field(name, 'Stands in headers, records and metrics.'),
  url: field(
    url.optional(),
    'Where the service is asked: http(s)://host:port/path, unix:///path.sock or unix:///path.sock:/path.',
    { credentials: true, defaultText: 'none' },
  ),
  plugin: field(
    z.string().min(1).optional(),
    'In place of url: a hook that one of the plugins brings, by its name.',
    { defaultText: 'none' },
  ),
  parameters: field(
    z.record(z.string(), z.unknown()).default({}),
    'Of the plugin: what it makes of them is its own.',
  ),
  overrun_ms: field(
    z.number().positive().max(60_000).default(10),
    'Of a plugin: what runs at once and takes longer is an overrun; the third within a minute and 300 calls ends the use of the plugin.',
  ),
  timeout_ms: field(milliseconds().default(200), 'For the whole answer.'),
  on_error: field(
    z.enum(['pass', 'block']).default('pass'),
    'What a timeout or error means: the request goes on, or is answered with 502.',
  ),
  on_reject: field(
    z.enum(['block403', 'block400', 'pass']).default('block403'),
    'What a rejection means: an answer with 403 or 400, or nothing.',
  ),
  transform: field(z.boolean().default(false), 'Whether the hook may replace the body.'),
  tunnels: field(
    z.enum(['refuse', 'pass']).default('refuse'),
    'WebSocket tunnels, which no hook can look into: refused with 403, or let through unchecked.',
  ),
  api_key: field(bearerKey().optional(), 'Bearer key that the router presents to the service.', {
    secret: true,
    defaultText: 'none',
  }),
  headers: field(
    z
      .record(headerName(OWN_HEADERS), z.string().regex(/^[\t -~]*$/, 'expected visible ASCII characters'))
      .default({}),
    'Headers sent with every call.',
    { secret: true },
  ),
  forward_headers: field(
    z.array(headerName(NEVER_FORWARDED)).max(64).default([]),
    "Headers of the client's request that the service gets to see.",
  ),
  max_response_bytes: field(count(1).default(16_777_216), 'Largest answer of the service in bytes.'),
  max_concurrent_requests: field(
    count(1).default(256),
    'Calls at once; further ones wait within their timeout.',
  ),
  circuit_breaker: circuitBreaker,
});

function sourceProblem(hook: HookEntry): string | undefined {
  const { url: service, plugin } = hook;
  if ((service === undefined) === (plugin === undefined)) return 'expected either url or plugin';
  if (service !== undefined)
    return Object.keys(hook.parameters).length > 0 ? 'expected parameters only with plugin' : undefined;
  const forServices = hook.api_key !== undefined || Object.keys(hook.headers).length > 0;
  return forServices ? 'expected api_key and headers only with url' : undefined;
}

export type HookEntry = z.output<typeof hookEntry>;

export const hookKeys = {
  pre_routing_hooks: key(
    z
      .array(hookEntry)
      .max(MOST_HOOKS, `expected at most ${MOST_HOOKS} hooks`)
      .superRefine((hooks, context) => {
        const seen = new Set<string>();
        for (const [index, hook] of hooks.entries()) {
          if (seen.has(hook.name))
            context.addIssue({ code: 'custom', path: [index, 'name'], message: 'expected every name once' });
          seen.add(hook.name);
          const message = sourceProblem(hook);
          if (message !== undefined) context.addIssue({ code: 'custom', path: [index], message });
        }
      })
      .default([]),
    {
      group: 'Hooks',
      flags: [],
      env: false,
      about:
        'Services that look at every request before it is routed, in this order: name, url and more, see the page about hooks.',
    },
  ),
};
