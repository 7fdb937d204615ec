import * as z from 'zod';
import { count, key, text } from './field.ts';
import { redisSection } from './redis-schema.ts';

const GROUP = 'Replicas';

/** What several routers in front of one fleet have in common. Its own section says that there are several. */
export const sharedStateKeys = {
  shared_state: z
    .strictObject({
      redis: redisSection(
        GROUP,
        'Redis or Valkey, over which replicas of this router tell each other their loads and placements, and in which the limits of tenants are kept.',
      ),
      secret: key(text().optional(), {
        group: GROUP,
        about: 'What replicas tell each other is signed with it (HMAC-SHA256); all of them have the same.',
        flags: [],
        secret: true,
        defaultText: 'none: nothing is signed',
      }),
      interval_ms: key(count(10).max(50).default(10), {
        group: GROUP,
        about: 'How often loads that have changed are told.',
        flags: [],
        value: 'MS',
      }),
    })
    .optional(),
};
