import { Counter, Gauge, Histogram, makeBuckets, type Series, type ThreadRule } from './series.ts';

export type { Counter, Gauge, Histogram, ThreadRule } from './series.ts';

/** One value per label name, in the order of the names. */
export type LabelValues<L extends readonly string[]> = { readonly [K in keyof L]: string };

export type FamilyType = 'counter' | 'gauge' | 'histogram';

/** Lets a new series into a family, or says that it must stay invisible. Asked once per series, not per update. */
type Admit = (
  family: string,
  labelNames: readonly string[],
  values: readonly string[],
  size: number,
) => boolean;

interface FamilySpec<L extends readonly string[], S extends Series> {
  readonly name: string;
  readonly help: string;
  readonly type: FamilyType;
  readonly labelNames: L;
  readonly rule: ThreadRule;
  readonly make: (labelValues: readonly string[]) => S;
  readonly admit: Admit;
  /** Told when series have been taken out. */
  readonly onRemoved: () => void;
}

/** Label values form a path down this tree: finding a series costs one map look-up per label and no allocation. */
class Branch<S> {
  next: Map<string, Branch<S>> | undefined = undefined;
  series: S | undefined = undefined;
}

/** All series of one name. */
export class Family<L extends readonly string[], S extends Series> {
  readonly name: string;
  readonly help: string;
  readonly type: FamilyType;
  readonly labelNames: L;
  /** What control shows of it where there are several threads. */
  readonly rule: ThreadRule;
  readonly #make: (labelValues: readonly string[]) => S;
  readonly #admit: Admit;
  readonly #onRemoved: () => void;
  readonly #root = new Branch<S>();
  readonly #series = new Set<S>();
  #collectors: (() => void)[] = [];

  constructor(spec: FamilySpec<L, S>) {
    this.name = spec.name;
    this.help = spec.help;
    this.type = spec.type;
    this.labelNames = spec.labelNames;
    this.rule = spec.rule;
    this.#make = spec.make;
    this.#admit = spec.admit;
    this.#onRemoved = spec.onRemoved;
    // A family without labels shows its zero from the start, so that rates and alerts have something to stand on.
    if (spec.labelNames.length === 0) this.#create(this.#root, []);
  }

  /**
   * The series with these label values, made on first use. The handle may be kept; after its removal it still takes
   * updates, which nobody sees.
   */
  with(...values: LabelValues<L>): S {
    let branch: Branch<S> | undefined = this.#root;
    for (let i = 0; i < values.length && branch !== undefined; i++)
      branch = branch.next?.get(values[i] ?? '');
    return branch?.series ?? this.#add(values);
  }

  /** True when the series existed. */
  remove(...values: LabelValues<L>): boolean {
    this.#onRemoved();
    return this.#drop(this.#root, values, 0);
  }

  /** Removes every series with this value of this label and returns how many there were. */
  removeWhere(label: L[number], value: string): number {
    const at = this.labelNames.indexOf(label);
    if (at < 0) return 0;
    this.#onRemoved();
    let removed = 0;
    for (const series of this.#series) {
      if (series.labelValues[at] === value && this.#drop(this.#root, series.labelValues, 0)) removed++;
    }
    return removed;
  }

  /** Runs `collect` at each scrape, before the family is written: for values that are read rather than counted. */
  onCollect(collect: (family: this) => void): () => void {
    const run = (): void => {
      collect(this);
    };
    this.#collectors = [...this.#collectors, run];
    return () => {
      this.#collectors = this.#collectors.filter((other) => other !== run);
    };
  }

  get collectors(): readonly (() => void)[] {
    return this.#collectors;
  }

  /** Live: may be iterated while series come and go. */
  get series(): ReadonlySet<S> {
    return this.#series;
  }

  get header(): string {
    const help = this.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
    return `# HELP ${this.name} ${help}\n# TYPE ${this.name} ${this.type}\n`;
  }

  #add(values: readonly string[]): S {
    const copy = [...values];
    if (!this.#admit(this.name, this.labelNames, copy, this.#series.size)) return this.#make(copy);
    let branch = this.#root;
    for (const value of copy) {
      branch.next ??= new Map();
      let next = branch.next.get(value);
      if (next === undefined) branch.next.set(value, (next = new Branch()));
      branch = next;
    }
    return this.#create(branch, copy);
  }

  #create(branch: Branch<S>, values: readonly string[]): S {
    const series = this.#make(values);
    branch.series = series;
    this.#series.add(series);
    return series;
  }

  /** Takes the series out, and the branches that its removal leaves empty. */
  #drop(branch: Branch<S>, values: readonly string[], depth: number): boolean {
    const value = values[depth];
    if (value === undefined) {
      const series = branch.series;
      branch.series = undefined;
      return series !== undefined && this.#series.delete(series);
    }
    const next = branch.next?.get(value);
    if (next === undefined) return false;
    const dropped = this.#drop(next, values, depth + 1);
    if (next.series === undefined && (next.next === undefined || next.next.size === 0))
      branch.next?.delete(value);
    return dropped;
  }
}

export type CounterFamily<L extends readonly string[]> = Family<L, Counter>;
export type GaugeFamily<L extends readonly string[]> = Family<L, Gauge>;
export type HistogramFamily<L extends readonly string[]> = Family<L, Histogram>;

/** A family, whatever its labels. */
export type AnyFamily = Pick<
  Family<readonly string[], Series>,
  'name' | 'type' | 'header' | 'series' | 'collectors' | 'labelNames' | 'rule'
> & {
  with(...values: readonly string[]): Series;
  removeWhere(label: string, value: string): number;
};

