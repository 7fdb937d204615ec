/** The same eight bytes as a number, and as what `Atomics` can compare: it knows no fractions. */
const number = new Float64Array(1);
const bits = new BigInt64Array(number.buffer);

/** Numbers, with fractions and up to any size, that several threads change, each time in one step. */
export class SharedNumbers {
  readonly #numbers: Float64Array;
  readonly #bits: BigInt64Array;

  /** @param region A multiple of 8 bytes. */
  constructor(region: ArrayBufferLike) {
    this.#numbers = new Float64Array(region);
    this.#bits = new BigInt64Array(region);
  }

  get(at: number): number {
    return this.#numbers[at] ?? 0;
  }

  set(at: number, value: number): void {
    Atomics.store(this.#bits, at, bitsOf(value));
  }

  /**
   * Makes of the number what `next` says; it is asked again where another thread was faster. False, and nothing changes, where
   * it says undefined.
   */
  change(at: number, next: (value: number) => number | undefined): boolean {
    for (;;) {
      const before = Atomics.load(this.#bits, at);
      const after = next(numberOf(before));
      if (after === undefined) return false;
      if (Atomics.compareExchange(this.#bits, at, before, bitsOf(after)) === before) return true;
    }
  }
}

function numberOf(value: bigint): number {
  bits[0] = value;
  return number[0] ?? 0;
}

function bitsOf(value: number): bigint {
  number[0] = value;
  return bits[0] ?? 0n;
}
