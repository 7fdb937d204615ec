import type { JsonObject, PromptSink } from '../../api/prompt-sink.ts';
import type { PromptReader } from '../../api/prompts.ts';
import { isObject, plain } from '../../api/prompt-sink.ts';
import { PromptText } from '../../api/prompt-text.ts';
import { RouterError } from '../../base/errors.ts';
import { headerOf } from '../../http/headers.ts';
import { keyOf, type PromptKey } from '../../routing/answered-prompts.ts';
import { inTokens, NO_BLOCKS, type Beginning, type PromptBlocks } from '../../routing/blocks.ts';
import { readHashKey, readSessionKey } from '../../routing/hash-key.ts';
import type { Ask, ChainKey, HashKey, Holdings, TokensSource } from '../../routing/policy.ts';
import { BYTES_PER_BLOCK, PromptHasher } from '../../routing/prompt-hash.ts';
import type { ReadText } from '../../routing/token-ratio.ts';
import { tokenChain, type ChainScope } from '../../routing/token-chain.ts';
import type { Nearest } from '../../semantic/centroids.ts';
import type { UnitVector } from '../../semantic/unit-vector.ts';
import type { Runtime } from '../runtime.ts';
import type { BodyFields } from '../understand/body-fields.ts';
import { mustUnderstand } from '../understand/inspects-bodies.ts';

/** What is read of a request beside its body. An `Arrival` is one. */
export interface AskSource {
  readonly req: { readonly rawHeaders: readonly string[] };
  /** Path and query. */
  readonly target: string;
}

interface AskInput {
  readonly model: string;
  readonly stream: boolean;
  readonly fields: BodyFields;
  readonly prompt: PromptReader | undefined;
  /** Size of the body. */
  readonly bytes: number;
}

/** What the policy may ask about a request; nothing is computed that no policy looks at. */
export class RequestAsk implements Ask {
  readonly model: string;
  readonly stream: boolean;
  readonly #rt: Runtime;
  readonly #source: AskSource;
  readonly #input: AskInput;
  #blocks: PromptBlocks | undefined;
  #ids: Uint32Array | undefined;
  /** How many there are; undefined while that is not known. */
  #tokens: number | undefined;
  #tokensSource: TokensSource = 'estimate';
  /** Set where LMCache's controller has been asked. */
  holdings: Holdings | undefined;
  /** What it asks for as a direction; null: it was asked for in vain, undefined: not yet. */
  vector: UnitVector | null | undefined;
  /** The semantic cluster that it belongs to. */
  cluster: Nearest | undefined;
  /** One for each block size that was asked for. */
  #chains: PromptBlocks[] = [];
  #text: ReadText | undefined;
  #key: PromptKey | undefined;
  #beginning: Beginning | undefined;
  #hasher: PromptHasher | undefined;
  #hashKey: HashKey | undefined;

  constructor(rt: Runtime, source: AskSource, input: AskInput) {
    this.model = input.model;
    this.stream = input.stream;
    this.#rt = rt;
    this.#source = source;
    this.#input = input;
  }

  blocks(): PromptBlocks {
    this.#blocks ??= this.#counted(this.#readPrompt());
    return this.#blocks;
  }

  tokenIds(): Uint32Array | undefined {
    return this.#ids;
  }