export interface RegistryOptions {
  /** Series per family; more are counted by `onDropped` and not shown. Default 100,000. */
  readonly maxSeriesPerFamily?: number;
  readonly onDropped?: (family: string) => void;
  /** A collector threw. Its family is written with the values it has. */
  readonly onCollectError?: (family: string, error: unknown) => void;
}

/** Retired label values are remembered only as long as a late update may be expected, and never more than this. */
const MAX_RETIRED = 4096;

/** Text kept before it is handed on and the event loop gets a turn: about 700 lines, well under a millisecond. */
const CHUNK_CHARS = 65_536;

/** Prometheus metrics of one router: families, their series, and their exposition in text format 0.0.4. */
export class Registry {
  readonly #families = new Map<string, AnyFamily>();
  /** `label\0value`, oldest first. */
  readonly #retired = new Set<string>();
  readonly #options: RegistryOptions;
  #changes = 0;

  constructor(options: RegistryOptions = {}) {
    this.#options = options;
  }

  /** Another number whenever a handle that is kept may not be the one that is shown any more, or never was. */
  get changes(): number {
    return this.#changes;
  }

  /** By name, in the order of the exposition. */
  get families(): ReadonlyMap<string, AnyFamily> {
    return this.#families;
  }

  /** @throws Error when the name is taken, or the name or a label is not one Prometheus accepts. */
  counter<const L extends readonly string[]>(
    name: string,
    help: string,
    labelNames: L,
    rule: ThreadRule = 'sum',
  ): CounterFamily<L> {
    const make = (values: readonly string[]): Counter => new Counter(name, labelNames, values);
    return this.#register(
      new Family({ ...{ name, help, type: 'counter', labelNames, rule, make }, ...this.#gate }),
    );
  }

  /** @throws as `counter`. */
  gauge<const L extends readonly string[]>(
    name: string,
    help: string,
    labelNames: L,
    rule: ThreadRule = 'control',
  ): GaugeFamily<L> {
    const make = (values: readonly string[]): Gauge => new Gauge(name, labelNames, values, rule);
    return this.#register(
      new Family({ ...{ name, help, type: 'gauge', labelNames, rule, make }, ...this.#gate }),
    );
  }

  /** `bounds` are upper bounds, ascending, without +Inf. @throws as `counter`; RangeError for bad bounds. */
  histogram<const L extends readonly string[]>(
    name: string,
    help: string,
    labelNames: L,
    bounds: readonly number[],
  ): HistogramFamily<L> {
    const buckets = makeBuckets(bounds);
    const make = (values: readonly string[]): Histogram => new Histogram(name, labelNames, values, buckets);
    return this.#register(
      new Family({ ...{ name, help, type: 'histogram', labelNames, rule: 'sum', make }, ...this.#gate }),
    );
  }

  /**
   * Removes every series with this label value, in all families, and keeps it away until `revive`: a request that
   * outlives its worker must not bring the worker's series back.
   */
  retire(label: string, value: string): void {
    const key = label + '\0' + value;
    this.#changes += 1;
    this.#retired.delete(key);
    this.#retired.add(key);
    if (this.#retired.size > MAX_RETIRED) {
      const [oldest] = this.#retired;
      if (oldest !== undefined) this.#retired.delete(oldest);
    }
    for (const family of this.#families.values()) family.removeWhere(label, value);
  }

  /** Lets series with this label value be made again. */
  revive(label: string, value: string): void {
    this.#changes += 1;
    this.#retired.delete(label + '\0' + value);
  }

  /** Reads the values of a family that are read rather than counted; the event loop runs after each of its collectors. */
  async collect(family: AnyFamily): Promise<void> {
    for (const collect of family.collectors) {
      try {
        collect();
      } catch (error) {
        this.#options.onCollectError?.(family.name, error);
      }
      await turn();
    }
  }

  /**
   * The exposition in pieces. The event loop runs between pieces and after each collector, so that a fleet of
   * thousands never blocks requests; the consumer's own waiting (a slow scraper) holds nothing else up.
   */
  async *expose(): AsyncGenerator<string, void, undefined> {
    let text = '';
    for (const family of this.#families.values()) {
      await this.collect(family);
      text += family.header;
      for (const series of family.series) {
        text += series.render();
        if (text.length < CHUNK_CHARS) continue;
        yield text;
        text = '';
        await turn();
      }
    }
    if (text !== '') yield text;
  }

  /** The whole exposition, for tests and small fleets. */
  async text(): Promise<string> {
    let text = '';
    for await (const piece of this.expose()) text += piece;
    return text;
  }

  readonly #admit: Admit = (family, labelNames, values, size) => {
    const isRetired =
      this.#retired.size > 0 &&
      labelNames.some((name, i) => this.#retired.has(name + '\0' + (values[i] ?? '')));
    if (!isRetired && size < (this.#options.maxSeriesPerFamily ?? 100_000)) return true;
    this.#changes += 1;
    if (!isRetired) this.#options.onDropped?.(family);
    return false;
  };

  readonly #gate = {
    admit: this.#admit,
    onRemoved: () => {
      this.#changes += 1;
    },
  };

  #register<F extends AnyFamily>(family: F): F {
    if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(family.name)) throw new Error(`bad metric name "${family.name}"`);
    for (const label of family.labelNames) {
      if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(label) || label.startsWith('__') || label === 'le') {
        throw new Error(`bad label name "${label}" of ${family.name}`);
      }
    }
    if (this.#families.has(family.name)) throw new Error(`metric ${family.name} exists already`);
    this.#families.set(family.name, family);
    return family;
  }
}

/** Lets everything that waits on the event loop run once. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
