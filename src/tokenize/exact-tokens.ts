import type { Clock } from '../base/clock.ts';
import type { Metrics } from '../observe/metrics.ts';
import { tokenKey, TokenCache, type TokenCacheBounds } from './token-cache.ts';
import type { DoubtedTokens, TokenQuestion, TokensFound, TokenSource } from './tokens.ts';
import type { SharedTokens } from './shared-tokens.ts';
import { withinTime } from './within-time.ts';
import type { TokenizingWorker, WorkerTokenizers, WorkerTokens } from './worker-tokenizers.ts';

/** A tokenizer of the router's own, as far as it is known to say what these workers say. */
export interface LocalTokenizer {
  /** The same for the same tokenizer and template, wherever they lie. */
  readonly identity: string;
  /** Never rejects. `unsure`: workers may do it otherwise. */
  tokensOf(question: TokenQuestion): Promise<WorkerTokens | { readonly kind: 'unsure' }>;
}

export interface LocalTokenizers<W> {
  provenFor(model: string, workers: readonly W[]): LocalTokenizer | undefined;
}

export interface ExactTokensSettings {
  readonly timeoutMs: number;
  readonly cache: TokenCacheBounds;
}

export interface ExactTokensDeps<W extends TokenizingWorker> {
  readonly clock: Clock;
  readonly metrics: Pick<
    Metrics,
    | 'tokenCacheBytes'
    | 'tokenCacheEntries'
    | 'tokenCacheHitsTotal'
    | 'tokenCacheMissesTotal'
    | 'tokenizeDurationSeconds'
    | 'tokenizeTotal'
  >;
  /** Those that serve the model and are well. */
  readonly workersFor: (model: string) => readonly W[];
  readonly versionOf: (worker: W) => string | undefined;
  readonly tokenizers: Pick<WorkerTokenizers<W>, 'tokensOf'>;
  readonly locals?: LocalTokenizers<W> | undefined;
  /** What other routers have found, as long as that is shared. */
  readonly shared?: (() => SharedTokens | undefined) | undefined;
  /** A worker counts otherwise than it was found to: told once in a while. */
  readonly onDoubt?: (doubted: DoubtedTokens) => void;
}

/** A question that was not answered yet. */
interface UnderWay {
  readonly model: string;
  readonly found: Promise<TokensFound>;
}

interface Sources<W> {
  readonly key: string;
  readonly workers: readonly W[];
  readonly local: LocalTokenizer | undefined;
}

/** A worker that always counts otherwise is not compared, and the cache not emptied, with every request. */
const DOUBT_MS = 60_000;
const MOST_DOUBTED = 4_096;

/** Token ids in the order of what they cost: from the cache, from a tokenizer of the router's own, from a worker. */
export class ExactTokens<W extends TokenizingWorker> implements TokenSource {
  readonly #deps: ExactTokensDeps<W>;
  readonly #cache: TokenCache;
  /** By key of the cache: who asks the same meanwhile waits for the same answer. */
  readonly #underWay = new Map<string, UnderWay>();
  /** When doubts about a worker were last acted on, monotonic ms. */
  readonly #doubted = new Map<string, number>();
  #settings: ExactTokensSettings;

