/**
 * Memory that the threads of one router see together, in named regions. Each thread that counts something has a row of its
 * own there, which it alone writes: row 0 is that of the thread that is in control, request threads have those from 1 on. A
 * router with one thread has row 0 alone, in memory that is nobody else's; the code that uses it is the same.
 */
export interface ThreadMemory {
  /** How many rows there are. */
  readonly rows: number;
  /** The row of this thread. */
  readonly self: number;
  /**
   * The region of this name: zeros at first, the same bytes for every thread that asks. Throws where a request thread asks for
   * one that control has not made, and where the size is another one.
   */
  region(name: string, bytes: number): ArrayBufferLike;
  /** Nobody asks for it any more; who has it keeps it. Control's to say: a request thread is told by which regions it is given. */
  drop(name: string): void;
}

/** What a request thread is given of it; can be posted. */
export type Regions = ReadonlyMap<string, SharedArrayBuffer>;

/** For a router whose only thread does everything. */
export function ownMemory(): ThreadMemory {
  const regions = new Map<string, ArrayBuffer>();
  return {
    rows: 1,
    self: 0,
    region: (name, bytes) => sized(regions, name, bytes, () => new ArrayBuffer(bytes)),
    drop: (name) => void regions.delete(name),
  };
}

/** The end of the thread in control: it makes the regions. */
export class SharedMemory implements ThreadMemory {
  readonly rows: number;
  readonly self = 0;
  readonly #regions = new Map<string, SharedArrayBuffer>();

  /** @param threads Request threads. */
  constructor(threads: number) {
    this.rows = threads + 1;
  }

  region(name: string, bytes: number): SharedArrayBuffer {
    return sized(this.#regions, name, bytes, () => new SharedArrayBuffer(bytes));
  }

  /** All that there are by now, for a thread that begins or must learn of new ones. */
  get regions(): Regions {
    return this.#regions;
  }

  drop(name: string): void {
    this.#regions.delete(name);
  }
}

/** The end of a request thread. */
export class JoinedMemory implements ThreadMemory {
  readonly rows: number;
  readonly self: number;
  #regions: Regions;

  constructor(regions: Regions, { rows, self }: { readonly rows: number; readonly self: number }) {
    this.#regions = regions;
    this.rows = rows;
    this.self = self;
  }

  region(name: string, bytes: number): SharedArrayBuffer {
    return sized(this.#regions, name, bytes, () => {
      throw new Error(`no region ${name}: control makes it first`);
    });
  }

  drop(): void {
    // What control has dropped is not in what it gives.
  }

  /** Control has made others, or dropped some. */
  adopt(regions: Regions): void {
    this.#regions = regions;
  }
}

function sized<B extends ArrayBufferLike>(
  known: ReadonlyMap<string, B>,
  name: string,
  bytes: number,
  make: () => B,
): B {
  const region = known.get(name) ?? make();
  if (region.byteLength !== bytes)
    throw new RangeError(`region ${name} has ${region.byteLength} bytes, not ${bytes}`);
  if (known instanceof Map) known.set(name, region);
  return region;
}
