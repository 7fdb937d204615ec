import { createHash } from 'node:crypto';
import type { Clock, Timer } from '../base/clock.ts';
import type { TenantSettings } from '../config/settings/settings.ts';
import type { BookEntry, TenantBooks } from '../limits/tenant-books.ts';
import type { Answer, Commands, RedisLink } from '../redis/redis-link.ts';
import { ENTER, LEASE_MS, SETTLE } from './tenant-scripts.ts';

/** What has ended is told together. */
const SETTLE_EVERY_MS = 20;
const RENEW_EVERY_MS = LEASE_MS / 4;
/** Leases in one command. */
const AT_ONCE = 500;

/** What is to be told of one tenant. */
interface Page {
  perMinute: number;
  /** Tokens spent beyond what was reserved. */
  more: number;
  ended: string[];
  readonly open: Set<string>;
}

export interface BooksDeps {
  readonly clock: Clock;
  readonly link: RedisLink;
  /** What no other thread of any replica is called. */
  readonly holder: string;
}

/**
 * The limits of tenants in Redis, exact over all replicas and their threads: one script decides, at its clock. A request is a lease
 * there that is renewed while it lasts, so what a replica has that dies is free within seconds. One round trip for each request is waited
 * for; ends and renewals go together, and nobody waits for them.
 */
export class RedisTenantBooks implements TenantBooks {
  readonly #deps: BooksDeps;
  readonly #pages = new Map<string, Page>();
  #leases = 0;
  #settle: Timer | undefined;
  #settling = false;
  #renew: Timer;

  constructor(deps: BooksDeps) {
    this.#deps = deps;
    this.#renew = deps.clock.after(RENEW_EVERY_MS, () => {
      void this.#tell(true);
      this.#renew.refresh();
    });
  }

  get isOpen(): boolean {
    return this.#deps.link.takesWrites;
  }

  async enter(tenant: TenantSettings, tokens: number): Promise<BookEntry> {
    if (!this.isOpen) return AWAY;
    const lease = `${this.#deps.holder}:${++this.#leases}`;
    const { ratePerSecond, tokensPerMinute = 0, maxConcurrent } = tenant;
    const rate = Math.max(1, ratePerSecond);
    const page = this.#pageOf(tenant);
    const answer = await this.#run(ENTER, tenant.name, [
      ...[ratePerSecond || 1, rate, tokensPerMinute, tokens, maxConcurrent, lease],
    ]);
    const [what, inMs] =
      answer.kind === 'done' && Array.isArray(answer.value) ? (answer.value as unknown[]) : [];
    switch (what) {
      case 'entered':
        page.open.add(lease);
        return { kind: 'entered', leave: (used) => this.#leave(page, lease, used - tokens) };
      case 'requests':
      case 'concurrency':
      case 'tokens':
        return { kind: 'over_limit', limit: what, retryAfterMs: Number(inMs) < 0 ? Infinity : Number(inMs) };
      default:
        // It may have been entered all the same.
        page.ended.push(lease);
        return AWAY;
    }
  }

  /** Tells what has ended, as far as that can be told. */
  async close(): Promise<void> {
    this.#renew.cancel();
    this.#settle?.cancel();
    await this.#tell(false);
  }

  #leave(page: Page, lease: string, more: number): void {
    if (!page.open.delete(lease)) return;
    page.ended.push(lease);
    page.more += more;
    this.#settle ??= this.#deps.clock.after(SETTLE_EVERY_MS, () => {
      this.#settle = undefined;
      void this.#tell(false);
    });
  }

  #pageOf({ name, tokensPerMinute = 0 }: TenantSettings): Page {
    const page = this.#pages.get(name) ?? { perMinute: 0, more: 0, ended: [], open: new Set() };
    page.perMinute = tokensPerMinute;
    this.#pages.set(name, page);
    return page;
  }

  async #tell(renews: boolean): Promise<void> {
    if (this.#settling || !this.isOpen) return;
    this.#settling = true;
    for (const [name, page] of this.#pages) {
      await this.#tellOf(name, page, renews ? [...page.open] : []);
      if (page.open.size === 0 && page.ended.length === 0 && page.more === 0) this.#pages.delete(name);
    }
    this.#settling = false;
  }

  async #tellOf(name: string, page: Page, open: readonly string[]): Promise<void> {
    // A lease that could not be ended in time has ended by itself.
    const ended = page.ended.slice(-AT_ONCE);
    const { more } = page;
    page.ended = [];
    page.more = 0;
    if (ended.length === 0 && more === 0 && open.length === 0) return;
    const first = await this.#run(SETTLE, name, [page.perMinute, more, ended.length, ...ended]);
    if (first.kind !== 'done') {
      page.more += more;
      return;
    }
    for (let at = 0; at < open.length; at += AT_ONCE) {
      // Some may have ended meanwhile.
      const still = open.slice(at, at + AT_ONCE).filter((lease) => page.open.has(lease));
      if (still.length > 0) await this.#run(SETTLE, name, [page.perMinute, 0, 0, ...still]);
    }
  }

  #run(script: string, tenant: string, args: readonly (string | number)[]): Promise<Answer<unknown>> {
    const { link } = this.#deps;
    const key = `${link.keyPrefix}tenant:{${encodeURIComponent(tenant)}}`;
    return link.ask((redis) => evaluate(redis, script, [key, `${key}:in`], args), 'write');
  }
}

const AWAY: BookEntry = { kind: 'away' };

const digests = new Map(
  [ENTER, SETTLE].map((script) => [script, createHash('sha1').update(script).digest('hex')]),
);

/** By its digest, and as a whole where the server does not know it (yet, or any more). */
async function evaluate(
  redis: Commands,
  script: string,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(digests.get(script) ?? '', keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
    return redis.eval(script, keys.length, ...keys, ...args);
  }
}