  constructor(settings: ExactTokensSettings, deps: ExactTokensDeps<W>) {
    this.#settings = settings;
    this.#deps = deps;
    this.#cache = new TokenCache(settings.cache, deps.clock);
    deps.metrics.tokenCacheBytes.onCollect((family) => {
      family.with().set(this.#cache.bytes);
    });
    deps.metrics.tokenCacheEntries.onCollect((family) => {
      family.with().set(this.#cache.size);
    });
  }

  reconfigure(settings: ExactTokensSettings): void {
    this.#settings = settings;
    this.#cache.reconfigure(settings.cache);
  }

  /** Workers of the model may tokenise otherwise from now on. */
  forget(model: string): void {
    this.#cache.forget(model);
    // What was asked before is of the workers as they were.
    for (const [key, asked] of this.#underWay) if (asked.model === model) this.#underWay.delete(key);
  }

  /** What is known of the model's tokens is forgotten, and its tokenizer compared again. */
  doubt(doubted: DoubtedTokens): void {
    const { clock, onDoubt } = this.#deps;
    const now = clock.now();
    const before = this.#doubted.get(doubted.worker);
    if (before !== undefined && now - before < DOUBT_MS) return;
    this.#doubted.delete(doubted.worker);
    const [oldest] = this.#doubted.keys();
    if (this.#doubted.size >= MOST_DOUBTED && oldest !== undefined) this.#doubted.delete(oldest);
    this.#doubted.set(doubted.worker, now);
    this.forget(doubted.model);
    this.#deps.shared?.()?.doubt(doubted.model);
    onDoubt?.(doubted);
  }

  async tokensFor(question: TokenQuestion): Promise<TokensFound> {
    const { metrics, workersFor, locals, clock } = this.#deps;
    const workers = workersFor(question.model);
    const local = question.renderOnly ? undefined : locals?.provenFor(question.model, workers);
    const key = tokenKey({ identity: local?.identity ?? this.#identityOf(question, workers), ...question });
    const cached = this.#cache.get(key);
    if (cached) {
      metrics.tokenCacheHitsTotal.with().inc();
      metrics.tokenizeDurationSeconds.with('cache').observe(0);
      return { kind: 'found', ids: cached, source: 'cache' };
    }
    metrics.tokenCacheMissesTotal.with().inc();
    let asked = this.#underWay.get(key);
    if (!asked) {
      asked = { model: question.model, found: this.#workOut(question, { key, workers, local }) };
      this.#underWay.set(key, asked);
      this.#keepWhatComes(key, asked);
    }
    const found = await withinTime(asked.found, this.#settings.timeoutMs, clock);
    return found ?? { kind: 'late' };
  }

  /** Also where nobody waits any more: the next one who asks the same finds it. */
  #keepWhatComes(key: string, asked: UnderWay): void {
    void asked.found.then((found) => {
      if (this.#underWay.get(key) !== asked) return;
      this.#underWay.delete(key);
      // What a worker said in the place of the local tokenizer is as good: they were proved to be equal.
      if (found.kind !== 'found') return;
      this.#cache.set(key, { ids: found.ids, model: asked.model });
      if (found.source !== 'cache') this.#deps.shared?.()?.set(key, found.ids);
    });
  }

  async #workOut(question: TokenQuestion, { key, workers, local }: Sources<W>): Promise<TokensFound> {
    const { tokenizers, shared } = this.#deps;
    const elsewhere = shared?.();
    const theirs = elsewhere && (await elsewhere.get(key, question.model));
    if (theirs) return { kind: 'found', ids: theirs, source: 'cache' };
    const ours = local && (await this.#timed('local', local.tokensOf(question)));
    const tokens =
      ours?.kind === 'ids' ? ours : await this.#timed('worker', tokenizers.tokensOf(question, workers));
    if (tokens.kind !== 'ids') return tokens;
    return { kind: 'found', ids: tokens.ids, source: tokens === ours ? 'local' : 'worker' };
  }

  async #timed<T extends WorkerTokens | { readonly kind: 'unsure' }>(
    source: 'local' | 'worker',
    asked: Promise<T>,
  ): Promise<T> {
    const { clock, metrics } = this.#deps;
    const from = clock.now();
    const tokens = await asked;
    metrics.tokenizeTotal.with(source, tokens.kind === 'ids' ? 'found' : tokens.kind).inc();
    if (tokens.kind === 'ids')
      metrics.tokenizeDurationSeconds.with(source).observe((clock.now() - from) / 1000);
    return tokens;
  }

  #identityOf({ model }: TokenQuestion, [first]: readonly W[]): string {
    const version = first && this.#deps.versionOf(first);
    return `model ${JSON.stringify(model)} of version ${version ?? ''}`;
  }
}
