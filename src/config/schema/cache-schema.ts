import * as z from 'zod';
import { CACHE_KNOWLEDGE } from '../settings/cache-knowledge.ts';
import { count, key, secs } from './field.ts';

/** What is known of the workers' caches, and how much of it. */
export const cacheKeys = {
  cache_index: z
    .strictObject({
      max_bytes: key(count(65_536).default(268_435_456), {
        group: 'Policy',
        about: 'Hard limit of the predicted prefix index, in bytes, over all workers.',
      }),
      idle_ttl_secs: key(secs().default(3600), {
        group: 'Policy',
        about: 'Blocks of the predicted prefix index that nobody asked for in this time are forgotten.',
      }),
    })
    .prefault({}),
  cache_knowledge: key(z.enum(CACHE_KNOWLEDGE).default('auto'), {
    group: 'Policy',
    about:
      'From what policies know what workers have cached. auto: for each of them the best that there is: events of its engine, what LMCache says, else what was sent there.',
  }),
};
