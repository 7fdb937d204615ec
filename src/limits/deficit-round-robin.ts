import type { Clock } from '../base/clock.ts';
import { Heap, type HeapNode } from './heap.ts';
import { Line, type Link } from './line.ts';

/** What a turn was charged to a flow, to be corrected when it is known what it really took. */
export interface Charge {
  readonly flow: string;
  readonly tokens: number;
  /** Which stretch of waiting of the flow it belongs to. */
  readonly joined: number;
}

/** Somebody's place in the line of a flow. */
export interface Seat<W> {
  readonly waiter: W;
  readonly flow: Flow<W>;
  readonly tokens: () => number;
  /** `tokens()`, once somebody had to know. */
  cost: number | undefined;
  link: Link<Seat<W>> | undefined;
}

interface Flow<W> {
  readonly name: string;
  readonly seats: Line<Seat<W>>;
  /** Tokens charged, on the scale of the rounds: by the end of round r, r quanta may be spent. */
  spent: number;
  /** The round in which its first seat can be paid for. Kept up to date only while another flow waits. */
  turn: number;
  /** Number of its stretch of waiting; the order within a round. */
  joined: number;
  /** Both are there while somebody waits. */
  turnNode: HeapNode<Flow<W>> | undefined;
  lengthNode: HeapNode<Flow<W>> | undefined;
  /** There while nobody waits, but more was spent than its share. */
  idleLink: Link<Flow<W>> | undefined;
  idleSince: number;
}

export interface FlowState {
  readonly name: string;
  readonly waiting: number;
  /** Tokens it may still spend in this round; below zero it sits out rounds. */
  readonly deficit: number;
}

/** Small against a request of the usual size, so that flows take turns request by request. */
export const QUANTUM_TOKENS = 128;
/** As much as one request can be charged, and as much as a flow can owe: nobody is locked out for long. */
export const MOST_TOKENS = 262_144;
/** What an idle flow owes is forgotten by halves. */
const DEBT_HALF_LIFE_MS = 30_000;
const MOST_IDLE_FLOWS = 4096;

/**
 * Deficit round robin: in each round a flow may spend a quantum of tokens, so flows that wait for the same time are
 * served the same tokens, whatever the number and the size of their requests. A request above the quantum is saved up for
 * over rounds, and those in which nobody can be served are not gone through: the flow of the earliest round comes next.
 * Who comes back from idleness brings no savings, but what it owes. A flow that waits alone is charged nothing.
 */
export class DeficitRoundRobin<W> {
  readonly #clock: Clock;
  readonly #flows = new Map<string, Flow<W>>();
  readonly #turns = new Heap<Flow<W>>(isSooner);
  readonly #lengths = new Heap<Flow<W>>(isLonger);
  readonly #idle = new Line<Flow<W>>();
  #round = 1;
  #joins = 0;
  #size = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Seats taken. */
  get size(): number {
    return this.#size;
  }

  /** Flows of which something is known: somebody waits, or it owes. */
  get flows(): number {
    return this.#flows.size;
  }

  lengthOf(flow: string): number {
    return this.#flows.get(flow)?.seats.size ?? 0;
  }

  get longest(): number {
    return this.#lengths.top?.seats.size ?? 0;
  }

  /** Who came last to the longest flow. */
  get newestOfLongest(): Seat<W> | undefined {
    return this.#lengths.top?.seats.last;
  }

  add(name: string, waiter: W, tokens: () => number): Seat<W> {
    const flow = this.#flows.get(name) ?? this.#open(name);
    const seat: Seat<W> = { waiter, flow, tokens, cost: undefined, link: undefined };
    seat.link = flow.seats.append(seat);
    this.#size += 1;
    if (flow.lengthNode === undefined) this.#join(flow);
    else this.#lengths.moved(flow.lengthNode);
    return seat;
  }

