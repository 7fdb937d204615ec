import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../observe/log.ts';
import type { Metrics } from '../../observe/metrics.ts';
import type { LocalTokenizer, LocalTokenizers } from '../exact-tokens.ts';
import type { TokenQuestion } from '../tokens.ts';
import type { TokenizingWorker, WorkerTokens } from '../worker-tokenizers.ts';
import type { Probe } from './probes.ts';
import { prove, type Proof } from './prove.ts';
import type { TextJobs } from './text-jobs.ts';
import type { LoadedTokenizer, TextJob } from './text-messages.ts';

/** How the tokenizer that is configured for a model of a worker compares with the worker's. */
export type LocalState = 'proving' | 'unreadable' | Proof['state'];

export interface LocalVerdict {
  readonly model: string;
  readonly state: LocalState;
  /** What is wrong, or for which chats it is not used. */
  readonly reason: string | undefined;
}

export interface ProvableWorker extends TokenizingWorker {
  readonly id: string;
  readonly models: ReadonlySet<string>;
}

export interface ProvenTokenizersDeps<W extends ProvableWorker> {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'localTokenizers'>;
  readonly jobs: Pick<TextJobs, 'load' | 'run'>;
  /** Where the tokenizer of the model lies, as far as one is configured. */
  readonly pathOf: (worker: W, model: string) => string | undefined;
  readonly tokensBy: (worker: W, question: TokenQuestion) => Promise<WorkerTokens>;
}

/** Of one worker: adapters may be many, and a comparison takes a dozen questions. */
const MOST_MODELS = 16;
/** Workers that are compared at a time. */
const MOST_AT_ONCE = 2;
/** Where a worker could not be asked. */
const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 600_000;

const STATES: readonly LocalState[] = ['proving', 'proven', 'differs', 'unproved', 'unreadable'];

/** One model of one worker. */
interface Entry {
  proof: Proof | { readonly state: 'proving' | 'unreadable'; readonly reason: string | undefined };
  /** Of the tokenizer that was compared. */
  identity: string | undefined;
  /** Monotonic ms; when it may be compared again, where it could not be. */
  retryAt: number;
  retryMs: number;
}

/** Tokenizers of the router's own, each used for a model only as long as it says what the model's workers say. */
export class ProvenTokenizers<W extends ProvableWorker> implements LocalTokenizers<W> {
  readonly #deps: ProvenTokenizersDeps<W>;
  /** By worker, then model. */
  readonly #entries = new Map<W, Map<string, Entry>>();
  readonly #waiting: (() => Promise<void>)[] = [];
  /** By path. */
  readonly #loaded = new Map<string, Promise<LoadedTokenizer>>();
  #running = 0;

