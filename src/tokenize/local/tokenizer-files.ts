import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { isObject, type JsonObject } from '../../api/prompt-sink.ts';
import type { TemplateSources } from './chat-template.ts';

/** What lies in the folder of a model beside its weights. */
export interface TokenizerFiles {
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
  /** Empty where the model has none: then only prompts that are no chats can be tokenised. */
  readonly templates: TemplateSources;
  /** The same for the same contents. */
  readonly identity: string;
}

/** The largest vocabularies take half of it. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_TEMPLATES = 16;
const TOKENIZER = 'tokenizer.json';

/** @param path The folder, or the `tokenizer.json` in it. Throws for what is no tokenizer, saying what is wrong with it. */
export function readTokenizerFiles(path: string): TokenizerFiles {
  const isFolder = statSync(path).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const texts = new Map<string, string>();
  const read = (name: string): string | undefined => {
    const text = readBounded(join(folder, name));
    if (text !== undefined) texts.set(name, text);
    return text;
  };
  const name = isFolder ? TOKENIZER : basename(path);
  const tokenizer = objectOf(read(name), name);
  if (!tokenizer) throw new Error(`there is no ${TOKENIZER} in ${folder}`);
  const config = objectOf(read('tokenizer_config.json'), 'tokenizer_config.json') ?? {};
  const templates = {
    ...templatesOf(config['chat_template']),
    ...namedTemplates(folder, read),
    ...only('default', read('chat_template.jinja')),
  };
  return { tokenizer, config, templates, identity: digestOf(texts) };
}

/** What a template is given: the tokens that begin, end and fill texts. */
export function specialTokens(config: JsonObject): JsonObject {
  const tokens = Object.entries(config).flatMap(([key, value]) => {
    const text = isObject(value) ? value['content'] : value;
    return key.endsWith('_token') && typeof text === 'string' ? [[key, text] as const] : [];
  });
  return Object.fromEntries(tokens);
}

/** Older files have one template, or a list of them with names. */
function templatesOf(value: unknown): TemplateSources {
  if (typeof value === 'string') return { default: value };
  if (!Array.isArray(value)) return {};
  const named = (value as unknown[]).filter(isObject).flatMap(({ name, template }) => {
    return typeof name === 'string' && typeof template === 'string' ? [[name, template] as const] : [];
  });
  return Object.fromEntries(named.slice(0, MOST_TEMPLATES));
}

function namedTemplates(folder: string, read: (name: string) => string | undefined): TemplateSources {
  const beside = 'additional_chat_templates';
  const names = namesIn(join(folder, beside)).filter((name) => name.endsWith('.jinja'));
  const named = names.slice(0, MOST_TEMPLATES).flatMap((name) => {
    const source = read(join(beside, name));
    return source === undefined ? [] : [[basename(name, extname(name)), source] as const];
  });
  return Object.fromEntries(named);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

/** Undefined where there is no such file. */
function readBounded(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return undefined;
  const { size } = stat;
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes, more than ${MOST_BYTES}`);
  return readFileSync(path, 'utf8');
}

function objectOf(text: string | undefined, name: string): JsonObject | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${name} is no JSON`);
  }
  if (!isObject(value)) throw new Error(`${name} is no JSON object`);
  return value;
}

function only(name: string, source: string | undefined): TemplateSources {
  return source === undefined ? {} : { [name]: source };
}

function digestOf(texts: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const [name, text] of texts) hash.update(`${name}\n${text.length}\n${text}`);
  return hash.digest('hex');
}
