import type { Random } from '../../base/random.ts';
import { scopeOf, type FaultKind } from './fault-kinds.ts';
import {
  missingPart,
  NO_FAULTS,
  parseFault,
  planOf,
  required,
  type Fault,
  type FaultPlan,
  type FaultyParts,
} from './faults.ts';

/** What will go wrong with one message of cache events, or with one request for old ones. */
export interface MessageFaults {
  readonly lose?: Fault;
  readonly garbage?: Fault;
  readonly huge?: Fault;
  readonly wrongRank?: Fault;
  readonly delay?: Fault;
  readonly lateReplay?: Fault;
}

const MESSAGE_PLACES: Readonly<Partial<Record<FaultKind, keyof MessageFaults>>> = {
  kv_lose: 'lose',
  kv_garbage: 'garbage',
  kv_huge: 'huge',
  kv_wrong_rank: 'wrongRank',
  kv_delay: 'delay',
};

const NO_PARTS: FaultyParts = { publishesEvents: false, handsKvOver: false };

/** The faults of one worker, and the draw for each request. */
export class FaultSet {
  #faults: readonly Fault[] = [];
  readonly #random: Random;
  readonly #onChange: () => void;
  readonly #parts: FaultyParts;

  constructor(random: Random, onChange: () => void, parts: FaultyParts = NO_PARTS) {
    this.#random = random;
    this.#onChange = onChange;
    this.#parts = parts;
  }

  get list(): readonly Fault[] {
    return this.#faults;
  }

  /** Replaces all faults. Throws a RangeError that says what is wrong with which one. */
  set(sources: readonly unknown[]): void {
    const faults = sources.map((source) => required(parseFault(source)));
    const problem = faults.map((fault) => this.missing(fault)).find((text) => text !== undefined);
    if (problem !== undefined) throw new RangeError(problem);
    this.#faults = faults;
    this.#onChange();
  }

  /** Why this worker cannot have such a fault; undefined: it can. */
  missing(fault: Fault): string | undefined {
    return missingPart(fault, this.#parts);
  }

  clear(): void {
    this.set([]);
  }

  /** One more. Throws a RangeError that says what is wrong with it. */
  add(source: unknown): void {
    this.#faults = [...this.#faults, required(parseFault(source))];
    this.#onChange();
  }

  remove(fault: Fault): void {
    if (!this.#faults.includes(fault)) return;
    this.#faults = this.#faults.filter((other) => other !== fault);
    this.#onChange();
  }

  /** The fault of a kind that concerns the worker as a whole. */
  whole(kind: 'refuse' | 'hung_engine' | 'kv_stop' | 'kv_restart' | 'pd_side_down'): Fault | undefined {
    return this.#faults.find((fault) => fault.kind === kind);
  }

  plan(path: string, inference: boolean): FaultPlan {
    if (this.#faults.length === 0) return NO_FAULTS;
    const hit = this.#faults.filter((fault) => {
      if (scopeOf(fault.kind) !== 'request') return false;
      const applies =
        fault.path === undefined ? inference : fault.path === '*' || path.startsWith(fault.path);
      return applies && this.#hits(fault);
    });
    return planOf(hit);
  }

  /** What happens to the next message of cache events. */
  ofMessage(): MessageFaults {
    const plan: { -readonly [Key in keyof MessageFaults]: MessageFaults[Key] } = {};
    for (const fault of this.#faults) {
      const place = MESSAGE_PLACES[fault.kind];
      if (place !== undefined && this.#hits(fault)) plan[place] ??= fault;
    }
    return plan;
  }

  /** What happens to the next request for old ones. */
  ofReplay(): MessageFaults {
    const late = this.#faults.find((fault) => fault.kind === 'kv_late_replay' && this.#hits(fault));
    return late ? { lateReplay: late } : {};
  }

  #hits(fault: Fault): boolean {
    if (fault.times <= 0 || (fault.rate < 1 && this.#random() >= fault.rate)) return false;
    fault.times--;
    return true;
  }
}
