import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { RedisSettings } from '../config/settings/redis-settings.ts';
import { dialRedis, type Dial } from './dial.ts';
import { KeptConnection } from './kept-connection.ts';
import type { RedisEvents } from './redis-events.ts';
import type { Answer, Commands, RedisLink, Unavailable } from './redis-link.ts';
import { faultOf, faultText } from './reply-fault.ts';
import { Subscriptions } from './subscriptions.ts';
import { whenOrAfter } from './when-or-after.ts';
import { WriteRest } from './write-rest.ts';

export interface LinkDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly events: RedisEvents;
  readonly dial?: Dial;
}

interface Pooled {
  readonly connection: KeptConnection;
  /** What is under way on it. */
  busy: number;
}

/**
 * Connections to one server, made when the ones before are all in use. When one of them fails all of them are given up: the first is made
 * again after a pause, and until then nothing is asked. So an outage costs what is under way when it begins, each at most
 * its command timeout, and nothing afterwards.
 */
export class ServerLink implements RedisLink {
  readonly name: string;
  readonly keyPrefix: string;
  readonly #settings: RedisSettings;
  readonly #deps: LinkDeps & { readonly dial: Dial };
  readonly #writes: WriteRest;
  readonly #first: Pooled;
  #others: Pooled[] = [];
  #subscriptions: Subscriptions | undefined;
  #closed = false;

  constructor(settings: RedisSettings, deps: LinkDeps) {
    this.name = settings.name;
    this.keyPrefix = settings.keyPrefix;
    this.#settings = settings;
    this.#deps = { dial: dialRedis, ...deps };
    this.#writes = new WriteRest(deps.clock);
    this.#first = this.#pooled((why) => {
      this.#lost(why);
    });
  }

  get isUp(): boolean {
    return this.#first.connection.redis !== undefined;
  }

  get takesWrites(): boolean {
    return this.isUp && !this.#writes.rests;
  }

  async ask<T>(work: (redis: Commands) => Promise<T>, kind: 'read' | 'write' = 'read'): Promise<Answer<T>> {
    const { clock, events } = this.#deps;
    if (this.#closed) return unavailable('closed');
    const writing = kind === 'write';
    if (writing && this.#writes.rests) return this.#refuse(this.#writes.reason);
    const pooled = this.#leastBusy();
    const redis = pooled.connection.redis;
    if (!redis) return this.#refuse('down');
    const began = clock.now();
    pooled.busy += 1;
    const outcome = await whenOrAfter(clock, this.#settings.commandMs, () => work(redis));
    pooled.busy -= 1;
    if (outcome.kind === 'done') {
      pooled.connection.heard();
      if (writing && this.#writes.worked()) events.writes(this.name, undefined);
      events.asked(this.name, 'done', clock.now() - began);
      return outcome;
    }
    const reason = outcome.kind === 'late' ? 'timeout' : this.#closed ? 'closed' : faultOf(outcome.error);
    events.asked(this.name, reason, clock.now() - began);
    const why =
      outcome.kind === 'late' ? `no answer within ${this.#settings.commandMs} ms` : faultText(outcome.error);
    this.#failed(pooled.connection, redis, reason, why);
    return unavailable(reason);
  }

  subscribe(channel: string, onMessage: (payload: Buffer) => void, onReady?: () => void): () => void {
    this.#subscriptions ??= new Subscriptions(this.#settings, {
      ...this.#deps,
      onLost: (why) => {
        this.#deps.events.subscriber(this.name, why);
      },
      onReady: () => {
        this.#deps.events.subscriber(this.name, undefined);
      },
    });
    return this.#subscriptions.add(channel, onMessage, onReady);
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const { connection } of [this.#first, ...this.#others]) connection.close();
    this.#others = [];
    this.#subscriptions?.close();
    return Promise.resolve();
  }

  #refuse(reason: Unavailable): Answer<never> {
    this.#deps.events.asked(this.name, reason, undefined);
    return unavailable(reason);
  }

  #failed(connection: KeptConnection, redis: Commands, reason: Unavailable, why: string): void {
    switch (reason) {
      case 'timeout':
      case 'broken':
        connection.lose(redis, why);
        return;
      case 'full':
        if (this.#writes.refused(reason)) this.#deps.events.writes(this.name, reason);
        return;
      case 'read_only':
        if (this.#writes.refused(reason)) this.#deps.events.writes(this.name, reason);
        // Where the name or the Sentinels lead to another server by now, it is the one to write to.
        connection.lose(redis, why);
        return;
      default:
        return;
    }
  }

  #pooled(onLost: (why: string) => void): Pooled {
    const { events } = this.#deps;
    const connection = new KeptConnection(this.#settings, {
      ...this.#deps,
      onLost,
      onReady: () => {
        if (connection === this.#first.connection) events.link(this.name, undefined);
      },
    });
    return { connection, busy: 0 };
  }

  /** All go together: what one of them has met, the others would meet one by one. */
  #lost(why: string): void {
    this.#deps.events.link(this.name, why);
    for (const { connection } of this.#others) connection.close();
    this.#others = [];
  }

  #leastBusy(): Pooled {
    let best = this.#first;
    for (const pooled of this.#others) if (pooled.connection.redis && pooled.busy < best.busy) best = pooled;
    if (best.busy > 0 && this.#others.length + 1 < this.#settings.poolSize && this.isUp) this.#grow();
    return best;
  }

  /** It takes its part as soon as it is there. */
  #grow(): void {
    if (this.#others.some(({ connection }) => !connection.redis)) return;
    const added = this.#pooled((why) => {
      this.#others = this.#others.filter((one) => one !== added);
      added.connection.close();
      const { redis } = this.#first.connection;
      if (redis) this.#first.connection.lose(redis, why);
    });
    this.#others.push(added);
  }
}

function unavailable(reason: Unavailable): Answer<never> {
  return { kind: 'unavailable', reason };
}
