import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { ExactIndex } from '../../cache-knowledge/exact/exact-index.ts';
import type { Coverage } from '../../cache-knowledge/exact/exact-memory.ts';
import type { ExactRow } from '../../cache-knowledge/exact/row-table.ts';
import type { CacheChange, CacheMessage } from './engine-events.ts';

/** What lies between engines and those who follow their events. */
export interface EventChannel {
  readonly delayMs: number;
  /** Share of the messages that do not arrive by themselves. */
  readonly loss: number;
  /** Whether what is missing can be asked for. Without that, who has missed something forgets what it knew, and knows a part from then on. */
  readonly replays: boolean;
  /** Following begins then, ms from the start. */
  readonly joinsAtMs: number;
}

export interface FollowDeps {
  readonly index: ExactIndex;
  readonly clock: Clock;
  readonly random: Random;
  readonly channel: EventChannel;
}

/** A publisher keeps so many of its messages for who asks again: vLLM's default. */
const KEPT_MESSAGES = 10_000;
/** It is not asked more often than so, ms. */
const ASKING_PAUSE_MS = 1000;
/** A block counts as two tokens, the halves of its hash: they are all that a trace says of its contents. */
export const WORDS_PER_BLOCK = 2;
const NO_TOKENS = new Uint32Array(0);

/** What one engine holds, as its events tell it: late, with gaps, and from some time on. */
export class FollowedEngine {
  readonly #deps: FollowDeps;
  readonly #row: ExactRow;
  readonly #onLive: (coverage: Coverage) => void;
  /** The number of the message that comes next. */
  #next = 0;
  /** Messages that were sent and did not arrive: what a replay gives. */
  #missed: CacheMessage[] = [];
  /** Messages that came while it was asking; undefined while it is not. */
  #arrived: CacheMessage[] | undefined;
  #askedAt = -Infinity;
  #joined = false;
  #live = false;
  /** It is whole when the engine's first message has come, and all since. */
  #coverage: Coverage = 'partial';
  #over = false;

  /** `onLive`: from now on it says what the engine holds, all of it or a part. */
  constructor(deps: FollowDeps, row: ExactRow, onLive: (coverage: Coverage) => void) {
    this.#deps = deps;
    this.#row = row;
    this.#onLive = onLive;
    const { clock, channel } = deps;
    const waitMs = channel.joinsAtMs - clock.now();
    if (waitMs <= 0) this.#goLive();
    else clock.after(waitMs, () => this.#join());
  }

  /** The engine has sent something. */
  hear(message: CacheMessage): void {
    const { clock, random, channel } = this.#deps;
    if (this.#joined && random() >= channel.loss) {
      if (channel.delayMs === 0) this.#receive(message);
      else clock.after(channel.delayMs, () => this.#receive(message));
      return;
    }
    this.#missed.push(message);
    if (this.#missed.length > 2 * KEPT_MESSAGES) this.#missed = this.#missed.slice(-KEPT_MESSAGES);
  }

  close(): void {
    this.#over = true;
    this.#missed = [];
  }

  #goLive(): void {
    this.#joined = true;
    this.#live = true;
    this.#onLive(this.#coverage);
  }

  #join(): void {
    if (this.#over) return;
    this.#joined = true;
    if (this.#deps.channel.replays) {
      this.#ask([], () => this.#goLive());
      return;
    }
    const last = this.#missed.at(-1);
    if (last) this.#next = last.sequence + 1;
    this.#missed = [];
    this.#goLive();
  }

  #receive(message: CacheMessage): void {
    if (this.#over) return;
    if (this.#arrived) {
      this.#arrived.push(message);
      return;
    }
    if (message.sequence > this.#next) {
      if (this.#deps.channel.replays) {
        this.#ask([message]);
        return;
      }
      this.#missed = [];
      this.#forget();
    }
    this.#apply(message);
  }

  /** Asks for everything from `#next` on; what arrives meanwhile waits. */
  #ask(arrived: CacheMessage[], then: () => void = () => undefined): void {
    const { clock, channel } = this.#deps;
    this.#arrived = arrived;
    const now = clock.now();
    const asksAt = Math.max(now, this.#askedAt + ASKING_PAUSE_MS);
    this.#askedAt = asksAt;
    clock.after(asksAt - now + 2 * channel.delayMs, () => {
      if (this.#over) return;
      const all = [...this.#missed.slice(-KEPT_MESSAGES), ...(this.#arrived ?? [])];
      this.#missed = [];
      this.#arrived = undefined;
      all.sort((left, right) => left.sequence - right.sequence);
      // The publisher no longer had what was asked for.
      if ((all[0]?.sequence ?? this.#next) > this.#next) this.#forget();
      for (const message of all) this.#apply(message);
      then();
    });
  }

  #forget(): void {
    this.#setCoverage('partial');
    this.#deps.index.clear(this.#row);
  }

  #apply({ sequence, changes }: CacheMessage): void {
    if (sequence < this.#next) return;
    this.#next = sequence + 1;
    for (const change of changes) this.#change(change);
    if (sequence === 0) this.#setCoverage('whole');
  }

  #setCoverage(coverage: Coverage): void {
    if (coverage === this.#coverage) return;
    this.#coverage = coverage;
    if (this.#live) this.#onLive(coverage);
  }

  #change(change: CacheChange): void {
    const { index } = this.#deps;
    if (change.kind === 'removed') {
      index.remove(this.#row, change.blocks, change.tier);
      return;
    }
    const isStored = change.kind === 'stored';
    index.store(this.#row, {
      ...{ kind: 'stored', names: change.blocks, extras: undefined },
      parent: isStored ? change.parent : undefined,
      tokens: isStored ? change.blocks : NO_TOKENS,
      ...{ blockSize: WORDS_PER_BLOCK, adapter: '', salt: '' },
      tier: isStored ? 'gpu' : 'cpu',
    });
  }
}
