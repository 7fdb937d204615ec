import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import { ChatTemplate } from './chat-template.ts';
import { NotAlike, parseExactly } from './exact-json.ts';
import { readLocalChat } from './local-chat.ts';
import { SegmentedEncoder } from './segmented-encoder.ts';
import type { TextJob, TextResult } from './text-messages.ts';
import { readTokenizerFiles, specialTokens, type TokenizerFiles } from './tokenizer-files.ts';

/** Characters of a rendered prompt. More than that many tokens no model takes. */
const MOST_CHARS = 8 * 1024 * 1024;
/** Of the tokens that mean something, those that are tried. */
const MOST_SPECIALS = 4;
/** Template text of the requests' own that are kept compiled. */
const MOST_OWN_TEMPLATES = 8;

/** Tokenizer and chat template of one model. */
export class LocalTokenizer {
  readonly identity: string;
  /** Some of the tokens that mean something: in the text of a user they must come out as a worker has them. */
  readonly specials: readonly string[];
  readonly #encoder: SegmentedEncoder;
  readonly #template: ChatTemplate;
  readonly #config: JsonObject;
  /** Templates that requests brought, where that is allowed. */
  readonly #own = new Map<string, ChatTemplate>();

  /** Throws where one of the two is none. */
  constructor({ identity, tokenizer, config, templates }: TokenizerFiles) {
    const specials = specialTokens(config);
    const likely = [...Object.values(templates), ...Object.values(specials).map(String)];
    this.identity = identity;
    this.#config = specials;
    this.#template = new ChatTemplate(templates, specials);
    this.#encoder = new SegmentedEncoder(tokenizer, config, likely);
    this.specials = addedSpecials(tokenizer, likely).slice(0, MOST_SPECIALS);
  }

  /** @param path A folder, or the `tokenizer.json` in it. Throws, saying what is wrong there. */
  static read(path: string): LocalTokenizer {
    return new LocalTokenizer(readTokenizerFiles(path));
  }

  tokensOf(job: TextJob): TextResult {
    try {
      const request = parseExactly(Buffer.from(job.members).toString('utf8'));
      if (!isObject(request)) throw new NotAlike('what is no request');
      return {
        kind: 'ids',
        ids: job.route === 'chat' ? this.#chat(request, job) : this.#completion(request),
      };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: error instanceof NotAlike ? 'unsure' : 'failed', reason };
    }
  }

  #chat(request: JsonObject, { format, features }: TextJob): Uint32Array {
    const template = this.#templateOf(request);
    const hasTools = (request['tools'] ?? null) !== null;
    const chat = readLocalChat(request, { format, knowsDeveloper: template.knowsDeveloper(hasTools) });
    for (const feature of chat.features)
      if (!features.includes(feature)) throw new NotAlike(`a chat with ${feature}`);
    return this.#encode(template.render(chat), false);
  }

  #completion({ prompt, add_special_tokens: around = true }: JsonObject): Uint32Array {
    if (typeof prompt !== 'string' || typeof around !== 'boolean')
      throw new NotAlike('a prompt of another kind');
    return this.#encode(prompt, around);
  }

  #encode(text: string, addSpecialTokens: boolean): Uint32Array {
    if (text.length > MOST_CHARS) throw new NotAlike('a text that is too long');
    // Python refuses halves of characters, JavaScript replaces them.
    if (!text.isWellFormed()) throw new NotAlike('a text with half a character');
    return this.#encoder.encode(text, { addSpecialTokens });
  }

  #templateOf({ chat_template: source }: JsonObject): ChatTemplate {
    if (source === undefined || source === null) return this.#template;
    if (typeof source !== 'string') throw new NotAlike('a template that is none');
    const known = this.#own.get(source);
    if (known) return known;
    const [oldest] = this.#own.keys();
    if (this.#own.size >= MOST_OWN_TEMPLATES && oldest !== undefined) this.#own.delete(oldest);
    const template = new ChatTemplate({ default: source }, this.#config);
    this.#own.set(source, template);
    return template;
  }
}

function addedSpecials({ added_tokens: added }: JsonObject, likely: readonly string[]): readonly string[] {
  if (!Array.isArray(added)) return [];
  const contents = (added as unknown[]).filter(isObject).map(({ content }) => content);
  return contents.filter(
    (content): content is string =>
      typeof content === 'string' && likely.some((text) => text.includes(content)),
  );
}
