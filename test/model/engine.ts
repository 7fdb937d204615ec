import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { tinyGguf } from './tiny-gguf.ts';

/** A token id of the engine's vocabulary. */
export type Token = number;

/** What is used of node-llama-cpp, whose own types are there only where it is installed. */
interface LlamaSequence {
  readonly nextTokenIndex: number;
  compareContextTokens(tokens: readonly Token[]): { readonly firstDifferentIndex: number };
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>;
  evaluate(tokens: readonly Token[], options: { readonly temperature: number }): AsyncGenerator<Token>;
}

interface LlamaContext {
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}

interface LlamaEmbeddingContext {
  getEmbeddingFor(tokens: readonly Token[]): Promise<{ readonly vector: readonly number[] }>;
  dispose(): Promise<void>;
}

interface LlamaModel {
  tokenize(text: string): readonly Token[];
  detokenize(tokens: readonly Token[]): string;
  createContext(options: { contextSize: number; sequences: number; threads: number }): Promise<LlamaContext>;
  createEmbeddingContext(options: { contextSize: number; threads: number }): Promise<LlamaEmbeddingContext>;
}

interface Llama {
  loadModel(options: { readonly modelPath: string }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

interface LlamaPackage {
  getLlama(options: {
    readonly gpu: false;
    readonly build: 'never';
    readonly maxThreads: number;
    readonly progressLogs: boolean;
  }): Promise<Llama>;
}

/** The engine, loaded once per process with the tiny model; `Engine`s are independent caches on top of it. */
export class LoadedModel implements AsyncDisposable {
  readonly model: LlamaModel;
  readonly #llama: Llama;

  /** `entry` is the path of node-llama-cpp's main module. Rejects where the compiled engine does not run. */
  static async load(entry: string): Promise<LoadedModel> {
    // The package's types are not there to be checked: see above.
    const llamaCpp = (await import(pathToFileURL(entry).href)) as LlamaPackage;
    // One thread: with more, they spin while they wait for each other, which starves everything else on a small machine.
    const llama = await llamaCpp.getLlama({ gpu: false, build: 'never', maxThreads: 1, progressLogs: false });
    const folder = mkdtempSync(join(tmpdir(), 'vllm-router-model-'));
    try {
      const modelPath = join(folder, 'tiny.gguf');
      writeFileSync(modelPath, tinyGguf());
      return new LoadedModel(llama, await llama.loadModel({ modelPath }));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  private constructor(llama: Llama, model: LlamaModel) {
    this.#llama = llama;
    this.model = model;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#llama.dispose();
  }
}

export interface EngineOptions {
  /** Most tokens of prompt and answer together. */
  readonly contextSize: number;
  /** Requests that can run at once; each place keeps the KV cache of its last request. */
  readonly sequences: number;
}

export interface Generation {
  readonly prompt: readonly Token[];
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  /** Prefill is done: that many of the prompt's tokens were in the cache. */
  onStart(cachedTokens: number): void;
  onText(text: string): void;
}

interface Place {
  readonly sequence: LlamaSequence;
  usedAt: number;
}

interface Waiting {
  readonly prompt: readonly Token[];
  /** Undefined = left before its turn came. */
  readonly resolve: (place: Place | undefined) => void;
}

/** One engine with a KV cache of its own: generates greedily, several requests at once, and reuses prefixes. */
export class Engine implements AsyncDisposable {
  readonly options: EngineOptions;
  readonly stats = {
    running: 0,
    promptTokens: 0,
    generatedTokens: 0,
    cachedTokens: 0,
    aborted: 0,
    finished: 0,
  };
  readonly #model: LlamaModel;
  readonly #context: LlamaContext;
  readonly #embedding: LlamaEmbeddingContext;
  readonly #free: Place[];
  readonly #waiting: Waiting[] = [];
  #uses = 0;

  static async create({ model }: LoadedModel, options: EngineOptions): Promise<Engine> {
    const { contextSize, sequences } = options;
    const context = await model.createContext({ contextSize, sequences, threads: 1 });
    const embedding = await model.createEmbeddingContext({ contextSize, threads: 1 });
    return new Engine(model, context, embedding, options);
  }

  private constructor(
    model: LlamaModel,
    context: LlamaContext,
    embedding: LlamaEmbeddingContext,
    options: EngineOptions,
  ) {
    this.options = options;
    this.#model = model;
    this.#context = context;
    this.#embedding = embedding;
    this.#free = Array.from({ length: options.sequences }, () => ({
      sequence: context.getSequence(),
      usedAt: 0,
    }));
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  tokenize(text: string): readonly Token[] {
    return this.#model.tokenize(text);
  }

  /** Resolves with the number of tokens generated: `maxTokens`, or fewer after an abort. */
  async generate(generation: Generation): Promise<number> {
    const { prompt, maxTokens, signal } = generation;
    const place = await this.#place(generation);
    if (!place) return 0;
    this.stats.running += 1;
    let generated = 0;
    try {
      const cachedTokens = await this.#reuse(place.sequence, prompt);
      this.stats.promptTokens += prompt.length;
      this.stats.cachedTokens += cachedTokens;
      for await (const token of place.sequence.evaluate(prompt.slice(cachedTokens), { temperature: 0 })) {
        if (signal.aborted) break;
        if (generated === 0) generation.onStart(cachedTokens);
        generated += 1;
        this.stats.generatedTokens += 1;
        generation.onText(this.#model.detokenize([token]));
        if (generated === maxTokens) break;
      }
    } finally {
      this.stats.running -= 1;
      this.stats[signal.aborted ? 'aborted' : 'finished'] += 1;
      this.#free.push(place);
      const next = this.#waiting.shift();
      next?.resolve(this.#take(next.prompt));
    }
    return generated;
  }

  async embed(tokens: readonly Token[]): Promise<readonly number[]> {
    return (await this.#embedding.getEmbeddingFor(tokens)).vector;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.dispose();
    await this.#embedding.dispose();
  }

  /** First come, first served. Undefined when the request was aborted while it waited. */
  #place({ prompt, signal }: Generation): Place | Promise<Place | undefined> {
    if (this.#free.length > 0) return this.#take(prompt);
    return new Promise((resolve) => {
      const entry = { prompt, resolve };
      this.#waiting.push(entry);
      signal.addEventListener('abort', () => {
        const at = this.#waiting.indexOf(entry);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        this.stats.aborted += 1;
        resolve(undefined);
      });
    });
  }

  /** The free place that has most of the prompt cached, if that is half of it; else the one unused for longest. */
  #take(prompt: readonly Token[]): Place {
    const cached = ({ sequence }: Place): number => sequence.compareContextTokens(prompt).firstDifferentIndex;
    const [warmest] = this.#free.toSorted((a, b) => cached(b) - cached(a));
    const [oldest] = this.#free.toSorted((a, b) => a.usedAt - b.usedAt);
    if (!warmest || !oldest) throw new Error('no place is free');
    const place = 2 * cached(warmest) >= prompt.length ? warmest : oldest;
    this.#free.splice(this.#free.indexOf(place), 1);
    place.usedAt = ++this.#uses;
    return place;
  }

  /** Leaves in the sequence what it shares with the prompt; the last token is always computed anew. */
  async #reuse(sequence: LlamaSequence, prompt: readonly Token[]): Promise<number> {
    const shared = sequence.compareContextTokens(prompt).firstDifferentIndex;
    const kept = Math.min(shared, prompt.length - 1);
    if (sequence.nextTokenIndex > kept)
      await sequence.eraseContextTokenRanges([{ start: kept, end: sequence.nextTokenIndex }]);
    return kept;
  }
}
