import * as z from 'zod';
import { redisSection } from './redis-schema.ts';
import { count, key, secs, type KeyMeta } from './field.ts';

function field<S extends z.ZodType>(schema: S, about: string, more: Partial<KeyMeta> = {}): S {
  return key(schema, { group: 'Answer cache', about, ...more });
}

/** Answers that are kept for those who ask the same. Without any of these keys there is no such cache. */
export const answerCacheKeys = {
  cache: z
    .strictObject({
      backend: field(
        z.enum(['memory', 'redis']).default('memory'),
        'Where answers are kept: in the memory of the router, or on the server that redis names, for all routers that name it.',
      ),
      redis: redisSection('Answer cache', 'A server of Redis or Valkey; only with backend: redis.'),
      max_entries: field(count(1).max(1_048_576).default(1024), 'Most answers in the memory of the router.'),
      max_bytes: field(count(65_536).default(268_435_456), 'Most bytes that they take there.'),
      max_entry_bytes: field(
        count(1024).max(67_108_864).default(8_388_608),
        'Longer answers pass through and are not kept.',
      ),
      ttl_secs: field(secs().default(60), 'An answer is kept for this long.'),
      sampled: field(
        z.boolean().default(false),
        'Keeps answers of chats and completions without temperature 0 or a seed, too: everybody gets the one that came first.',
      ),
      shared_between_tenants: field(
        z.boolean().default(false),
        'Tenants get answers that others of them have caused. How fast an answer comes then tells what others ask.',
      ),
      charge: field(
        z.number().min(0).max(1).default(0),
        "What part of its tokens an answer from the cache takes of a tenant's limits.",
      ),
      coalesce: field(
        z.boolean().default(true),
        'Requests that are not streamed wait for one that asks a worker the same at this time, and get its answer.',
      ),
    })
    .optional(),
};
