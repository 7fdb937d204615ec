import * as z from 'zod';
import { count, key, milliseconds, secs, type KeyMeta } from './field.ts';
import { redisSection } from './redis-schema.ts';

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'Policy', about, flags: [], ...more });
}

/** A table of where prompts were sent that begin alike. Without any of these keys there is none. */
export const sharedPrefixKeys = {
  shared_prefix_routing: z
    .strictObject({
      backend: field(
        z.enum(['memory', 'redis']).optional(),
        'Where cache_aware keeps which worker prompts were sent to by their beginning, for prompts of which its own index knows nothing: in the router, or where all routers find it.',
        { defaultText: 'memory; redis with shared_state' },
      ),
      redis: redisSection('Policy', 'The server for it; else that of cache, else that of shared_state.'),
      prefix_chars: field(
        count(1).max(262_144).default(256),
        'How long a beginning is, in bytes of text, rounded up to 64. Shorter prompts have none.',
      ),
      ttl_secs: field(secs().default(300), 'An entry is kept for this long.'),
      write_probability: field(z.number().min(0).max(1).default(0.1), 'How often a choice is written there.'),
      read_on_local_miss: field(
        z.boolean().default(true),
        'Whether it is asked; without, it is written only.',
      ),
      lookup_timeout_ms: field(milliseconds().default(10), 'Longest wait of a request for its answer.'),
    })
    .optional(),
};