  constructor(deps: ProvenTokenizersDeps<W>) {
    this.#deps = deps;
    deps.metrics.localTokenizers.onCollect((family) => {
      const entries = [...this.#entries.values()].flatMap((models) => [...models.values()]);
      for (const state of STATES)
        family.with(state).set(entries.filter(({ proof }) => proof.state === state).length);
    });
  }

  /** Undefined while none of them is proven, and where any differs: their prompts would not be the same. */
  provenFor(model: string, workers: readonly W[]): LocalTokenizer | undefined {
    let found: { readonly identity: string; readonly proof: Extract<Proof, { state: 'proven' }> } | undefined;
    for (const worker of workers) {
      const entry = this.#entryOf(worker, model);
      if (!entry || entry.proof.state === 'proving' || entry.proof.state === 'unproved') continue;
      const { proof, identity } = entry;
      if (proof.state !== 'proven' || identity === undefined) return undefined;
      if (found && found.identity !== identity) return undefined;
      found ??= { identity, proof };
    }
    return found && this.#tokenizer(found.identity, found.proof);
  }

  /** It is new, or may be another engine by now: compared again. */
  changed(worker: W): void {
    this.#entries.delete(worker);
    const [first] = worker.models;
    if (first !== undefined) this.#entryOf(worker, first);
  }

  left(worker: W): void {
    this.#entries.delete(worker);
  }

  /** Other paths, or other files there: all are read again, and compared again where they are others. Never rejects. */
  async reload(workers: Iterable<W>): Promise<void> {
    this.#loaded.clear();
    for (const worker of workers) if (!(await this.#isAsBefore(worker))) this.changed(worker);
  }

  verdictsOf(worker: W): readonly LocalVerdict[] {
    const entries = [...(this.#entries.get(worker) ?? [])];
    return entries.map(([model, { proof }]) => ({ model, state: proof.state, reason: proof.reason }));
  }

  async #isAsBefore(worker: W): Promise<boolean> {
    const entries = [...(this.#entries.get(worker) ?? [])];
    for (const [model, { identity }] of entries) {
      const path = this.#deps.pathOf(worker, model);
      const loaded = path === undefined ? undefined : await this.#load(path);
      if (loaded?.kind !== 'loaded' || loaded.identity !== identity) return false;
    }
    return entries.length > 0;
  }

  #tokenizer(identity: string, { format, features }: Extract<Proof, { state: 'proven' }>): LocalTokenizer {
    return {
      identity: `local ${identity} ${format}`,
      tokensOf: async ({ route, members }) => {
        if (route !== 'chat' && route !== 'completion') return { kind: 'unsure' };
        const result = await this.#deps.jobs.run({ identity, route, members, format, features });
        return result.kind === 'ids' ? result : { kind: result.kind };
      },
    };
  }

  /** Begins to compare where that was not done yet. Undefined where there is nothing to compare, or too much. */
  #entryOf(worker: W, model: string): Entry | undefined {
    let models = this.#entries.get(worker);
    const known = models?.get(model);
    const isDue = known?.proof.state === 'unproved' && this.#deps.clock.now() >= known.retryAt;
    if (known && !isDue) return known;
    const path = this.#deps.pathOf(worker, model);
    if (path === undefined || (!known && (models?.size ?? 0) >= MOST_MODELS)) return undefined;
    if (!models) {
      models = new Map();
      this.#entries.set(worker, models);
    }
    const retryMs = known ? Math.min(LONGEST_RETRY_MS, 2 * known.retryMs) : FIRST_RETRY_MS;
    const proof = { state: 'proving', reason: undefined } as const;
    const entry: Entry = { proof, identity: undefined, retryAt: 0, retryMs };
    models.set(model, entry);
    this.#waiting.push(() => this.#compare(worker, { model, path, entry }));
    void this.#work();
    return entry;
  }

  async #work(): Promise<void> {
    if (this.#running >= MOST_AT_ONCE) return;
    this.#running += 1;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await next();
    this.#running -= 1;
  }

  async #compare(
    worker: W,
    { model, path, entry }: { readonly model: string; readonly path: string; readonly entry: Entry },
  ): Promise<void> {
    const { clock, jobs, tokensBy } = this.#deps;
    const isWanted = (): boolean => this.#entries.get(worker)?.get(model) === entry;
    if (!isWanted()) return;
    const loaded = await this.#load(path);
    if (loaded.kind === 'unreadable') {
      entry.proof = { state: 'unreadable', reason: loaded.reason };
    } else {
      entry.identity = loaded.identity;
      entry.proof = await prove({
        specials: loaded.specials,
        ofWorker: ({ route, members }) =>
          tokensBy(worker, { model, route, members: jsonOf(members), renderOnly: false }),
        ofOurs: (probe, format) => jobs.run(probeJob(probe, loaded.identity, format)),
      });
      entry.retryAt = clock.now() + entry.retryMs;
    }
    if (isWanted()) this.#tell(worker, model, { path, proof: entry.proof });
  }

  #load(path: string): Promise<LoadedTokenizer> {
    const known = this.#loaded.get(path);
    if (known) return known;
    const loading = this.#deps.jobs.load(path);
    this.#loaded.set(path, loading);
    return loading;
  }

  #tell(
    worker: W,
    model: string,
    { path, proof }: { readonly path: string; readonly proof: Entry['proof'] },
  ): void {
    const fields = {
      worker: worker.id,
      model,
      path,
      ...(proof.reason !== undefined && { reason: proof.reason }),
    };
    const { log } = this.#deps;
    if (proof.state === 'proven') log.info(fields, 'the tokenizer is the same as the worker’s, and is used');
    else if (proof.state === 'differs')
      log.warn(fields, 'the tokenizer differs from the worker’s, and is not used');
    else if (proof.state === 'unreadable') log.warn(fields, 'the tokenizer cannot be read, and is not used');
    else
      log.info(fields, 'the tokenizer could not be compared with the worker’s, and is not used until it can');
  }
}

function jsonOf(members: Probe['members']): Uint8Array {
  return Buffer.from(JSON.stringify(members));
}

function probeJob({ route, members, feature }: Probe, identity: string, format: TextJob['format']): TextJob {
  return { identity, route, members: jsonOf(members), format, features: feature ? [feature] : [] };
}
