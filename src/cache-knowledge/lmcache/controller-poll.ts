import type { Clock, Timer } from '../../base/clock.ts';
import { inPieces, type Pieces } from '../../base/in-pieces.ts';
import type { AskController, ControllerApi, ControllerCall, LmcacheInstance, Reading } from './controller.ts';
import { LIST_WORKERS, readWorkers } from './controller-dialect.ts';
import { NOTHING_KNOWN, type ControllerState, type ControllerStates } from './controller-state.ts';
import { COUNT_KEYS, LIST_INSTANCES, readInstances, readKeyCounts } from './coordinator-dialect.ts';
import { reading } from './json.ts';

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** An instance that nobody knows has the list read again at most this often. */
const REFRESH_MS = 3000;

export interface PollSettings {
  readonly api: 'auto' | ControllerApi;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** What came of one try to read the list. `unlisted`: the controller has none. */
export type PollOutcome = 'listed' | 'unlisted' | 'timeout' | 'error';

export interface PollDeps {
  readonly clock: Clock;
  readonly ask: AskController;
  /** `message`: what is wrong, in words that follow the name of the controller. */
  readonly onPolled: (outcome: PollOutcome, message: string) => void;
}

type Listing =
  | { readonly kind: 'listed'; readonly api: ControllerApi; readonly instances: readonly LmcacheInstance[] }
  /** There is no such route. */
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'failed';
      readonly outcome: 'timeout' | 'error';
      readonly message: string;
      readonly came: boolean;
    };

/**
 * Reads now and then which instances there are and how much each stores, and finds out which kind of controller it is. It may
 * be down, at the start as well: then it is asked again in the same period.
 */
export class ControllerPoll implements ControllerStates {
  readonly #deps: PollDeps;
  #settings: PollSettings;
  #state = NOTHING_KNOWN;
  #listeners: ((state: ControllerState) => void)[] = [];
  #timer: Timer | undefined;
  #wanted = false;
  #asking = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Answers to what was asked under other settings are not wanted. */
  #epoch = 0;

  constructor(settings: PollSettings, deps: PollDeps) {
    this.#settings = settings;
    this.#deps = deps;
  }

  get state(): ControllerState {
    return this.#state;
  }

  onState(listener: (state: ControllerState) => void): void {
    this.#listeners.push(listener);
  }

  want(wanted: boolean): void {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    if (wanted) this.#begin();
    else this.#forget();
  }

  /** @param isSame Whether it is the controller of before: what it said counts then. */
  reconfigure(settings: PollSettings, isSame: boolean): void {
    this.#settings = settings;
    if (!isSame) this.#forget();
    if (this.#wanted) this.#begin();
  }

  refresh(): void {
    const since = this.#deps.clock.now() - this.#askedAt;
    if (this.#wanted && !this.#asking && since >= REFRESH_MS) this.#begin();
  }

  close(): void {
    this.#listeners = [];
    this.#wanted = false;
    this.#forget();
  }

  #forget(): void {
    this.#timer?.cancel();
    this.#epoch += 1;
    this.#asking = false;
    this.#become(NOTHING_KNOWN);
  }

  #begin(): void {
    this.#timer?.cancel();
    if (this.#asking) return;
    this.#asking = true;
    const epoch = this.#epoch;
    void this.#poll(epoch).then(() => {
      if (epoch !== this.#epoch) return;
      this.#asking = false;
      this.#timer = this.#deps.clock.after(this.#settings.intervalMs, () => {
        this.#begin();
      });
    });
  }

  async #poll(epoch: number): Promise<void> {
    const { clock, onPolled } = this.#deps;
    this.#askedAt = clock.now();
    const listing = await this.#list();
    if (epoch !== this.#epoch) return;
    const before = this.#state;
    switch (listing.kind) {
      case 'listed': {
        const { api, instances } = listing;
        this.#become({ api, instances, listedAt: clock.now(), reachable: true });
        onPolled('listed', '');
        break;
      }
      case 'absent': {
        const { api } = this.#settings;
        // Without a list it can only be the oldest kind of controller.
        this.#become({ ...NOTHING_KNOWN, api: api === 'auto' ? 'controller' : api, reachable: true });
        onPolled('unlisted', 'has no list of its instances: how much each stores is not known');
        break;
      }
      case 'failed':
        // What answers wrongly is there; what was known stays while it is fresh enough.
        this.#become({ ...before, reachable: listing.came });
        onPolled(listing.outcome, listing.message);
    }
  }

  async #list(): Promise<Listing> {
    const { api } = this.#settings;
    const known = api === 'auto' ? this.#state.api : api;
    if (known === 'coordinator') {
      const listing = await this.#listInstances();
      if (listing.kind !== 'absent' || api !== 'auto') return listing;
    }
    const listing = await this.#listWorkers();
    if (listing.kind !== 'absent' || api !== 'auto' || known === 'coordinator') return listing;
    return this.#listInstances();
  }

  #listWorkers(): Promise<Listing> {
    return this.#ask(LIST_WORKERS, 'controller', readWorkers);
  }

  async #listInstances(): Promise<Listing> {
    const listing = await this.#ask(LIST_INSTANCES, 'coordinator', readInstances);
    if (listing.kind !== 'listed') return listing;
    const { timeoutMs } = this.#settings;
    const answer = await this.#deps.ask(COUNT_KEYS, { timeoutMs, maxBytes: MAX_ANSWER_BYTES });
    const counts =
      answer.kind === 'response' && answer.status === 200
        ? await inPieces(reading(answer.body, readKeyCounts))
        : undefined;
    if (!counts) return listing;
    const instances = listing.instances.map((one) => ({ ...one, chunks: counts.get(one.id) ?? 0 }));
    return { ...listing, instances };
  }

  async #ask(
    call: ControllerCall,
    api: ControllerApi,
    read: (answer: unknown) => Pieces<Reading<LmcacheInstance> | undefined>,
  ): Promise<Listing> {
    const { timeoutMs } = this.#settings;
    const answer = await this.#deps.ask(call, { timeoutMs, maxBytes: MAX_ANSWER_BYTES });
    if (answer.kind === 'failed') {
      const outcome = answer.code === 'timeout' ? 'timeout' : 'error';
      return { kind: 'failed', outcome, message: answer.message, came: false };
    }
    const { status, body } = answer;
    if (status === 404 || status === 405) return { kind: 'absent' };
    const list = status === 200 ? await inPieces(reading(body, read)) : undefined;
    if (list) return { kind: 'listed', api, instances: list.entries };
    const message =
      status === 200
        ? `answered ${call.path} with something else`
        : `answered ${call.path} with status ${status}`;
    return { kind: 'failed', outcome: 'error', message, came: true };
  }

  #become(state: ControllerState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}
