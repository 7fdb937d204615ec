import { CACHE_SOURCES, type CacheMatch, type CacheSource, type MatchColumns } from '../routing/policy.ts';

const FIRST_SLOTS = 64;

/** What is found out about one prompt in the caches of all workers, from one source after the other, by slot. */
export class MatchTable {
  tokens = new Float64Array(FIRST_SLOTS);
  #sources = new Uint8Array(FIRST_SLOTS);
  #cpu = new Float64Array(FIRST_SLOTS);
  #disk = new Float64Array(FIRST_SLOTS);
  #rows = identity(FIRST_SLOTS);
  #hasTiers = false;

  /** Nothing is known of the slots below `end`. */
  begin(end: number): void {
    if (end > this.tokens.length) this.#grow(2 * end);
    this.tokens.fill(0, 0, end);
    this.#sources.fill(CACHE_SOURCES.indexOf('none'), 0, end);
    if (!this.#hasTiers) return;
    this.#cpu.fill(0);
    this.#disk.fill(0);
    this.#hasTiers = false;
  }

  set(slot: number, tokens: number, source: CacheSource): void {
    this.tokens[slot] = tokens;
    this.#sources[slot] = CACHE_SOURCES.indexOf(source);
    if (this.#hasTiers) this.#cpu[slot] = this.#disk[slot] = 0;
  }

  /** So many of its tokens lie elsewhere than in the memory of its GPU. */
  setTiers(slot: number, cpu: number, disk: number): void {
    this.#hasTiers = true;
    this.#cpu[slot] = cpu;
    this.#disk[slot] = disk;
  }

  at(slot: number): CacheMatch {
    const [cpu, disk] = [this.#cpu[slot]!, this.#disk[slot]!];
    return {
      tokens: this.tokens[slot]!,
      source: CACHE_SOURCES[this.#sources[slot]!] ?? 'none',
      ...(cpu + disk > 0 && { tiers: { cpu, disk } }),
    };
  }

  /** Good until it is begun again. */
  columns(): MatchColumns {
    return {
      rows: this.#rows,
      tokens: this.tokens,
      sources: this.#sources,
      tiers: this.#hasTiers ? { cpu: this.#cpu, disk: this.#disk } : undefined,
    };
  }

  #grow(slots: number): void {
    this.tokens = new Float64Array(slots);
    this.#sources = new Uint8Array(slots);
    this.#cpu = new Float64Array(slots);
    this.#disk = new Float64Array(slots);
    this.#rows = identity(slots);
  }
}

function identity(length: number): Int32Array {
  return Int32Array.from({ length }, (_, slot) => slot);
}
