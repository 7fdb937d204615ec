/**
 * The values behind one line (or, for a histogram, one block) of the exposition. Callers keep a handle and update it
 * in a few nanoseconds. A value that would poison a series for good (NaN, an infinity, a counter going down) is
 * ignored: telemetry must not fail a request.
 */
export interface Series {
  readonly labelValues: readonly string[];
  /** The series in text format 0.0.4, one or more whole lines. */
  render(): string;
  /** How many numbers say what it holds. */
  readonly width: number;
  /**
   * For the registry of another thread, which shows it: writes `width` numbers from `at` on, and says whether there is anything to
   * tell. Counters and histograms begin from zero again: what they had is counted there now. A gauge keeps its value.
   */
  handOver(into: Float64Array, at: number): boolean;
  /** What the series of this name in the thread of row `from` has handed over. */
  receive(numbers: Float64Array, at: number, from: number): void;
  /** That thread is gone: its gauges do not count any more; what it has counted stays. */
  forget(from: number): void;
}

/** What is shown of a family that several threads have: what they hold together, the highest, or what control alone holds. */
export type ThreadRule = 'sum' | 'max' | 'control';

export class Counter implements Series {
  readonly labelValues: readonly string[];
  readonly #head: string;
  #value = 0;

  constructor(name: string, labelNames: readonly string[], labelValues: readonly string[]) {
    this.labelValues = labelValues;
    this.#head = name + braced(labelText(labelNames, labelValues)) + ' ';
  }

  get value(): number {
    return this.#value;
  }

  inc(by = 1): void {
    if (by > 0 && by < Infinity) this.#value += by;
  }

  render(): string {
    return this.#head + numberText(this.#value) + '\n';
  }

  get width(): number {
    return 1;
  }

  handOver(into: Float64Array, at: number): boolean {
    into[at] = this.#value;
    this.#value = 0;
    return into[at] > 0;
  }

  receive(numbers: Float64Array, at: number): void {
    this.inc(numbers[at]);
  }

  forget(): void {
    // What has been counted stays.
  }
}

export class Gauge implements Series {
  readonly labelValues: readonly string[];
  readonly #head: string;
  readonly #rule: ThreadRule;
  #value = 0;
  #handedOver = NaN;
  /** The values of other threads, by their rows. */
  #others: Map<number, number> | undefined;

  constructor(
    name: string,
    labelNames: readonly string[],
    labelValues: readonly string[],
    rule: ThreadRule = 'control',
  ) {
    this.labelValues = labelValues;
    this.#head = name + braced(labelText(labelNames, labelValues)) + ' ';
    this.#rule = rule;
  }

  get value(): number {
    return this.#value;
  }

  set(value: number): void {
    if (Number.isFinite(value)) this.#value = value;
  }

  inc(by = 1): void {
    if (Number.isFinite(by)) this.#value += by;
  }

  dec(by = 1): void {
    this.inc(-by);
  }

  render(): string {
    return this.#head + numberText(this.#shown()) + '\n';
  }

  get width(): number {
    return 1;
  }

  handOver(into: Float64Array, at: number): boolean {
    into[at] = this.#value;
    const isNews = this.#value !== this.#handedOver;
    this.#handedOver = this.#value;
    return isNews;
  }

  receive(numbers: Float64Array, at: number, from: number): void {
    this.#others ??= new Map();
    this.#others.set(from, numbers[at] ?? 0);
  }

  forget(from: number): void {
    this.#others?.delete(from);
  }

  #shown(): number {
    if (this.#others === undefined) return this.#value;
    const others = [...this.#others.values()];
    return this.#rule === 'max'
      ? Math.max(this.#value, ...others)
      : others.reduce((sum, value) => sum + value, this.#value);
  }
}

/** The upper bounds of a histogram and their texts, shared by all of its series. */
export interface Buckets {
  /** Ascending, finite; +Inf is implied. */
  readonly bounds: Float64Array;
  /** `le="0.5"} ` and so on, +Inf last. */
  readonly tails: readonly string[];
}

/** @throws RangeError when the bounds are not finite and ascending. */
export function makeBuckets(bounds: readonly number[]): Buckets {
  bounds.forEach((bound, i) => {
    if (!Number.isFinite(bound)) throw new RangeError('bucket bounds must be finite');
    if (i > 0 && bound <= (bounds[i - 1] ?? -Infinity)) throw new RangeError('bucket bounds must ascend');
  });
  const tails = [...bounds, Infinity].map((bound) => `le="${numberText(bound)}"} `);
  return { bounds: Float64Array.from(bounds), tails };
}

export class Histogram implements Series {
  readonly labelValues: readonly string[];
  readonly #name: string;
  readonly #labels: string;
  readonly #buckets: Buckets;
  /** Observations per bucket, not cumulative; the last is above every bound. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(name: string, labelNames: readonly string[], labelValues: readonly string[], buckets: Buckets) {
    this.labelValues = labelValues;
    this.#name = name;
    this.#labels = labelText(labelNames, labelValues);
    this.#buckets = buckets;
    this.#counts = new Float64Array(buckets.bounds.length + 1);
  }

  get count(): number {
    return this.#counts.reduce((total, n) => total + n, 0);
  }

  get sum(): number {
    return this.#sum;
  }

  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    this.#sum += value;
    const bounds = this.#buckets.bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      // In range by construction; the comparison with NaN that a miss would give ends the search all the same.
      if (value <= (bounds[middle] ?? NaN)) high = middle;
      else low = middle + 1;
    }
    this.#counts[low] = (this.#counts[low] ?? 0) + 1;
  }

  render(): string {
    const head = this.#name + '_bucket{' + (this.#labels === '' ? '' : this.#labels + ',');
    const tails = this.#buckets.tails;
    let text = '';
    let cumulative = 0;
    for (let i = 0; i < tails.length; i++) {
      cumulative += this.#counts[i] ?? 0;
      text += head + (tails[i] ?? '') + numberText(cumulative) + '\n';
    }
    const labels = braced(this.#labels);
    text += this.#name + '_sum' + labels + ' ' + numberText(this.#sum) + '\n';
    return text + this.#name + '_count' + labels + ' ' + numberText(cumulative) + '\n';
  }

  get width(): number {
    return this.#counts.length + 1;
  }

  handOver(into: Float64Array, at: number): boolean {
    const counts = this.#counts;
    if (counts.every((count) => count === 0)) return false;
    into.set(counts, at);
    into[at + counts.length] = this.#sum;
    counts.fill(0);
    this.#sum = 0;
    return true;
  }

  receive(numbers: Float64Array, at: number): void {
    const counts = this.#counts;
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] ?? 0) + (numbers[at + i] ?? 0);
    this.#sum += numbers[at + counts.length] ?? 0;
  }

  forget(): void {
    // What has been counted stays.
  }
}

/** `a="x",b="y"`. A label whose value is empty is the same as no label to Prometheus, so it is left out. */
function labelText(names: readonly string[], values: readonly string[]): string {
  const parts: string[] = [];
  names.forEach((name, i) => {
    const value = values[i] ?? '';
    if (value !== '') parts.push(`${name}="${escapeLabel(value)}"`);
  });
  return parts.join(',');
}

function braced(labels: string): string {
  return labels === '' ? '' : '{' + labels + '}';
}

function escapeLabel(value: string): string {
  // A lone surrogate cannot be written as UTF-8 and would make the whole scrape invalid.
  return value.toWellFormed().replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf';
  return String(value);
}
