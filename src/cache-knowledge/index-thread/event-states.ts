import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../observe/log.ts';
import type { EventsState } from '../exact/exact-memory.ts';

/** What is known of a worker's events when it is looked at. */
export interface SeenState {
  readonly id: string;
  readonly slot: number;
  readonly generation: number;
  readonly state: EventsState;
  /** Why there are none; undefined where that is not known. */
  readonly reason: string | undefined;
}

/** How long it may take until events come. */
const PATIENCE_MS = 10_000;
/** A worker whose events come and go is told of so often. */
const SAME_AGAIN_MS = 60_000;

interface Told {
  readonly generation: number;
  /** Ms of the clock, of the state that it is in. */
  since: number;
  state: EventsState;
  /** When each state was told of. */
  readonly at: Map<EventsState, number>;
  latest: EventsState | undefined;
}

/** Says in the log whose events are received, and what it means where they are not; each change once. */
export class EventStates {
  readonly #clock: Clock;
  readonly #log: Log;
  /** By slot. */
  readonly #told = new Map<number, Told>();

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** As often as one likes: only what is new is told. */
  seen(worker: SeenState): void {
    const { state } = worker;
    const now = this.#clock.now();
    const told = this.#toldOf(worker, now);
    if (told.state !== state) {
      told.state = state;
      told.since = now;
    }
    if (told.latest === state) return;
    if (state === 'connecting' && (told.latest === 'lost' || now - told.since < PATIENCE_MS)) return;
    const lastAt = told.at.get(state);
    if (lastAt !== undefined && now - lastAt < SAME_AGAIN_MS) return;
    told.latest = state;
    told.at.set(state, now);
    this.#tell(worker);
  }

  left(slot: number): void {
    this.#told.delete(slot);
  }

  #toldOf({ slot, generation, state }: SeenState, now: number): Told {
    const known = this.#told.get(slot);
    if (known?.generation === generation) return known;
    const told = { generation, state, since: now, at: new Map<EventsState, number>(), latest: undefined };
    this.#told.set(slot, told);
    return told;
  }

  #tell({ id, state, reason }: SeenState): void {
    const fields = { worker: id, ...(reason !== undefined && { reason }) };
    switch (state) {
      case 'live':
        this.#log.info(fields, "its engine's cache events are received: what it has cached is known");
        return;
      case 'lost':
        this.#log.warn(
          fields,
          "its engine's cache events are lost: what it has cached is predicted until they are back",
        );
        return;
      case 'connecting':
      case 'none':
        this.#log.warn(
          fields,
          'no cache events come from it, so what it has cached is predicted: start vLLM with --kv-events-config, and compare its port with kv_events',
        );
    }
  }
}
