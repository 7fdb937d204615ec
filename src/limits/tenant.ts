import type { Clock } from '../base/clock.ts';
import type { PriorityClass, TenantSettings } from '../config/settings/settings.ts';
import { Allowance } from './allowance.ts';

/** What a request may know of the tenant that makes it; it never changes, so that a request keeps what it began with. */
export class TenantAccess {
  readonly name: string;
  readonly priorityClass: PriorityClass;
  /** Whether there are models that it may not use. */
  readonly restricted: boolean;
  readonly #models: ReadonlySet<string>;
  readonly #prefixes: readonly string[];

  constructor({ name, priorityClass, allowedModels }: TenantSettings) {
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

/** One tenant's limits and what it has used of them. Lives on over reloads that keep its name. */
export class Tenant {
  readonly #clock: Clock;
  readonly #requests: Allowance;
  #settings: TenantSettings;
  #access: TenantAccess;
  #tokens: Allowance | undefined;
  #inFlight = 0;
  #meanMs = 0;
  #totalRequests = 0;
  #totalLimited = 0;
  #tokensUsed = 0;

  constructor(settings: TenantSettings, clock: Clock) {
    this.#clock = clock;
    this.#settings = settings;
    this.#access = new TenantAccess(settings);
    this.#requests = new Allowance(clock, burstOf(settings), settings.ratePerSecond);
    this.#tokens = budgetOf(settings, clock);
  }

  get settings(): TenantSettings {
    return this.#settings;
  }

  get access(): TenantAccess {
    return this.#access;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Requests that were let in. */
  get totalRequests(): number {
    return this.#totalRequests;
  }

  get totalRateLimited(): number {
    return this.#totalLimited;
  }

  /** Of requests that have ended. */
  get tokensUsed(): number {
    return this.#tokensUsed;
  }

  get countsTokens(): boolean {
    return this.#tokens !== undefined;
  }

  /** Other settings under the same name. What has been spent stays spent, who is inside stays inside. */
  reconfigure(settings: TenantSettings): void {
    this.#settings = settings;
    this.#access = new TenantAccess(settings);
    this.#requests.reconfigure(burstOf(settings), settings.ratePerSecond);
    const { tokensPerMinute } = settings;
    if (tokensPerMinute === undefined || this.#tokens === undefined)
      this.#tokens = budgetOf(settings, this.#clock);
    else this.#tokens.reconfigure(tokensPerMinute, tokensPerMinute / SECS_PER_MINUTE);
  }

  /** One more request, unless there are too many inside or they come too fast. */
  enter(): Visit | OverLimit {
    if (this.#inFlight >= this.#settings.maxConcurrent)
      return this.#refuse('concurrency', this.#msUntilPlace());
    if (!this.#requests.take(1)) return this.#refuse('requests', this.#requests.msUntil(1));
    this.#inFlight += 1;
    this.#totalRequests += 1;
    const since = this.#clock.now();
    let inside = true;
    return {
      kind: 'admitted',
      leave: () => {
        if (!inside) return;
        inside = false;
        this.#inFlight -= 1;
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
        this.#tokensUsed += used;
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

  #refuse(limit: OverLimit['limit'], inMs: number): OverLimit {
    this.#totalLimited += 1;
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

function budgetOf({ tokensPerMinute }: TenantSettings, clock: Clock): Allowance | undefined {
  return tokensPerMinute === undefined
    ? undefined
    : new Allowance(clock, tokensPerMinute, tokensPerMinute / SECS_PER_MINUTE);
}

function levelOf(allowance: Allowance): Level {
  return {
    limit: Math.floor(allowance.most),
    remaining: Math.max(0, Math.floor(allowance.left)),
    resetMs: allowance.msUntil(allowance.most),
  };
}
