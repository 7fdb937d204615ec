import type { Clock, Timer } from '../../base/clock.ts';
import type { Transport } from '../../zmtp/transport.ts';
import type { Coverage, EventsState } from '../exact/exact-memory.ts';
import type { EventCounts, ReplayOutcome } from './event-counts.ts';
import { HeldMessages } from './held-messages.ts';
import type { HeldShares } from './held-shares.ts';
import type { EventMessage } from './message.ts';
import { Replay } from './replay.ts';
import { RowCoverage, type Applied } from './row-coverage.ts';

export interface StreamDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  /** What all streams may hold while they catch up. */
  readonly held: HeldShares;
  /** `state` or `coverage` may be another one. */
  readonly onState: () => void;
}

/** Where the messages of one publisher go. */
export interface StreamTarget {
  apply(payload: Buffer): Applied;
  /** Nothing of what was told so far holds any more. */
  forget(): void;
}

/**
 * `off`: no connection. `settling`: the subscription has been sent. `waiting`: the next replay is not due yet. `replaying`: live
 * messages wait. `live`: each message follows the last.
 */
type Mode = 'off' | 'settling' | 'waiting' | 'replaying' | 'live';

interface Last {
  readonly seq: number;
  readonly mark: number;
}

/** What the first message follows: some publishers begin with 1, so that a replay has to tell whether there was none before it. */
const BEGINNING: Last = { seq: -1, mark: 0 };
/** A subscription takes effect at the publisher a moment after it was sent; what a replay does not have is to be heard by then. */
const SETTLE_MS = 100;
/** The publisher answers between two batches: it is not to be kept from publishing. */
const BETWEEN_REPLAYS_MS = 1000;
/** Without a connection, what was known is of use to a replay for so long. */
const FORGET_AFTER_MS = 60_000;
/** Replays in a row for the same hole. */
const MOST_TRIES = 2;

/**
 * Keeps one publisher's messages without gap or double: what came before the subscription, and whatever was lost on the way, is
 * replayed. What cannot be had again makes it forget, and begin with what there is. A publisher that began anew is known by its
 * number, or by another message under the last one.
 */
export class RankStream {
  readonly #deps: StreamDeps;
  readonly #replayEndpoint: string | undefined;
  readonly #target: StreamTarget;
  readonly #counts: EventCounts;
  readonly #held: HeldMessages;
  readonly #coverage: RowCoverage;
  #mode: Mode = 'off';
  #last: Last | undefined;
  /** A replay has told that nothing had been sent yet: the next message is the first. */
  #isAtBeginning = false;
  #replay: Replay | undefined;
  /** Whether the replay has brought the message that was asked for first, so that it is the same publisher as before. */
  #isProven = false;
  /** The number that the replay was asked for; undefined: all. */
  #askedFrom: number | undefined;
  #outcome: ReplayOutcome = 'complete';
  #replayedAt = -Infinity;
  #tries = 0;
  #wasLive = false;
  #timer: Timer | undefined;

