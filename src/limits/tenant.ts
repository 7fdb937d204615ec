import type { Clock } from '../base/clock.ts';
import { Places } from '../base/places.ts';
import { ownMemory, type ThreadMemory } from '../base/thread-memory.ts';
import type { PriorityClass, TenantSettings } from '../config/settings/settings.ts';
import { Allowance, ROUNDING } from './allowance.ts';
import { TenantCounts } from './tenant-counts.ts';

/** What a request may know of the tenant that makes it; it never changes, so that a request keeps what it began with. */
export class TenantAccess {
  readonly name: string;
  readonly priorityClass: PriorityClass;
  /** Whether there are models that it may not use. */
  readonly restricted: boolean;
  /** Whether its requests may leave the fleet. */
  readonly allowExternal: boolean;
  readonly #models: ReadonlySet<string>;
  readonly #prefixes: readonly string[];

  constructor({ name, priorityClass, allowedModels, allowExternal }: TenantSettings) {
    this.allowExternal = allowExternal;
    this.name = name;
    this.priorityClass = priorityClass;
    this.restricted = !allowedModels.includes('*');
    this.#models = new Set(allowedModels.filter((pattern) => !pattern.endsWith('*')));
    this.#prefixes = allowedModels
      .filter((pattern) => pattern.endsWith('*'))
      .map((pattern) => pattern.slice(0, -1));
  }

  mayUse(model: string): boolean {
    return (
      !this.restricted || this.#models.has(model) || this.#prefixes.some((prefix) => model.startsWith(prefix))
    );
  }
}

/** What keeps a request of a tenant out. */
export interface OverLimit {
  readonly kind: 'over_limit';
  readonly limit: 'requests' | 'concurrency' | 'tokens';
  /** When it may be worth another try; undefined = never. */
  readonly retryAfterSecs: number | undefined;
}

/** A request that counts as one of the tenant's until it leaves. */
export interface Visit {
  readonly kind: 'admitted';
  /** Idempotent. */
  readonly leave: () => void;
}

/** Tokens set aside for a request. */
export interface Reservation {
  readonly kind: 'reserved';
  /** What it really took, once it has ended: the difference is given back, or spent as well. Idempotent. */
  readonly settle: (used: number) => void;
}

/** One kind of limit, as headers tell it. */
export interface Level {
  readonly limit: number;
  readonly remaining: number;
  /** Until it is full again. */
  readonly resetMs: number;
}

const LONGEST_RETRY_AFTER_SECS = 60;
/** Weight of the newest request in the mean duration. */
const NEWEST = 0.1;
const SECS_PER_MINUTE = 60;

/**
 * One tenant's limits and what it has used of them, in all threads together. Lives on over reloads that keep its name. Row 0 says
 * the limits for all; the rest of the settings each thread takes over by itself.
 */
export class Tenant {
  readonly #clock: Clock;
  readonly #memory: ThreadMemory;
  readonly #places: Places;
  readonly #counts: TenantCounts;
  readonly #requests: Allowance;
  #settings: TenantSettings;
  #access: TenantAccess;
  #tokens: Allowance | undefined;
  /** Of so many routers this one has an equal share of the limits. */
  #sharedBy = 1;
  /** Of the requests of this thread; those of the others will be much the same. */
  #meanMs = 0;

