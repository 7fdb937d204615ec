import { NO_LOAD, type WorkerLoad } from '../workers/foreign-loads.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { Roster } from '../workers/roster.ts';
import type { LoadEntry, ReplicaMessage } from './replica-message.ts';

/** Replicas beyond this many are not listened to. */
export const MOST_REPLICAS = 256;

/** The last number of each kind of message. */
type Numbers = Partial<Record<ReplicaMessage['kind'], number>>;

interface Replica {
  heardAt: number;
  readonly numbers: Numbers;
  readonly loads: Map<string, LoadEntry>;
}

/**
 * What each other replica has on each worker, as it said last. Their sum goes into the ledger; what a replica had is gone with it: when
 * it says so, or when nothing has been heard of it for a while. Only workers that this replica has registered are kept, so it
 * is bounded by them.
 */
export class ReplicaLoads {
  readonly #registry: Roster;
  readonly #ledger: LoadLedger;
  readonly #byOrigin = new Map<string, Replica>();
  /** The last numbers of those that are gone, so that what they said cannot be said for them once more. */
  readonly #gone = new Map<string, Numbers>();

  constructor(registry: Roster, ledger: LoadLedger) {
    this.#registry = registry;
    this.#ledger = ledger;
  }

  get origins(): Iterable<string> {
    return this.#byOrigin.keys();
  }

  get count(): number {
    return this.#byOrigin.size;
  }

  /**
   * Its sender is there. `late`: as much or more has been said by it before, so that anybody may be saying it once more; `crowded`: it is
   * one too many.
   */
  heard({ origin, kind, number }: ReplicaMessage, now: number): 'new' | 'late' | 'crowded' {
    const known = this.#byOrigin.get(origin);
    const numbers = known?.numbers ?? this.#gone.get(origin) ?? {};
    if (number <= (numbers[kind] ?? 0)) return 'late';
    if (known) known.heardAt = now;
    else if (this.#byOrigin.size >= MOST_REPLICAS) return 'crowded';
    else this.#byOrigin.set(origin, { heardAt: now, numbers, loads: new Map() });
    numbers[kind] = number;
    return 'new';
  }

  take(
    origin: string,
    { whole, loads }: { readonly whole: boolean; readonly loads: readonly LoadEntry[] },
  ): void {
    const replica = this.#byOrigin.get(origin);
    if (!replica) return;
    const before = whole ? new Set(replica.loads.keys()) : undefined;
    for (const load of loads) {
      before?.delete(load.id);
      this.#set(replica, load);
    }
    for (const id of before ?? []) {
      replica.loads.delete(id);
      this.#addUp(id);
    }
  }

  /** It is gone, and what it had is free. False: it was not known. */
  drop(origin: string): boolean {
    const replica = this.#byOrigin.get(origin);
    if (!replica) return false;
    this.#byOrigin.delete(origin);
    this.#gone.delete(origin);
    this.#gone.set(origin, replica.numbers);
    if (this.#gone.size > MOST_REPLICAS)
      for (const first of this.#gone.keys()) {
        this.#gone.delete(first);
        break;
      }
    for (const id of replica.loads.keys()) this.#addUp(id);
    return true;
  }

  /** Those that were heard of before then, and not since, are gone. Returns how many. */
  expire(before: number): number {
    const silent = [...this.#byOrigin].filter(([, { heardAt }]) => heardAt < before);
    for (const [origin] of silent) this.drop(origin);
    return silent.length;
  }

  /** A worker has left: what was said of it is of no use to the next in its slot. */
  forget(id: string): void {
    for (const { loads } of this.#byOrigin.values()) loads.delete(id);
  }

  #set({ loads }: Replica, load: LoadEntry): void {
    const worker = this.#registry.get(load.id);
    if (worker === undefined) return;
    this.#learn(worker.slot, loads.get(load.id), load);
    if (isNothing(load)) loads.delete(load.id);
    else loads.set(load.id, load);
    this.#addUp(load.id);
  }

  /** Its samples since the last message. Of one that is heard for the first time there is no saying how old they are. */
  #learn(slot: number, known: LoadEntry | undefined, { seenTokens, seenMs }: LoadEntry): void {
    if (!known || seenTokens < known.seenTokens) return;
    this.#ledger.learnFromOthers(slot, { tokens: seenTokens - known.seenTokens, ms: seenMs - known.seenMs });
  }

  #addUp(id: string): void {
    const worker = this.#registry.get(id);
    if (!worker) return;
    let sum: WorkerLoad = NO_LOAD;
    for (const { loads } of this.#byOrigin.values()) {
      const load = loads.get(id);
      if (load) sum = plus(sum, load);
    }
    this.#ledger.setForeign(worker.slot, sum);
  }
}

export function isNothing({ running, prefillTokens, kvTokens, seenTokens }: LoadEntry): boolean {
  return running === 0 && prefillTokens === 0 && kvTokens === 0 && seenTokens === 0;
}

function plus(one: WorkerLoad, other: WorkerLoad): WorkerLoad {
  return {
    running: one.running + other.running,
    prefillTokens: one.prefillTokens + other.prefillTokens,
    kvTokens: one.kvTokens + other.kvTokens,
  };
}