  constructor(
    deps: StreamDeps,
    replayEndpoint: string | undefined,
    target: StreamTarget,
    counts: EventCounts,
  ) {
    this.#deps = deps;
    this.#replayEndpoint = replayEndpoint;
    this.#target = target;
    this.#counts = counts;
    this.#held = new HeldMessages(deps.held, (messages) => {
      counts.dropped.not_held += messages;
    });
    this.#coverage = new RowCoverage(deps.onState);
  }

  get state(): EventsState {
    if (this.#mode === 'live') return 'live';
    return this.#wasLive ? 'lost' : 'connecting';
  }

  /** Whether its target has been told of all that the engine holds. */
  get coverage(): Coverage {
    return this.#coverage.word;
  }

  /** Of the last message that counted; undefined before. */
  get lastSeq(): number | undefined {
    return this.#last?.seq;
  }

  /** Messages are to come from now on. */
  onReady(): void {
    if (this.#replayEndpoint === undefined) {
      this.#timer?.cancel();
      // Nobody can tell whether it is the same publisher, and whether it sent anything meanwhile.
      if (this.#last !== undefined) this.#forget();
      this.#setMode('live');
      return;
    }
    this.#setMode('settling');
    this.#after(SETTLE_MS, () => this.#catchUp());
  }

  onDown(): void {
    if (this.#mode === 'off') return;
    this.#stop();
    this.#after(FORGET_AFTER_MS, () => this.#forget());
  }

  onMessage(message: EventMessage): void {
    switch (this.#mode) {
      case 'live':
        this.#tries = 0;
        if (!this.#take(message, true)) this.#held.push(message);
        return;
      case 'off':
        return;
      case 'settling':
      case 'waiting':
      case 'replaying':
        this.#held.push(message);
    }
  }

  close(): void {
    this.#stop();
    this.#timer?.cancel();
  }

  #stop(): void {
    this.#setMode('off');
    this.#timer?.cancel();
    this.#replay?.close();
    this.#replay = undefined;
    this.#held.clear();
  }

  /** @returns false where it has to wait: what is before it must be replayed. */
  #take(message: EventMessage, mayReplay: boolean): boolean {
    const last = this.#last ?? (this.#isAtBeginning ? BEGINNING : undefined);
    if (last === undefined || message.seq === last.seq + 1) {
      this.#apply(message);
      return true;
    }
    if (message.seq === last.seq && message.mark === last.mark) return true;
    const isGap = message.seq > last.seq;
    if (isGap) this.#counts.gaps += 1;
    else {
      this.#counts.restarts += 1;
      this.#forget();
    }
    if (mayReplay && this.#replayEndpoint !== undefined) {
      this.#catchUp();
      return false;
    }
    if (isGap) this.#forget();
    this.#apply(message);
    return true;
  }

  #apply({ seq, mark, payload }: EventMessage): void {
    if (this.#last === undefined) this.#coverage.begins(seq);
    this.#last = { seq, mark };
    this.#isAtBeginning = false;
    this.#coverage.applied(this.#target.apply(payload), this.#mode === 'live');
  }

  #forget(): void {
    this.#last = undefined;
    this.#isAtBeginning = false;
    this.#coverage.forgotten();
    this.#target.forget();
  }

  #catchUp(): void {
    this.#setMode('waiting');
    const dueInMs = this.#replayedAt + BETWEEN_REPLAYS_MS - this.#deps.clock.now();
    if (dueInMs > 0) this.#after(dueInMs, () => this.#askAgain());
    else this.#askAgain();
  }

  /** From the last message on, that one included: whether it is still the same says whether the publisher is. */
  #askAgain(): void {
    const { transport, clock } = this.#deps;
    if (this.#replayEndpoint === undefined) return;
    this.#setMode('replaying');
    this.#replayedAt = clock.now();
    this.#askedFrom = this.#last?.seq;
    this.#isProven = this.#last === undefined;
    this.#outcome = 'complete';
    this.#replay = new Replay(transport, clock, this.#replayEndpoint, this.#last?.seq ?? 0, {
      onMessage: (message) => this.#onReplayed(message),
      onEnd: (how) => this.#onReplayEnd(how),
    });
  }

  #onReplayed(message: EventMessage): void {
    const last = this.#last;
    if (last === undefined) {
      // Publishers begin with 0 or 1.
      if (message.seq > 1) this.#outcome = 'partial';
      this.#apply(message);
      return;
    }
    if (!this.#isProven && message.seq === last.seq && message.mark !== last.mark) {
      this.#startOver();
      return;
    }
    if (message.seq === last.seq) this.#isProven = true;
    if (message.seq <= last.seq || this.#outcome === 'torn') return;
    const isHole = message.seq > last.seq + 1;
    if (isHole && this.#isProven && last.seq !== this.#askedFrom) {
      this.#outcome = 'torn';
      return;
    }
    if (!this.#isProven || isHole) {
      this.#outcome = 'partial';
      this.#isProven = true;
      this.#forget();
    }
    this.#apply(message);
  }

  /** It is another process than before, and what it sent from its beginning has not been asked for yet. */
  #startOver(): void {
    this.#counts.restarts += 1;
    this.#replay?.close();
    this.#replay = undefined;
    this.#forget();
    this.#catchUp();
  }

  #onReplayEnd(how: 'answered' | 'failed' | 'timeout'): void {
    this.#replay = undefined;
    this.#counts.replays[how === 'answered' ? this.#outcome : how] += 1;
    if (how === 'answered' && !this.#isProven) {
      this.#startOver();
      return;
    }
    if (how === 'answered' && this.#outcome === 'torn') {
      this.#catchUp();
      return;
    }
    this.#isAtBeginning = how === 'answered' && this.#last === undefined;
    // It has not brought the last message that is known: nobody can tell whether anything was missed.
    if (!this.#isProven) this.#forget();
    this.#coverage.replayed(how === 'answered', this.#isAtBeginning);
    this.#setMode('live');
    this.#release(how === 'answered');
  }

  #setMode(mode: Mode): void {
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#wasLive ||= mode === 'live';
    this.#deps.onState();
  }

  /** Goes on with the live messages that waited. */
  #release(isAnswered: boolean): void {
    for (let next = this.#held.peek(); next && this.#mode === 'live'; next = this.#held.peek()) {
      const last = this.#last ?? (this.#isAtBeginning ? BEGINNING : undefined);
      // The replay has brought it already.
      const isKnown = this.#isProven && last !== undefined && next.seq <= last.seq;
      if (!isKnown) {
        const isHole = last !== undefined && next.seq > last.seq + 1;
        if (isHole) this.#tries += 1;
        if (!this.#take(next, isAnswered && this.#tries < MOST_TRIES)) return;
      }
      this.#held.shift();
    }
  }

  #after(delayMs: number, then: () => void): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.clock.after(delayMs, then);
  }
}
