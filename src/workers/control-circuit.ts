import type { Clock } from '../base/clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import { epochOf, stateOf, wordOf, type BreakerCells } from './breaker-cells.ts';
import { Breaker, type BreakerStateName } from './breaker.ts';
import { SharedCircuit } from './shared-circuit.ts';

/** As control has it: the breaker itself, which publishes what it decides. */
export class ControlCircuit extends SharedCircuit {
  readonly #breaker: Breaker;

  constructor(
    cells: BreakerCells,
    slot: number,
    deps: {
      readonly settings: BreakerSettings;
      readonly clock: Clock;
      readonly onTransition: (from: BreakerStateName, to: BreakerStateName) => void;
    },
  ) {
    super(cells, slot, deps.settings, deps.clock);
    // What requests of the slot's former worker may still tell is of another epoch.
    const first = wordOf('closed', epochOf(cells.word(slot)) + 1);
    cells.reset(slot, first);
    const publish = (to: BreakerStateName): void => {
      cells.count(slot, 0);
      cells.publish(slot, wordOf(to, this.#breaker.epoch), this.#breaker.openedAt);
    };
    this.#breaker = new Breaker(
      deps.settings,
      deps.clock,
      (from, to) => {
        publish(to);
        deps.onTransition(from, to);
      },
      epochOf(first),
    );
  }

  override reconfigure(settings: BreakerSettings): void {
    super.reconfigure(settings);
    this.follow();
    this.#breaker.reconfigure(settings);
  }

  override state(now: number): BreakerStateName {
    const state = super.state(now);
    // Who made it half-open may have ended before it could tell.
    this.follow();
    return state;
  }

  /** What came of a request, in whichever thread. */
  count(outcome: 'success' | 'failure', epoch: number, now: number): void {
    this.follow();
    this.#breaker.count(outcome, epoch, now);
    this.recount();
  }

  /** A thread may have made it half-open. */
  follow(): void {
    if (this.#breaker.openedAt !== undefined && stateOf(this.cells.word(this.slot)) === 'half_open')
      this.#breaker.wake();
  }

  /** What threads have counted beside is of no account: of some nobody has heard. */
  recount(): void {
    this.cells.count(this.slot, this.#breaker.counted);
  }

  protected override tell(outcome: 'success' | 'failure', epoch: number, now: number): void {
    this.count(outcome, epoch, now);
  }

  protected override woke(): void {
    this.follow();
  }
}