  constructor(settings: TenantSettings, clock: Clock, memory: ThreadMemory = ownMemory()) {
    const { name } = settings;
    this.#clock = clock;
    this.#memory = memory;
    this.#settings = settings;
    this.#access = new TenantAccess(settings);
    this.#places = new Places(memory, placesOf(name), settings.maxConcurrent);
    this.#counts = new TenantCounts(memory, countsOf(name));
    this.#requests = new Allowance(clock, burstOf(settings), settings.ratePerSecond, {
      ...{ memory, region: requestsOf(name) },
    });
    this.#tokens = this.#openBudget();
  }

  /** For a tenant that is gone; requests that still run have what they need of it. */
  static forget(name: string, memory: ThreadMemory): void {
    for (const region of [placesOf, countsOf, requestsOf, tokensOf]) memory.drop(region(name));
  }

  get settings(): TenantSettings {
    return this.#settings;
  }

  get access(): TenantAccess {
    return this.#access;
  }

  get inFlight(): number {
    return this.#places.count;
  }

  /** Requests that were let in. */
  get totalRequests(): number {
    return this.#counts.requests;
  }

  get totalRateLimited(): number {
    return this.#counts.limited;
  }

  /** Of requests that have ended. */
  get tokensUsed(): number {
    return this.#counts.tokens;
  }

  get countsTokens(): boolean {
    return this.#tokens !== undefined;
  }

  /** Other settings under the same name. What has been spent stays spent, who is inside stays inside. */
  reconfigure(settings: TenantSettings): void {
    this.#settings = settings;
    this.#access = new TenantAccess(settings);
    this.#limit();
  }

  /** Its limits are those of so many routers together, each of which has an equal share, of requests at a time at least one. */
  shareBy(routers: number): void {
    if (routers === this.#sharedBy) return;
    this.#sharedBy = routers;
    this.#limit();
  }

  #limit(): void {
    const { maxConcurrent, ratePerSecond, tokensPerMinute } = this.#settings;
    const by = this.#sharedBy;
    this.#places.reconfigure(Math.max(1, Math.floor(maxConcurrent / by)));
    this.#requests.reconfigure(Math.max(1, burstOf(this.#settings) / by), ratePerSecond / by);
    if (tokensPerMinute === undefined || this.#tokens === undefined) this.#tokens = this.#openBudget();
    else this.#tokens.reconfigure(tokensPerMinute / by, tokensPerMinute / by / SECS_PER_MINUTE);
  }

  /** All routers together have refused what this one had let in. */
  refused(): void {
    this.#counts.limit();
    this.#requests.correct(-1);
  }

  /** One more request, unless there are too many inside or they come too fast. */
  enter(): Visit | OverLimit {
    if (this.#places.full) return this.#refuse('concurrency', this.#msUntilPlace());
    if (!this.#requests.take(1)) return this.#refuse('requests', this.#requests.msUntil(1));
    if (!this.#places.take()) {
      // Another thread took the last one in this moment.
      this.#requests.correct(-1);
      return this.#refuse('concurrency', this.#msUntilPlace());
    }
    this.#counts.request();
    const since = this.#clock.now();
    let inside = true;
    return {
      kind: 'admitted',
      leave: () => {
        if (!inside) return;
        inside = false;
        this.#places.give();
        const tookMs = this.#clock.now() - since;
        this.#meanMs += (tookMs - this.#meanMs) * (this.#meanMs === 0 ? 1 : NEWEST);
      },
    };
  }

  /** Sets tokens aside before the request waits for its turn. Without a token limit they are only counted. */
  reserve(tokens: number): Reservation | OverLimit {
    // Reloads may put another in its place meanwhile.
    const budget = this.#tokens;
    if (budget && tokens > 0 && !budget.take(tokens)) return this.#refuse('tokens', budget.msUntil(tokens));
    let open = true;
    return {
      kind: 'reserved',
      settle: (used) => {
        if (!open) return;
        open = false;
        this.#counts.spend(used);
        budget?.correct(used - tokens);
      },
    };
  }

  requestLevel(): Level {
    return levelOf(this.#requests);
  }

  tokenLevel(): Level | undefined {
    return this.#tokens && levelOf(this.#tokens);
  }

  /** What a thread that has died had is free. */
  reclaim(row: number): void {
    this.#places.reclaim(row);
  }

  /** Undefined without a limit. One that is set after there was none begins full. */
  #openBudget(): Allowance | undefined {
    const { name, tokensPerMinute } = this.#settings;
    if (tokensPerMinute === undefined) return undefined;
    return new Allowance(this.#clock, tokensPerMinute, tokensPerMinute / SECS_PER_MINUTE, {
      ...{ memory: this.#memory, region: tokensOf(name) },
    });
  }

  #refuse(limit: OverLimit['limit'], inMs: number): OverLimit {
    this.#counts.limit();
    return { kind: 'over_limit', limit, retryAfterSecs: Number.isFinite(inMs) ? secondsOf(inMs) : undefined };
  }

  /** Places become free one after the other, as far as past requests tell. */
  #msUntilPlace(): number {
    return Math.min(this.#meanMs / this.#settings.maxConcurrent, LONGEST_RETRY_AFTER_SECS * 1000);
  }
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

function burstOf({ ratePerSecond }: TenantSettings): number {
  return Math.max(1, ratePerSecond);
}

const placesOf = (name: string): string => `tenant:places:${name}`;
const countsOf = (name: string): string => `tenant:counts:${name}`;
const requestsOf = (name: string): string => `tenant:requests:${name}`;
const tokensOf = (name: string): string => `tenant:tokens:${name}`;

function levelOf(allowance: Allowance): Level {
  return {
    limit: Math.floor(allowance.most),
    remaining: Math.max(0, Math.floor(allowance.left + ROUNDING)),
    resetMs: allowance.msUntil(allowance.most),
  };
}
