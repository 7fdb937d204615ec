import { dotProduct, LANES, type DotProduct } from './dot-product.ts';

/** One vector and what it stands for. */
export interface VectorEntry {
  readonly id: number;
  /** What must be equal: only vectors of one partition are compared. */
  readonly partition: string;
  /** Of length 1. */
  readonly vector: Float32Array;
}

export interface NearestVector {
  readonly id: number;
  /** Cosine. */
  readonly similarity: number;
}

const FIRST_ROWS = 64;

/**
 * A flat table of 32-bit floats, one row for each vector, all of one number of dimensions. It is looked through row by row: 10,000 rows of
 * 1,024 take less than 2 ms.
 */
export class VectorTable {
  #dimensions = 0;
  /** Of a row, padded. */
  #rowBytes = 0;
  #table: DotProduct | undefined;
  #rows = 0;
  readonly #free: number[] = [];
  readonly #byId = new Map<number, { readonly row: number; readonly partition: string }>();
  readonly #byPartition = new Map<string, Map<number, number>>();

  get size(): number {
    return this.#byId.size;
  }

  /** Of the rows there is room for. */
  get bytes(): number {
    return this.#table?.memory.buffer.byteLength ?? 0;
  }

  /** A vector of other dimensions than those before is the first one of another space: the others go. */
  add({ id, partition, vector }: VectorEntry): void {
    this.drop(id);
    if (vector.length !== this.#dimensions) this.#begin(vector.length);
    const row = this.#free.pop() ?? this.#newRow();
    this.#write(row, vector);
    this.#byId.set(id, { row, partition });
    const rows = this.#byPartition.get(partition) ?? new Map<number, number>();
    rows.set(id, row);
    this.#byPartition.set(partition, rows);
  }

  drop(id: number): void {
    const entry = this.#byId.get(id);
    if (!entry) return;
    this.#byId.delete(id);
    this.#free.push(entry.row);
    const rows = this.#byPartition.get(entry.partition);
    rows?.delete(id);
    if (rows?.size === 0) this.#byPartition.delete(entry.partition);
  }

  clear(): void {
    this.#begin(0);
  }

  /** The nearest of the partition that is at least so near; of two that are as near the later one. */
  nearest(partition: string, vector: Float32Array, threshold: number): NearestVector | undefined {
    const rows = this.#byPartition.get(partition);
    if (!rows || !this.#table || vector.length !== this.#dimensions) return undefined;
    const { dot } = this.#table;
    // The first row is for what is looked for.
    this.#write(-1, vector);
    let best: NearestVector | undefined;
    let least = threshold;
    for (const [id, row] of rows) {
      const similarity = dot(0, this.#address(row), this.#rowBytes);
      if (similarity < least) continue;
      least = similarity;
      best = { id, similarity: Math.min(1, similarity) };
    }
    return best;
  }

  #begin(dimensions: number): void {
    this.#dimensions = dimensions;
    this.#rowBytes = 4 * LANES * Math.ceil(dimensions / LANES);
    this.#table = undefined;
    this.#rows = 0;
    this.#free.length = 0;
    this.#byId.clear();
    this.#byPartition.clear();
  }

  #newRow(): number {
    const row = this.#rows;
    const room = this.bytes;
    if (this.#address(row + 1) > room) {
      const before = this.#table;
      const rows = Math.max(FIRST_ROWS, 2 * row);
      this.#table = dotProduct(this.#address(rows));
      if (before) new Uint8Array(this.#table.memory.buffer).set(new Uint8Array(before.memory.buffer));
    }
    this.#rows += 1;
    return row;
  }

  /** Behind the row for what is looked for. */
  #address(row: number): number {
    return (row + 1) * this.#rowBytes;
  }

  /** What pads a row has never been anything but zero. */
  #write(row: number, vector: Float32Array): void {
    if (this.#table)
      new Float32Array(this.#table.memory.buffer, this.#address(row), vector.length).set(vector);
  }
}
