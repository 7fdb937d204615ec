import { Template } from '@huggingface/jinja';
import type { JsonObject } from '../../api/prompt-sink.ts';
import type { LocalChat } from './local-chat.ts';
import { NotAlike } from './exact-json.ts';

/** Templates by name; `default` unless a chat has tools and there is one for that. */
export type TemplateSources = Readonly<Record<string, string>>;

/** Marks where the last message goes on, as transformers does. */
const GOES_ON = 'CONTINUE_FINAL_MESSAGE_TAG ';

/** The chat templates of one model, as transformers' `apply_chat_template` uses them. */
export class ChatTemplate {
  readonly #templates: ReadonlyMap<string, { readonly template: Template; readonly source: string }>;
  /** `bos_token` and the like. */
  readonly #specials: JsonObject;

  /** Throws for a template that cannot be read. */
  constructor(sources: TemplateSources, specials: JsonObject) {
    this.#templates = new Map(
      Object.entries(sources).map(([name, source]) => [name, { template: new Template(source), source }]),
    );
    this.#specials = specials;
  }

  /** Whether the template, the one for tools or the other, has a role of that name. */
  knowsDeveloper(hasTools: boolean): boolean {
    const { source } = this.#pick(hasTools);
    return source.includes('"developer"') || source.includes("'developer'");
  }

  /** Throws where the template does, and `NotAlike` where the clock is part of the text. */
  render({ messages, tools, addGenerationPrompt, continueFinalMessage, more }: LocalChat): string {
    const { template, source } = this.#pick(tools !== null);
    // A worker may live in another time zone.
    if (source.includes('strftime_now')) throw new NotAlike('a template that reads the clock');
    const text = template.render({
      ...this.#specials,
      ...more,
      messages: continueFinalMessage ? goingOn(messages) : messages,
      tools,
      documents: more['documents'] ?? null,
      add_generation_prompt: addGenerationPrompt,
    });
    return continueFinalMessage ? cutBehind(text) : text;
  }

  #pick(hasTools: boolean): { readonly template: Template; readonly source: string } {
    const found = (hasTools ? this.#templates.get('tool_use') : undefined) ?? this.#templates.get('default');
    if (!found) throw new Error('there is no chat template');
    return found;
  }
}

function goingOn(messages: readonly JsonObject[]): readonly JsonObject[] {
  const last = messages.at(-1);
  const content = last?.['content'];
  if (last === undefined) throw new NotAlike('nothing to go on with');
  if (typeof content === 'string') return [...messages.slice(0, -1), { ...last, content: content + GOES_ON }];
  const part: unknown = Array.isArray(content) ? content.at(-1) : undefined;
  if (!Array.isArray(content) || !isText(part)) throw new NotAlike('nothing to go on with');
  const parts = [...(content.slice(0, -1) as unknown[]), { ...part, text: part.text + GOES_ON }];
  return [...messages.slice(0, -1), { ...last, content: parts }];
}

function isText(part: unknown): part is { readonly text: string } {
  return typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string';
}

/** The text up to where the last message ends. */
function cutBehind(text: string): string {
  const at = text.lastIndexOf(GOES_ON.trimEnd());
  if (at < 0) throw new NotAlike('a template that leaves the last message out');
  const before = text.slice(0, at);
  // A template that trims has taken the space from behind the mark, and would have from behind the message.
  return text.startsWith(GOES_ON, at) ? before : before.trimEnd();
}
