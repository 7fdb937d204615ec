import type { Clock, Timer } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { RedisSettings } from '../config/settings/redis-settings.ts';
import type { Dial } from './dial.ts';
import { whenOrAfter } from './when-or-after.ts';
import type { Commands } from './redis-link.ts';
import { faultText } from './reply-fault.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** A connection that has lived for this long was a good one: after it pauses begin anew. */
const GOOD_MS = 10_000;
/** A connection on which nothing was said for this long is asked whether it is there. */
const QUIET_MS = 2000;

export interface KeptDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly dial: Dial;
  /** It is there, and answers. */
  readonly onReady: (redis: Commands) => void;
  /** It is not, or not any more; another one is made after a pause. */
  readonly onLost: (why: string) => void;
}

/**
 * One connection that is made again whenever it breaks, with pauses that grow while that does not help. It counts as made when a
 * command was answered within the command timeout, so that a server that is frozen or slow is not there at all; whoever waits too long for
 * an answer later on gives it up (`lose`). Thus the pause between two connections is what rests a server that fails.
 */
export class KeptConnection {
  readonly #settings: RedisSettings;
  readonly #deps: KeptDeps;
  #redis: Commands | undefined;
  /** What is being connected: it ends with the connection kept, or with this. */
  #dialled: Commands | undefined;
  #readyAt = 0;
  #heardAt = 0;
  #failures = 0;
  #pause: Timer | undefined;
  #quiet: Timer | undefined;
  #closed = false;

  constructor(settings: RedisSettings, deps: KeptDeps) {
    this.#settings = settings;
    this.#deps = deps;
    void this.#open();
  }

  /** Undefined while there is none. */
  get redis(): Commands | undefined {
    return this.#redis;
  }

  /** It has answered something just now. */
  heard(): void {
    this.#heardAt = this.#deps.clock.now();
  }

  /** Not to be trusted any more: it is thrown away with whatever is under way on it. */
  lose(redis: Commands, why: string): void {
    if (redis !== this.#redis && redis !== this.#dialled) return;
    const { clock } = this.#deps;
    if (this.#redis && clock.now() - this.#readyAt >= GOOD_MS) this.#failures = 0;
    this.#drop();
    this.#deps.onLost(why);
    this.#failures += 1;
    if (!this.#closed) this.#pause = clock.after(this.#pauseMs(), () => void this.#open());
  }

  close(): void {
    this.#closed = true;
    this.#pause?.cancel();
    this.#drop();
  }

  #pauseMs(): number {
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures - 1, 16));
    return longest * (0.5 + this.#deps.random() / 2);
  }

  #drop(): void {
    this.#quiet?.cancel();
    this.#redis = undefined;
    const gone = this.#dialled;
    this.#dialled = undefined;
    gone?.disconnect();
  }

  async #open(): Promise<void> {
    let redis: Commands;
    try {
      redis = await this.#deps.dial(this.#settings);
    } catch (error) {
      // The library itself cannot be loaded: nothing will change that.
      this.#deps.onLost(faultText(error));
      return;
    }
    if (this.#closed) return;
    this.#dialled = redis;
    let said = 'connection closed';
    redis.on('error', (error: unknown) => {
      said = faultText(error);
    });
    redis.on('end', () => {
      this.lose(redis, said);
    });
    const fault = await this.#tryOut(redis);
    if (this.#dialled !== redis) return;
    if (fault !== undefined) {
      this.lose(redis, fault === 'connection closed' ? said : fault);
      return;
    }
    this.#redis = redis;
    this.#readyAt = this.#deps.clock.now();
    this.heard();
    this.#listen(redis);
    this.#deps.onReady(redis);
  }

  /** Why it is no good. */
  async #tryOut(redis: Commands): Promise<string | undefined> {
    const { clock } = this.#deps;
    const { connectMs, commandMs } = this.#settings;
    const connected = await whenOrAfter(clock, connectMs, () => redis.connect());
    if (connected.kind === 'late') return `no connection within ${connectMs} ms`;
    if (connected.kind === 'failed') return faultText(connected.error);
    return this.#answers(redis, commandMs);
  }

  async #answers(redis: Commands, withinMs: number): Promise<string | undefined> {
    const answered = await whenOrAfter(this.#deps.clock, withinMs, () => redis.ping());
    if (answered.kind === 'late') return `no answer within ${withinMs} ms`;
    if (answered.kind === 'failed') return faultText(answered.error);
    return answered.value === 'PONG' ? undefined : 'it answers something else than what was asked';
  }

  #listen(redis: Commands): void {
    const { clock } = this.#deps;
    this.#quiet = clock.after(QUIET_MS, () => {
      void this.#sayHello(redis);
    });
  }

  async #sayHello(redis: Commands): Promise<void> {
    if (this.#deps.clock.now() - this.#heardAt >= QUIET_MS) {
      const fault = await this.#answers(redis, this.#settings.commandMs);
      if (this.#redis !== redis) return;
      if (fault !== undefined) {
        this.lose(redis, fault);
        return;
      }
    }
    if (this.#redis === redis) this.#listen(redis);
  }
}
