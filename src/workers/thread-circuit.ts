import type { Clock } from '../base/clock.ts';
import type { BreakerSettings } from '../config/settings/settings.ts';
import type { BreakerCells } from './breaker-cells.ts';
import { SharedCircuit } from './shared-circuit.ts';

/** What a request thread tells of one worker's circuit. */
export interface CircuitReports {
  tell(outcome: 'success' | 'failure', epoch: number, now: number): void;
  woke(): void;
}

/** As a request thread has it. */
export class ThreadCircuit extends SharedCircuit {
  readonly #reports: CircuitReports;

  constructor(
    cells: BreakerCells,
    slot: number,
    deps: { readonly settings: BreakerSettings; readonly clock: Clock; readonly reports: CircuitReports },
  ) {
    super(cells, slot, deps.settings, deps.clock);
    this.#reports = deps.reports;
  }

  protected override tell(outcome: 'success' | 'failure', epoch: number, now: number): void {
    this.#reports.tell(outcome, epoch, now);
  }

  protected override woke(): void {
    this.#reports.woke();
  }
}
