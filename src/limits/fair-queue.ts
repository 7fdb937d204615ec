import type { Clock } from '../base/clock.ts';
import type { PriorityClass } from '../config/settings/settings.ts';
import { DeficitRoundRobin, type FlowState } from './deficit-round-robin.ts';

/** From the first to be served to the last. */
export const PRIORITY_CLASSES: readonly PriorityClass[] = ['high', 'normal', 'low'];

/** Where a request belongs in the queue. */
export interface Standing {
  /** Whose request it is: the flows of a class share. */
  readonly flow: string;
  readonly priority: PriorityClass;
}

/** A turn that was charged to a flow. */
export interface Bill {
  /** It really took so many tokens. At most once. */
  settle(tokens: number): void;
}

export interface QueuedFlow extends FlowState {
  readonly priority: PriorityClass;
}

/** Who waits, and in which order: class by class, and within a class by deficit round robin over the flows. */
export class FairQueue<W> {
  readonly #classes: ReadonlyMap<PriorityClass, DeficitRoundRobin<W>>;

  constructor(clock: Clock) {
    this.#classes = new Map(PRIORITY_CLASSES.map((priority) => [priority, new DeficitRoundRobin(clock)]));
  }

  sizeOf(priority: PriorityClass): number {
    return this.#classes.get(priority)?.size ?? 0;
  }

  /** Flows of which something is known. */
  get flowCount(): number {
    let count = 0;
    for (const order of this.#classes.values()) count += order.flows;
    return count;
  }

  /** `tokens` is asked at most once, and only where the order depends on it. Returns how to leave, idempotent. */
  add({ flow, priority }: Standing, waiter: W, tokens: () => number): () => void {
    const order = this.#orderOf(priority);
    const seat = order.add(flow, waiter, tokens);
    return () => {
      order.leave(seat);
    };
  }

  /** Whose turn it is, taken out of the queue. */
  take(): { readonly waiter: W; readonly bill: Bill | undefined } | undefined {
    for (const order of this.#classes.values()) {
      const turn = order.take();
      if (turn === undefined) continue;
      const { waiter, charge } = turn;
      return { waiter, bill: charge && { settle: (tokens) => order.settle(charge, tokens) } };
    }
    return undefined;
  }

  /**
   * Whose place a newcomer may have when there is none left: the newest of the longest flow of the lowest class, if the
   * newcomer is of a higher class, or of a flow that has fewer waiting even with the newcomer among them.
   */
  rivalOf({ flow, priority }: Standing): W | undefined {
    for (const [lowest, order] of [...this.#classes].reverse()) {
      if (lowest === priority)
        return order.longest > order.lengthOf(flow) + 1 ? order.newestOfLongest?.waiter : undefined;
      if (order.size > 0) return order.newestOfLongest?.waiter;
    }
    return undefined;
  }

  /** Who is missed least when places are taken away: the newest of the longest flow of the lowest class. */
  get leastEntitled(): W | undefined {
    const lowest = [...this.#classes.values()].findLast(({ size }) => size > 0);
    return lowest?.newestOfLongest?.waiter;
  }

  /** The flows of which something is known, those with the most waiting first. */
  flows(limit: number): QueuedFlow[] {
    const all = [...this.#classes].flatMap(([priority, order]) =>
      [...order.states()].map((state) => ({ ...state, priority })),
    );
    return all
      .sort((left, right) => right.waiting - left.waiting || left.deficit - right.deficit)
      .slice(0, limit);
  }

  #orderOf(priority: PriorityClass): DeficitRoundRobin<W> {
    const order = this.#classes.get(priority);
    if (order === undefined) throw new Error(`there is no class ${priority}`);
    return order;
  }
}
