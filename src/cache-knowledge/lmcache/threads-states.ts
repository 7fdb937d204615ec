import type { Channel, Channels } from '../../base/channel.ts';
import type { ControllerPoll } from './controller-poll.ts';
import { NOTHING_KNOWN, type ControllerState, type ControllerStates } from './controller-state.ts';
import { LMCACHE_IS, LMCACHE_REFRESH, LMCACHE_WANTED } from './lmcache-messages.ts';

/** In control: asks for all threads, as long as one of them needs it, and tells them what comes of it. */
export class StatesOfThreads implements ControllerStates {
  readonly #poll: ControllerPoll;
  readonly #wanted = new Set<number>();
  readonly #self: number;

  constructor(poll: ControllerPoll, channels: Channels, self: number) {
    this.#poll = poll;
    this.#self = self;
    poll.onState((state) => {
      channels.broadcast(LMCACHE_IS, state);
    });
    channels.on(LMCACHE_WANTED, (row, wanted) => {
      this.#want(row, wanted);
      if (wanted) channels.to(row)?.post(LMCACHE_IS, poll.state);
    });
    channels.on(LMCACHE_REFRESH, () => {
      poll.refresh();
    });
    channels.onEnded((row) => {
      this.#want(row, false);
    });
  }

  get state(): ControllerState {
    return this.#poll.state;
  }

  onState(listener: (state: ControllerState) => void): void {
    this.#poll.onState(listener);
  }

  want(wanted: boolean): void {
    this.#want(this.#self, wanted);
  }

  refresh(): void {
    this.#poll.refresh();
  }

  #want(row: number, wanted: boolean): void {
    if (wanted) this.#wanted.add(row);
    else this.#wanted.delete(row);
    this.#poll.want(this.#wanted.size > 0);
  }
}

/** In a request thread: what control has told. */
export class StatesOfThread implements ControllerStates {
  readonly #channel: Channel;
  #state = NOTHING_KNOWN;
  #listeners: ((state: ControllerState) => void)[] = [];
  #wanted = false;

  constructor(channel: Channel) {
    this.#channel = channel;
    channel.on(LMCACHE_IS, (state) => {
      this.#state = state;
      for (const listener of this.#listeners) listener(state);
    });
  }

  get state(): ControllerState {
    return this.#state;
  }

  onState(listener: (state: ControllerState) => void): void {
    this.#listeners = [...this.#listeners, listener];
  }

  want(wanted: boolean): void {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#channel.post(LMCACHE_WANTED, wanted);
  }

  refresh(): void {
    this.#channel.post(LMCACHE_REFRESH, null);
  }
}
