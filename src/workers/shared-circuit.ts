import type { Clock } from '../base/clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import type { BreakerStateName, Circuit } from './breaker.ts';
import { epochOf, stateOf, wordOf, type BreakerCells, type BreakerWord } from './breaker-cells.ts';
import { TakenPermit, type Permit, type Settle } from './permit.ts';

/**
 * The breaker of a worker that several threads send requests to. Its state is in the memory they share, trial places
 * are taken there, and a thread that finds its time to be up makes it half-open there. Everything else is decided by control:
 * it is told of all outcomes that can change something.
 */
export abstract class SharedCircuit implements Circuit {
  protected readonly cells: BreakerCells;
  protected readonly slot: number;
  readonly #clock: Clock;
  #settings: BreakerSettings;

  constructor(cells: BreakerCells, slot: number, settings: BreakerSettings, clock: Clock) {
    this.cells = cells;
    this.slot = slot;
    this.#settings = settings;
    this.#clock = clock;
  }

  reconfigure(settings: BreakerSettings): void {
    this.#settings = settings;
  }

  get failedAt(): number {
    return this.cells.failedAt(this.slot);
  }

  get isClosed(): boolean {
    return stateOf(this.cells.word(this.slot)) === 'closed';
  }

  state(now: number): BreakerStateName {
    return stateOf(this.#look(now));
  }

  admits(now: number): boolean {
    const word = this.#look(now);
    const state = stateOf(word);
    if (state !== 'half_open') return state === 'closed';
    return this.cells.hasTrial(this.slot, epochOf(word), this.#settings.halfOpenTrials);
  }

  permit(now: number): Permit {
    const word = this.#look(now);
    const epoch = epochOf(word);
    const state = stateOf(word);
    const place =
      state === 'half_open' ? this.cells.takeTrial(this.slot, epoch, this.#settings.halfOpenTrials) : -1;
    return new TakenPermit(this.#settle, epoch, place, place >= 0 || state === 'closed');
  }

  /** An outcome that may change something. */
  protected abstract tell(outcome: 'success' | 'failure', epoch: number, now: number): void;

  /** It is half-open by this thread's doing. */
  protected abstract woke(): void;

  readonly #settle: Settle<number> = (outcome, epoch, place) => {
    // The place of a failed trial is no place any more when control has heard of it; until then nobody is to have it.
    if (place >= 0 && outcome !== 'failure') this.cells.giveTrial(place, epoch);
    if (outcome === 'success') this.#succeeded(epoch);
    else if (outcome === 'failure') this.#failed(epoch, this.#clock.now());
  };

  #succeeded(epoch: number): void {
    const { cells, slot } = this;
    const word = cells.word(slot);
    const state = stateOf(word);
    const counts = state === 'closed' ? cells.counted(slot) > 0 : isTrialOf(word, epoch);
    if (counts) this.tell('success', epoch, 0);
  }

  #failed(epoch: number, now: number): void {
    const { cells, slot } = this;
    cells.failed(slot, now);
    if (!this.#settings.enabled) return;
    const word = cells.word(slot);
    const isClosed = stateOf(word) === 'closed';
    // From now on successes are told. Control may be about to write that nothing is counted, for a success before this: then
    // one that comes before it hears of this failure is not told, and the failure counts on. No more than that.
    if (isClosed && cells.counted(slot) === 0) cells.count(slot, 1);
    if (isClosed || isTrialOf(word, epoch)) this.tell('failure', epoch, now);
  }

  #look(now: number): BreakerWord {
    const { cells, slot } = this;
    const word = cells.word(slot);
    if (stateOf(word) !== 'open' || now - cells.openedAt(slot) < this.#settings.openMs) return word;
    if (cells.swap(slot, word, wordOf('half_open', epochOf(word) + 1))) this.woke();
    return cells.word(slot);
  }
}

function isTrialOf(word: BreakerWord, epoch: number): boolean {
  return stateOf(word) === 'half_open' && epochOf(word) === epoch;
}
