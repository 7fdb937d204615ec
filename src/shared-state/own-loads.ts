import { NO_LOAD } from '../workers/foreign-loads.ts';
import type { LoadLedger } from '../workers/ledger.ts';
import type { Roster } from '../workers/roster.ts';
import { isNothing } from './replica-loads.ts';
import { MOST_WORKERS, type LoadEntry } from './replica-message.ts';

/** What this replica has said of its own load, so that it says only what is new. */
export class OwnLoads {
  readonly #registry: Roster;
  readonly #ledger: LoadLedger;
  readonly #said = new Map<string, LoadEntry>();

  constructor(registry: Roster, ledger: LoadLedger) {
    this.#registry = registry;
    this.#ledger = ledger;
  }

  /** What has changed since it was said last, at most as much as goes into one message. */
  changes(now: number): readonly LoadEntry[] {
    const changed: LoadEntry[] = [];
    for (const entry of this.#entries(now)) {
      const said = this.#said.get(entry.id);
      if (said ? isSame(said, entry) : isNothing(entry)) continue;
      if (changed.length === MOST_WORKERS) break;
      this.#say(entry);
      changed.push(entry);
    }
    return changed;
  }

  /** All that is there. Beyond what goes into one message it is left to the next `changes`. */
  all(now: number): readonly LoadEntry[] {
    this.#said.clear();
    const entries: LoadEntry[] = [];
    for (const entry of this.#entries(now)) {
      if (isNothing(entry)) continue;
      if (entries.length === MOST_WORKERS) break;
      this.#say(entry);
      entries.push(entry);
    }
    return entries;
  }

  #say(entry: LoadEntry): void {
    if (isNothing(entry)) this.#said.delete(entry.id);
    else this.#said.set(entry.id, entry);
  }

  *#entries(now: number): Generator<LoadEntry> {
    for (const { id, slot } of this.#registry.workers) {
      const { tokens: seenTokens, ms: seenMs } = this.#ledger.seenHere(slot);
      yield { id, ...this.#ledger.ownLoad(slot, now), seenTokens, seenMs };
    }
    // Those that have left meanwhile.
    for (const id of this.#said.keys())
      if (this.#registry.get(id) === undefined) yield { id, ...NO_LOAD, seenTokens: 0, seenMs: 0 };
  }
}

function isSame(one: LoadEntry, other: LoadEntry): boolean {
  return (
    one.running === other.running &&
    one.prefillTokens === other.prefillTokens &&
    one.kvTokens === other.kvTokens &&
    one.seenTokens === other.seenTokens
  );
}