  /** Whose turn it is; leaves its seat. No charge where nobody else could have had the turn. */
  take(): { readonly waiter: W; readonly charge: Charge | undefined } | undefined {
    const flow = this.#turns.top;
    const seat = flow?.seats.first;
    if (flow === undefined || seat === undefined) return undefined;
    let charge: Charge | undefined;
    if (this.#turns.size === 1) flow.spent = Math.max(flow.spent, this.#floor);
    else {
      this.#round = flow.turn;
      const tokens = costOf(seat);
      flow.spent += tokens;
      charge = { flow: flow.name, tokens, joined: flow.joined };
    }
    this.leave(seat);
    return { waiter: seat.waiter, charge };
  }

  /** Idempotent. */
  leave(seat: Seat<W>): void {
    const { flow, link } = seat;
    if (link === undefined || flow.lengthNode === undefined) return;
    const wasFirst = flow.seats.first === seat;
    flow.seats.remove(link);
    seat.link = undefined;
    this.#size -= 1;
    if (flow.seats.size === 0) this.#rest(flow);
    else {
      this.#lengths.moved(flow.lengthNode);
      if (wasFirst) this.#retime(flow);
    }
  }

  /** The turn really took so many tokens. */
  settle(charge: Charge, tokens: number): void {
    const more = bounded(tokens) - charge.tokens;
    const flow = this.#flows.get(charge.flow) ?? (more > 0 ? this.#open(charge.flow) : undefined);
    if (flow === undefined || more === 0) return;
    if (flow.lengthNode === undefined) this.#decay(flow);
    const spent = flow.spent + more;
    if (more > 0)
      flow.spent = Math.max(flow.spent, Math.min(spent, this.#round * QUANTUM_TOKENS + MOST_TOKENS));
    // Only who has waited ever since was kept from something by what it was charged too much.
    else if (flow.lengthNode !== undefined && flow.joined === charge.joined)
      flow.spent = Math.max(spent, this.#floor - MOST_TOKENS);
    else flow.spent = Math.max(spent, Math.min(flow.spent, this.#floor));
    if (flow.lengthNode !== undefined) this.#retime(flow);
    else this.#rest(flow);
  }

  *states(): Generator<FlowState> {
    for (const flow of this.#flows.values()) {
      if (flow.lengthNode === undefined) this.#decay(flow);
      const deficit = this.#round * QUANTUM_TOKENS - flow.spent;
      yield { name: flow.name, waiting: flow.seats.size, deficit };
    }
  }

  /** Where a flow stands that has spent its share of the rounds before this one. */
  get #floor(): number {
    return (this.#round - 1) * QUANTUM_TOKENS;
  }

  #open(name: string): Flow<W> {
    const flow: Flow<W> = {
      name,
      seats: new Line(),
      spent: this.#floor,
      turn: this.#round,
      joined: 0,
      turnNode: undefined,
      lengthNode: undefined,
      idleLink: undefined,
      idleSince: this.#clock.now(),
    };
    this.#flows.set(name, flow);
    return flow;
  }

  /** Its first seat was taken. */
  #join(flow: Flow<W>): void {
    this.#decay(flow);
    this.#wake(flow);
    flow.spent = Math.max(flow.spent, this.#floor);
    flow.joined = ++this.#joins;
    const alone = this.#turns.size === 1 ? this.#turns.top : undefined;
    if (alone) alone.turn = this.#turnOf(alone);
    if (this.#turns.size > 0) flow.turn = this.#turnOf(flow);
    flow.turnNode = this.#turns.add(flow);
    flow.lengthNode = this.#lengths.add(flow);
  }

  /** Nobody waits. What it owes is kept for a while. */
  #rest(flow: Flow<W>): void {
    if (flow.turnNode) this.#turns.remove(flow.turnNode);
    if (flow.lengthNode) this.#lengths.remove(flow.lengthNode);
    flow.turnNode = undefined;
    flow.lengthNode = undefined;
    this.#wake(flow);
    flow.idleSince = this.#clock.now();
    flow.idleLink = this.#idle.append(flow);
    if (flow.spent <= this.#floor) this.#forget(flow);
    // At most one is added at a time, so two looks at the oldest keep up.
    for (let looks = 0; looks < 2; looks += 1) {
      const oldest = this.#idle.first;
      if (oldest === undefined) return;
      this.#decay(oldest);
      if (oldest.spent <= this.#floor || this.#idle.size > MOST_IDLE_FLOWS) this.#forget(oldest);
    }
  }

  #wake(flow: Flow<W>): void {
    if (flow.idleLink) this.#idle.remove(flow.idleLink);
    flow.idleLink = undefined;
  }

  #forget(flow: Flow<W>): void {
    this.#wake(flow);
    this.#flows.delete(flow.name);
  }

  #decay(flow: Flow<W>): void {
    const owed = flow.spent - this.#floor;
    const now = this.#clock.now();
    if (owed > 0)
      flow.spent = this.#floor + Math.floor(owed * 0.5 ** ((now - flow.idleSince) / DEBT_HALF_LIFE_MS));
    flow.idleSince = now;
  }

  #retime(flow: Flow<W>): void {
    if (this.#turns.size < 2 || flow.turnNode === undefined) return;
    flow.turn = this.#turnOf(flow);
    this.#turns.moved(flow.turnNode);
  }

  #turnOf(flow: Flow<W>): number {
    const first = flow.seats.first;
    const cost = first === undefined ? 0 : costOf(first);
    return Math.max(this.#round, Math.ceil((flow.spent + cost) / QUANTUM_TOKENS));
  }
}

function isSooner<W>(left: Flow<W>, right: Flow<W>): boolean {
  return left.turn < right.turn || (left.turn === right.turn && left.joined < right.joined);
}

function isLonger<W>(left: Flow<W>, right: Flow<W>): boolean {
  const more = left.seats.size - right.seats.size;
  return more > 0 || (more === 0 && left.joined > right.joined);
}

function costOf<W>(seat: Seat<W>): number {
  return (seat.cost ??= Math.max(1, bounded(seat.tokens())));
}

/** Clients choose these numbers. */
function bounded(tokens: number): number {
  return tokens > 0 ? Math.min(MOST_TOKENS, Math.ceil(tokens)) : 0;
}
