import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../base/clock.ts';
import { randomHex } from '../base/ids.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { Settings } from '../config/settings/settings.ts';
import type { TenantBooks } from '../limits/tenant-books.ts';
import type { Tenants } from '../limits/tenants.ts';
import type { RedisSettings } from '../config/settings/redis-settings.ts';
import type { RedisLink } from '../redis/redis-link.ts';
import type { RedisLinks } from '../redis/redis-links.ts';
import { RedisTenantBooks } from '../shared-state/redis-tenant-books.ts';

interface Parts {
  readonly part: ThreadPart;
  readonly clock: Clock;
  readonly links: RedisLinks;
  readonly tenants: () => Tenants;
  /** Other replicas, as many as there were when they could be heard last. */
  readonly others: () => number;
}

/** The limits of tenants over all replicas, as one thread asks for them. */
export interface OpenTenantBooks extends TenantBooks {
  reconfigure(settings: Settings): void;
  close(): Promise<void>;
}

/** How often it is looked whether the limits are to be shared out, ms. */
const LOOK_MS = 100;

interface Open {
  readonly redis: RedisSettings;
  readonly link: RedisLink;
  readonly books: RedisTenantBooks;
  readonly look: Timer | undefined;
}

/** Each thread asks for its own requests. Without the server each replica keeps to its share, which control says for all its threads. */
export function openTenantBooks(settings: Settings, parts: Parts): OpenTenantBooks {
  let open: Open | undefined;
  const follow = ({ sharedState, clients }: Settings): void => {
    const redis = clients.auth.kind === 'tenants' ? sharedState?.redis : undefined;
    if (isDeepStrictEqual(redis, open?.redis)) return;
    const before = open;
    open = redis && openWith(redis, parts);
    void close(before, parts);
  };
  follow(settings);
  return {
    get isOpen() {
      return open?.books.isOpen ?? false;
    },
    enter: (tenant, tokens) => open?.books.enter(tenant, tokens) ?? Promise.resolve({ kind: 'away' }),
    reconfigure: follow,
    close: async () => {
      const last = open;
      open = undefined;
      await close(last, parts);
    },
  };
}

function openWith(redis: RedisSettings, { part, clock, links, tenants, others }: Parts): Open {
  const link = links.open(redis);
  const books = new RedisTenantBooks({ clock, link, holder: randomHex(16) });
  const look =
    part.kind === 'request'
      ? undefined
      : clock.after(LOOK_MS, () => {
          tenants().shareBy(books.isOpen ? 1 : 1 + others());
          look?.refresh();
        });
  return { redis, link, books, look };
}

async function close(open: Open | undefined, { tenants }: Parts): Promise<void> {
  if (!open) return;
  open.look?.cancel();
  if (open.look) tenants().shareBy(1);
  await open.books.close();
  await open.link.close();
}
