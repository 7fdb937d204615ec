import type { LoadProcess } from './load-process.ts';
import type { Options } from './options.ts';
import { progress, type Rounds } from './rounds.ts';
import { BESIDE_PEERS, startRouter, startTarget, type Target, type TargetPlace } from './targets.ts';

/** One run: the load process, the targets started so far, and what was measured. */
export class BenchRun {
  readonly load: LoadProcess;
  readonly options: Options;
  readonly #place: TargetPlace;
  readonly #targets = new Map<string, Target>();
  /** Fresh ones too: an interrupted run must leave nothing behind. */
  readonly #started: Target[] = [];
  readonly #missing = new Map<string, string>();
  readonly #versions = new Map<string, string>();
  /** Requests per second of this router alone, once measured. */
  routerMaximum: number | undefined;

  constructor(load: LoadProcess, options: Options, dir: string) {
    this.load = load;
    this.options = options;
    const { mayInstall, venvs } = options;
    this.#place = { workerPorts: load.workerPorts, dir, mayInstall, venvs };
  }

  /**
   * Starts those that are not running yet. `names` are the part's own choice, unless it is the peers that are compared;
   * what the user asks for goes before both, and what cannot be had here is left out.
   */
  async targets(names: readonly string[]): Promise<Target[]> {
    const running: Target[] = [];
    for (const name of this.names(names)) {
      const target = this.#targets.get(name) ?? (await this.#start(name));
      if (!target) continue;
      this.#targets.set(name, target);
      running.push(target);
    }
    return running;
  }

  /** What is to be measured where a part would choose `names`. */
  names(names: readonly string[]): readonly string[] {
    return this.options.targets ?? (this.options.peers ? BESIDE_PEERS : names);
  }

  /** A process of its own, for memory measurements or for other workers; the caller stops it. */
  async fresh(name: string, workerPorts = this.load.workerPorts): Promise<Target | undefined> {
    return this.options.targets?.includes(name) === false ? undefined : this.#start(name, workerPorts);
  }

  /** A router of this checkout with these flags, which no other part measures. */
  async routerWith(name: string, flags: readonly string[]): Promise<Target> {
    progress(`starting ${name}`);
    const target = await startRouter(name, flags, this.#place);
    this.#started.push(target);
    return target;
  }

  /** A folder for logs and generated configuration. */
  get dir(): string {
    return this.#place.dir;
  }

  /** Milliseconds, scaled for a quick run. */
  ms(full: number): number {
    return Math.round(full * this.options.pace);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#started.map((target) => target.stop()));
    this.#targets.clear();
  }

  /** Of what is not this project's, as far as it was started. */
  get versions(): ReadonlyMap<string, string> {
    return this.#versions;
  }

  get missing(): ReadonlyMap<string, string> {
    return this.#missing;
  }

  async #start(name: string, workerPorts = this.load.workerPorts): Promise<Target | undefined> {
    if (this.#missing.has(name)) return undefined;
    progress(`starting ${name}`);
    const target = await startTarget(name, { ...this.#place, workerPorts });
    if (!('missing' in target)) {
      this.#started.push(target);
      if (target.version !== undefined) this.#versions.set(name, target.version);
      return target;
    }
    this.#missing.set(name, target.missing);
    progress(`skipped: ${name}: ${target.missing}`);
    return undefined;
  }
}

export function find(rounds: readonly Rounds[], name: string): Rounds | undefined {
  return rounds.find(({ target }) => target === name);
}
