import * as z from 'zod';
import { clientKey, keyDigest } from './client-key.ts';
import { count, key, secs, secsOrZero, text, type KeyMeta } from './field.ts';

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'Clients', about, ...more });
}

const NAME = 'expected a name without control characters and outer spaces';
const name = z
  .string()
  .max(128)
  .regex(/^\S+( \S+)*$/, NAME)
  // Not in the pattern: the validators of editors do not know classes of Unicode.
  .refine((value) => !/\p{C}/u.test(value), NAME);

const modelPattern = z
  .string()
  .max(1024)
  .regex(/^[^*]+\*?$|^\*$/, 'expected a model, the beginning of its name with * behind it, or *');

const KEY_FORMS = ['key', 'key_sha256', 'key_file', 'keys'] as const;

const tenant = z
  .strictObject({
    name: field(name, 'The name in logs, metrics and records.'),
    key: field(clientKey().optional(), 'Its only key.', { secret: true }),
    key_sha256: field(keyDigest().optional(), "The key's SHA-256 instead, in hexadecimal digits.", {
      secret: true,
    }),
    key_file: field(text().optional(), 'A file with its keys, one per line; # begins a comment.'),
    keys: field(
      z.array(clientKey()).min(1).max(1000).optional(),
      'Several keys, e.g. while they are replaced.',
      {
        secret: true,
      },
    ),
    rate_limit_rps: field(
      z.number().min(0).max(1e6).default(100),
      'Requests per second; as many may come at once. 0 means 1.',
    ),
    max_concurrent: field(count(1).default(50), 'Requests inside the router, waiting ones included.'),
    tokens_per_minute: field(count(1).optional(), 'Tokens of prompts and answers per minute.'),
    allowed_models: field(
      z.array(modelPattern).min(1).default(['*']),
      'Models, or beginnings of their names with * behind them.',
    ),
    priority_class: field(
      z.enum(['high', 'normal', 'low']).default('normal'),
      'Who is served first where requests must wait.',
    ),
    allow_external: field(
      z.boolean().default(false),
      'Whether its requests may go to external backends, where a rule or mode openai leads there.',
    ),
    enabled: field(z.boolean().default(true), 'Whether its keys are taken; else they are answered with 403.'),
    metadata: field(z.record(text(), z.string()).default({}), 'Notes, shown by GET /admin/tenants.'),
  })
  .superRefine((entry, context) => {
    const [first = 'key', second] = KEY_FORMS.filter((form) => entry[form] !== undefined);
    if (entry[first] !== undefined && second === undefined) return;
    context.addIssue({
      code: 'custom',
      message: 'expected one of key, key_sha256, key_file and keys',
      path: [second ?? first],
    });
  });

const validationUrl = z.string().refine((value) => {
  const url = URL.parse(value);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.hash === '';
}, 'expected an http(s) URL without user name and fragment');

/** Who may call the router, and how much. */
export const clientKeys = {
  api_keys: key(z.array(tenant).default([]), {
    group: 'Clients',
    flags: [],
    env: false,
    about:
      'Tenants: their keys, limits and models. With any of them no other way to check keys is used. See the guide on tenants.',
    value: 'TENANT',
  }),
  inbound_api_key: key(clientKey().optional(), {
    group: 'Clients',
    about: 'The one key of all clients, or sha256: and its digest, where there are no tenants.',
    secret: true,
    value: 'KEY',
    defaultText: 'none',
  }),
  api_key_validation_urls: key(z.array(validationUrl).default([]), {
    group: 'Clients',
    about:
      'Services that are asked about keys, where neither of the above is set: GET with the key as bearer token, 200 accepts it. Also read from API_KEY_VALIDATION_URLS.',
    value: 'URL',
  }),
  api_key_validation_ttl_secs: key(secsOrZero().default(60), {
    group: 'Clients',
    about: 'How long their answer about a key is believed: refusals 10 s at most.',
  }),
  api_key_validation_timeout_secs: key(secs().default(5), {
    group: 'Clients',
    about: 'For their answer; without one the client gets 503.',
  }),
  usage_injection: key(z.enum(['off', 'when_needed']).default('when_needed'), {
    group: 'Clients',
    about:
      'Ask workers for the token counts of streams where a tenant with tokens_per_minute did not; the client does not see them. off: such streams are counted by their events.',
  }),
};
