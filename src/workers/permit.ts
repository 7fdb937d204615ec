/**
 * The right to send one request, to be given back by exactly one of the three calls; later calls do nothing. Each
 * call returns whether it was the one that counted.
 */
export interface Permit {
  /** Whether the breaker would have admitted the request, too. Another thread may have been faster since it said so. */
  readonly admitted: boolean;
  /** The worker answered as it should, client errors included. */
  success(): boolean;
  /** Transport error, timeout before the first token, 500 (first worker only), 502, 503, 504, broken stream. */
  failure(): boolean;
  /** Says nothing about the worker (the client left): a trial place is given back. */
  cancel(): boolean;
}

export type PermitEnd = Exclude<keyof Permit, 'admitted'>;

/** `grantedIn`: the epoch of the circuit then; `trial`: which trial place goes with it, or whether one does. */
export type Settle<Trial> = (outcome: PermitEnd, grantedIn: number, trial: Trial) => void;

/** Settled once; what comes after that counts for nothing. */
export class TakenPermit<Trial> implements Permit {
  readonly admitted: boolean;
  readonly #settle: Settle<Trial>;
  readonly #epoch: number;
  readonly #trial: Trial;
  #settled = false;

  constructor(settle: Settle<Trial>, epoch: number, trial: Trial, admitted: boolean) {
    this.admitted = admitted;
    this.#settle = settle;
    this.#epoch = epoch;
    this.#trial = trial;
  }

  success(): boolean {
    return this.#once('success');
  }

  failure(): boolean {
    return this.#once('failure');
  }

  cancel(): boolean {
    return this.#once('cancel');
  }

  #once(outcome: PermitEnd): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#settle(outcome, this.#epoch, this.#trial);
    return true;
  }
}
