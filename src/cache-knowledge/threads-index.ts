import type { Channels } from '../base/channel.ts';
import type { Clock, Timer } from '../base/clock.ts';
import type { ThreadMemory } from '../base/thread-memory.ts';
import type { CacheIndex } from './cache-index.ts';
import { INDEX_IS, INDEX_RECORDS, INDEX_WANTED } from './index-messages.ts';
import { PredictedIndex, type IndexBounds, type IndexMemory } from './predicted-index.ts';
import { RecordRing, ringBytes, type RoutedBlocks } from './record-ring.ts';

/** Words of each thread's ring, 1 MiB: a hundred prompts of 20,000 tokens. */
const RING_WORDS = 2 ** 18;
/** Records are taken over for so long at a time; then whatever else control has to do has its turn. */
const BATCH_MS = 2;
/** While records come control looks so often: a message for each of them would cost a request more than all else that threads share. */
const LOOK_EVERY_MS = 4;
/** After so many looks in vain it waits to be woken. */
const LOOKS_IN_VAIN = 10;

export interface ThreadsIndexDeps {
  readonly memory: ThreadMemory;
  readonly channels: Channels;
  readonly clock: Clock;
  /** The bounds that are in force. */
  readonly bounds: () => IndexBounds;
  /** Whether that worker is still in the slot. */
  readonly isPresent: (slot: number, generation: number) => boolean;
  readonly capacityOf?: (slot: number) => number;
  /** Told of what request threads have routed. */
  readonly onRouted?: ((record: RoutedBlocks) => void) | undefined;
  readonly ringWords?: number;
}

/**
 * The index that request threads have in common, in the hand of control: it alone writes the tables, from what the threads note in
 * their rings. It is there while a policy of any thread needs it.
 */
export class ThreadsIndex {
  readonly #deps: ThreadsIndexDeps;
  readonly #wanted = new Set<number>();
  readonly #rings = new Map<number, { readonly memory: SharedArrayBuffer; readonly ring: RecordRing }>();
  #index: WatchedIndex | undefined;
  #look: Timer | undefined;
  /** Looks in a row that found nothing. */
  #inVain = 0;
  /** Of rings that are gone. */
  #droppedBefore = 0;
  #next = 0;

  constructor(deps: ThreadsIndexDeps) {
    this.#deps = deps;
    const { channels } = deps;
    channels.on(INDEX_WANTED, (row, wanted) => {
      this.#want(row, wanted);
      if (wanted) this.#showTo(row);
    });
    channels.on(INDEX_RECORDS, () => {
      this.#wake();
    });
    channels.onEnded((row) => {
      this.#want(row, false);
      // The message that it has written something may never come.
      this.#wake();
    });
  }

  /** There while some policy needs it. */
  get current(): CacheIndex | undefined {
    return this.#index;
  }

  /** A policy of control's own needs it. */
  open(): CacheIndex {
    this.#want(this.#deps.memory.self, true);
    return this.#index ?? this.#make();
  }

  /** Records that found a ring full. */
  get dropped(): number {
    let sum = this.#droppedBefore;
    for (const { ring } of this.#rings.values()) sum += ring.dropped;
    return sum;
  }

  #want(row: number, wanted: boolean): void {
    if (wanted) this.#wanted.add(row);
    else if (!this.#wanted.delete(row)) return;
    if (this.#wanted.size === 0) this.#drop();
    else if (!this.#index) this.#make();
  }

  #make(): WatchedIndex {
    const { memory, clock, bounds } = this.#deps;
    for (let row = 1; row < memory.rows; row++) {
      const ring = new SharedArrayBuffer(ringBytes(this.#deps.ringWords ?? RING_WORDS));
      this.#rings.set(row, { memory: ring, ring: new RecordRing(ring) });
    }
    const index = new WatchedIndex(
      {
        ...{ clock, ...bounds(), capacityOf: this.#deps.capacityOf, onRouted: this.#deps.onRouted },
        allocate: (bytes) => new SharedArrayBuffer(bytes),
      },
      {
        onMoved: () => {
          this.#showAll();
        },
        onClosed: () => {
          this.#want(memory.self, false);
        },
      },
    );
    this.#index = index;
    this.#showAll();
    return index;
  }

  #drop(): void {
    if (!this.#index) return;
    this.#droppedBefore = this.dropped;
    this.#index = undefined;
    this.#rings.clear();
    this.#look?.cancel();
    this.#look = undefined;
    this.#showAll();
  }

  #showAll(): void {
    for (const row of this.#deps.channels.rows) this.#showTo(row);
  }

  #showTo(row: number): void {
    const ring = this.#rings.get(row);
    const channel = this.#deps.channels.to(row);
    channel?.post(INDEX_IS, this.#index && ring && { ...this.#index.memory, records: ring.memory });
  }

  #wake(): void {
    if (this.#look === undefined && this.#index) this.#drain();
  }

  /** Takes over what has come, of each thread in turn, for a few milliseconds at most. */
  #drain(): void {
    const { clock } = this.#deps;
    const until = clock.now() + BATCH_MS;
    const rings = [...this.#rings.values()];
    let taken = 0;
    let inVain = 0;
    let isTimeUp = false;
    while (inVain < rings.length && !isTimeUp) {
      const record = rings[this.#next++ % rings.length]?.ring.take();
      if (!record) {
        inVain++;
        continue;
      }
      inVain = 0;
      taken++;
      // A worker that has left gets nothing, nor does the next one in its slot.
      if (this.#deps.isPresent(record.slot, record.generation)) this.#index?.take(record);
      isTimeUp = clock.now() >= until;
    }
    this.#inVain = taken === 0 ? this.#inVain + 1 : 0;
    const isIdle = this.#inVain >= LOOKS_IN_VAIN && rings.map(({ ring }) => ring.rest()).every(Boolean);
    this.#look = isIdle
      ? undefined
      : clock.after(isTimeUp ? 0 : LOOK_EVERY_MS, () => {
          this.#look = undefined;
          this.#wake();
        });
  }
}

/** Says when others must look elsewhere. */
class WatchedIndex extends PredictedIndex {
  readonly #events: { readonly onMoved: () => void; readonly onClosed: () => void };
  #shown: IndexMemory;

  constructor(
    options: ConstructorParameters<typeof PredictedIndex>[0],
    events: { readonly onMoved: () => void; readonly onClosed: () => void },
  ) {
    super(options);
    this.#events = events;
    this.#shown = this.memory;
  }

  override reconfigure(bounds: IndexBounds): void {
    super.reconfigure(bounds);
    this.#compare();
  }

  override sweep(): boolean {
    const more = super.sweep();
    this.#compare();
    return more;
  }

  override close(): void {
    this.#events.onClosed();
  }

  #compare(): void {
    const { current, former } = this.memory;
    if (current === this.#shown.current && former === this.#shown.former) return;
    this.#shown = { current, former };
    this.#events.onMoved();
  }
}