  chain(key: ChainKey): PromptBlocks | undefined {
    if (key === 'text') return this.blocks();
    if (this.#ids === undefined) return undefined;
    const { blockSize } = key;
    const known = this.#chains.find(({ tokensPerBlock }) => tokensPerBlock === blockSize);
    if (known) return known;
    const chain = tokenChain(this.#ids, { blockSize, ...this.#scope() });
    this.#chains.push(chain);
    return chain;
  }

  /** What a worker will compute is known from now on: whatever is said of the prompt is said in these tokens. */
  setTokenIds(ids: Uint32Array, source: Exclude<TokensSource, 'estimate'>): void {
    this.#ids = ids;
    this.#tokens = ids.length;
    this.#tokensSource = source;
    this.#chains = [];
    this.#blocks &&= this.#counted(this.#blocks);
  }

  get tokensSource(): TokensSource {
    return this.#tokensSource;
  }

  /** What the client keeps its prefix apart from others' with; empty where it does not. */
  get salt(): string {
    return cacheSalt(this.#input.fields.values());
  }

  hashKey(): HashKey {
    this.#hashKey ??= readHashKey(
      this.#rt.hashKeySources,
      (name) => headerOf(this.#source.req.rawHeaders, name),
      (path) => memberAt(this.#input.fields.values(), path),
      () => this.#fingerprint(),
    );
    return this.#hashKey;
  }

  /** The id of a conversation or a user, where the request brings one. */
  sessionKey(): string | undefined {
    return readSessionKey(
      this.#rt.hashKeySources,
      (name) => headerOf(this.#source.req.rawHeaders, name),
      (path) => memberAt(this.#input.fields.values(), path),
    );
  }

  /** The same request under another model. */
  under(model: string): RequestAsk {
    return new RequestAsk(this.#rt, this.#source, { ...this.#input, model });
  }

  /** The key, if a policy asked for it. */
  get usedHashKey(): HashKey | undefined {
    return this.#hashKey;
  }

  /** Tokens of the prompt: as they are where they are known, else counted with the blocks where a policy reads them, else from the body's size. */
  promptTokens(): number {
    if (this.#input.prompt === undefined) return 0;
    if (this.#tokens !== undefined) return this.#tokens;
    if (this.#blocks) return this.#blocks.totalTokens;
    return Math.ceil(this.#input.bytes / this.#rt.tokenRatio.charsPerToken(this.model));
  }

  /**
   * The answer has begun, and nothing will be chosen any more: lets go of the parsed body and the hashes, which a long
   * stream would otherwise keep to its end.
   */
  letGo(): void {
    this.#input.fields.letGo();
    this.#hasher = undefined;
    this.#ids = undefined;
    this.holdings = undefined;
    this.vector = undefined;
    this.#chains = [];
    if (this.#blocks) this.#blocks = { ...NO_BLOCKS, totalTokens: this.#blocks.totalTokens };
  }

  /** The prompt as text with its roles, as far as it can be read and not beyond `most` characters. */
  promptText(most: number): string {
    const { prompt, fields } = this.#input;
    if (!prompt) return '';
    if (fields.rawPrompt !== undefined) return fields.rawPrompt.slice(0, most);
    const sink = new PromptText(most);
    this.#readDeep(() => {
      prompt(fields.values(), sink);
    });
    return sink.value;
  }

  /** What the body says; `isWhole`: nothing of it was too long to be looked at. */
  said(): { readonly values: JsonObject; readonly isWhole: boolean } {
    const { fields } = this.#input;
    return { values: fields.values(), isWhole: (fields.rawPrompt ?? '') === '' };
  }

  /** The body is another one now, which says the same. */
  nowIn(body: Buffer): void {
    this.#input.fields.nowIn(body);
  }

  /** What the prompt's text is, for learning how many tokens that comes to; undefined where it was not read as text. */
  get readText(): ReadText | undefined {
    return this.#text;
  }

  /** For remembering how many tokens it had; undefined where it was not read, or is too short. */
  get promptKey(): PromptKey | undefined {
    return this.#key;
  }

  /** What of it was a whole prompt before. */
  get beginning(): Beginning | undefined {
    return this.#beginning;
  }

  #counted(blocks: PromptBlocks): PromptBlocks {
    return this.#tokens === undefined ? blocks : inTokens(blocks, this.#tokens);
  }

  /** An adapter's blocks are its own; the names of a model itself all mean the same ones. */
  #scope(): Pick<ChainScope, 'adapter' | 'salt'> {
    const { members } = this.#rt.registry.membersFor(this.model);
    const isAdapter = members.some(({ adapters }) => adapters.has(this.model));
    return { adapter: isAdapter ? this.model : '', salt: this.salt };
  }

  #readPrompt(): PromptBlocks {
    const { prompt, fields, bytes } = this.#input;
    if (!prompt) return NO_BLOCKS;
    const { rawPrompt } = fields;
    const values = fields.values();
    const hasher = (this.#hasher = new PromptHasher(saltOf(this.model, values)));
    if (rawPrompt) {
      const charsPerToken = this.#rt.tokenRatio.charsPerToken(this.model);
      hasher.role('raw');
      hasher.text(rawPrompt);
      return { ...hasher.finish({ charsPerToken }), totalTokens: Math.ceil(bytes / charsPerToken) };
    }
    this.#readDeep(() => {
      prompt(values, hasher satisfies PromptSink);
    });
    return this.#finish(hasher);
  }

  /** Of what was a whole prompt before the tokens are known; those of the rest are estimated from what it is made of. */
  #finish(hasher: PromptHasher): PromptBlocks {
    const text = { bytes: hasher.textBytes, shape: hasher.shape() };
    const charsPerToken = this.#rt.tokenRatio.charsPerTokenOf(this.model, text);
    const blocks = hasher.finish({ charsPerToken });
    if (!blocks.estimated) return blocks;
    const chain = { blocks, ends: hasher.ends() };
    this.#text = text;
    this.#key = keyOf(chain);
    const found = this.#rt.answered.beginningOf(chain, this.model);
    if (!found) return blocks;
    const beginning = (this.#beginning = { ...found, perBlock: blocks.tokensPerBlock });
    const rest = Math.max(0, text.bytes - beginning.at * BYTES_PER_BLOCK);
    const totalTokens = beginning.tokens + Math.ceil(rest / charsPerToken);
    return { ...inTokens(blocks, totalTokens), beginning };
  }

  /**
   * JSON is read to any depth but written by recursion: what exhausts the stack would exhaust a worker's, too. What was
   * read before that stands for the rest where only the choice depends on it.
   */
  #readDeep(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      if (mustUnderstand(this.#rt))
        throw new RouterError('invalid_json', 'the JSON of the body is nested too deeply');
    }
  }

  /** Stands for requests without any id: the same prompt, or the same path, goes to the same worker. */
  #fingerprint(): string {
    this.blocks();
    return this.#hasher ? this.#hasher.fingerprint() : `${this.#source.target}:${this.#input.bytes}`;
  }
}

function memberAt(fields: JsonObject, path: readonly string[]): unknown {
  let value: unknown = fields;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return plain(value);
}

/** What engines key their prefix caches on beside the tokens: an adapter's name, and vLLM's `cache_salt`. */
function saltOf(model: string, fields: JsonObject): string {
  const salt = cacheSalt(fields);
  return salt === '' ? model : `${model}\n${salt}`;
}

function cacheSalt(fields: JsonObject): string {
  const salt = plain(fields['cache_salt']);
  return typeof salt === 'string' ? salt : '';
}
