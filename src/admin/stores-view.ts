import * as z from 'zod';
import type { RedisLink } from '../redis/redis-link.ts';

/** What is kept for others who ask the same. */
export interface KeptAnswers {
  readonly backend: 'none' | 'memory' | 'redis';
  /** Undefined where they are on a server, which does not say. */
  readonly exact: number | undefined;
  readonly semantic: number;
}

export const answersSchema = z
  .strictObject({
    backend: z.enum(['none', 'memory', 'redis']),
    exact_entries: z.int().nullable(),
    semantic_entries: z.int(),
  })
  .meta({ description: 'Stored answers; `exact_entries` is null where they are on a server of Redis' });

export const redisSchema = z
  .array(z.strictObject({ server: z.string(), up: z.boolean(), takes_writes: z.boolean() }))
  .meta({ description: 'Servers of Redis or Valkey that the router uses' });

export function answersView({ backend, exact, semantic }: KeptAnswers): z.output<typeof answersSchema> {
  return { backend, exact_entries: exact ?? null, semantic_entries: semantic };
}

export function redisView(links: readonly RedisLink[]): z.output<typeof redisSchema> {
  return links.map(({ name, isUp, takesWrites }) => ({
    server: name,
    up: isUp,
    takes_writes: isUp && takesWrites,
  }));
}
