import { isObject, type JsonObject } from '../prompt-sink.ts';
import {
  contentText,
  messageId,
  modelName,
  reasoningOf,
  stopOf,
  stringOf,
  usageOf,
  type MessageFacts,
} from './ending.ts';
import { errorEventOf } from './errors.ts';
import { inputOf, toolId } from './response.ts';

/** Held until the tool that is being used has all its input: longer than any text between two calls. */
const MOST_HELD_CHARS = 1024 * 1024;
/** Used in one answer. */
const MOST_TOOLS = 1024;

type Kind = 'thinking' | 'text' | 'tool_use';

/** One call of the answer, as far as it came. */
interface Tool {
  id: string;
  name: string;
  /** Input that came before its name. */
  held: string;
  state: 'unnamed' | 'open' | 'closed';
}

/**
 * The events of a chat's stream as those of a message's, one after the other: `message_start`, each block's own start, deltas and stop, `ping`
 * behind the first start, `message_delta` and `message_stop` once at the end. Of an answer that is none there is no end: `problem` says why.
 */
export class MessageStream {
  /** Why there is no message; undefined so far. */
  problem: string | undefined;
  readonly #facts: MessageFacts;
  #id = '';
  #out = '';
  #isOver = false;
  #isStarted = false;
  /** The block that is open, and its place. */
  #open: Kind | undefined;
  #index = -1;
  readonly #tools = new Map<unknown, Tool>();
  #tool: Tool | undefined;
  /** Of the tool that was used last, as far as is needed to see whether it is whole. */
  #input = '';
  /** Text that came while a tool's input did. */
  #heldText = '';
  #usage: unknown;
  #finishReason: unknown;
  #stopReason: unknown;

  constructor(facts: MessageFacts) {
    this.#facts = facts;
  }

  /** The data of one event. Gives what there is to be told now, as events. */
  event(data: string): string {
    if (this.#isOver || this.problem !== undefined) return '';
    if (data === '[DONE]') return this.#end();
    const chunk = parsed(data);
    if (!isObject(chunk)) return this.#fail('it is no JSON object');
    if ((chunk['error'] !== undefined && chunk['error'] !== null) || chunk['object'] === 'error') {
      this.#isOver = true;
      return errorEventOf(chunk);
    }
    if (isObject(chunk['usage'])) this.#usage = chunk['usage'];
    if (!this.#isStarted) this.#start(chunk);
    const { choices } = chunk;
    const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
    // Further answers nobody has asked for.
    if (isObject(choice) && (choice['index'] ?? 0) === 0) this.#choice(choice);
    return this.problem === undefined ? this.#take() : '';
  }

  /** The bytes have come to their end. A stream that says how it ended, and no more, is one. */
  end(): string {
    if (this.#isOver || this.problem !== undefined) return '';
    if (isGiven(this.#finishReason)) return this.#end();
    return this.#fail('it ended before its answer did');
  }

  #fail(problem: string): string {
    this.problem = `what should be the stream of a chat is none: ${problem}`;
    return '';
  }

  #take(): string {
    const out = this.#out;
    this.#out = '';
    return out;
  }

  #say(type: string, fields: object): void {
    this.#out += `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
  }

  #start(chunk: JsonObject): void {
    this.#isStarted = true;
    this.#id = messageId(chunk['id'], this.#facts);
    this.#say('message_start', {
      message: {
        id: this.#id,
        type: 'message',
        role: 'assistant',
        model: modelName(chunk['model'], this.#facts),
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: usageOf(this.#usage),
      },
    });
  }

  #choice(choice: JsonObject): void {
    const { delta, finish_reason: finish, stop_reason: stop } = choice;
    if (isObject(delta)) {
      const thought = reasoningOf(delta);
      if (thought !== '') this.#think(thought);
      const text = contentText(delta['content']);
      if (text !== '') this.#write(text);
      const { tool_calls: calls } = delta;
      if (Array.isArray(calls))
        for (const [at, call] of (calls as unknown[]).entries()) if (isObject(call)) this.#call(call, at);
    }
    if (isGiven(finish)) this.#finishReason = finish;
    if (isGiven(stop)) this.#stopReason = stop;
  }

  #think(thinking: string): void {
    if (this.#open !== 'thinking') this.#begin('thinking', { thinking: '', signature: '' });
    this.#delta({ type: 'thinking_delta', thinking });
  }

  #write(text: string): void {
    if (this.#open === 'tool_use') {
      this.#heldText += text;
      if (this.#heldText.length > MOST_HELD_CHARS) this.#fail('too much text comes within a tool call');
      return;
    }
    if (this.#open !== 'text') this.#begin('text', { text: '' });
    this.#delta({ type: 'text_delta', text });
  }

  #call(call: JsonObject, at: number): void {
    const called = isObject(call['function']) ? call['function'] : {};
    const tool = this.#toolFor(call['index'] ?? at, stringOf(call['id']));
    if (!tool) return;
    const input = stringOf(called['arguments']);
    const name = stringOf(called['name']);
    if (tool.state === 'unnamed' && name !== '') {
      tool.name = name;
      this.#beginTool(tool);
    }
    if (input === '') return;
    if (tool.state === 'open') this.#addInput(input);
    else if (tool.state === 'closed') this.#fail('its tool calls come mixed with each other');
    else {
      tool.held += input;
      if (tool.held.length > MOST_HELD_CHARS) this.#fail('a tool call has no name');
    }
  }

  /** Some workers count all calls as the first one, and give each an id of its own. */
  #toolFor(key: unknown, id: string): Tool | undefined {
    const known = this.#tools.get(key);
    if (known && (id === '' || known.id === '' || known.id === id)) {
      known.id ||= id;
      return known;
    }
    if (this.#tools.size >= MOST_TOOLS) {
      this.#fail('it has too many tool calls');
      return undefined;
    }
    const tool: Tool = { id, name: '', held: '', state: 'unnamed' };
    this.#tools.set(key, tool);
    return tool;
  }

  #beginTool(tool: Tool): void {
    this.#close();
    const id = tool.id || toolId(this.#id, this.#index + 1);
    this.#begin('tool_use', { id, name: tool.name, input: {} });
    tool.state = 'open';
    this.#tool = tool;
    this.#input = '';
    if (tool.held !== '') this.#addInput(tool.held);
    tool.held = '';
  }

  #addInput(json: string): void {
    if (this.#input.length <= MOST_HELD_CHARS) this.#input += json;
    this.#delta({ type: 'input_json_delta', partial_json: json });
  }

  #begin(kind: Kind, fields: object): void {
    this.#close();
    this.#index += 1;
    this.#open = kind;
    this.#say('content_block_start', { index: this.#index, content_block: { type: kind, ...fields } });
    if (this.#index === 0) this.#say('ping', {});
  }

  #delta(delta: object): void {
    this.#say('content_block_delta', { index: this.#index, delta });
  }

  #close(): void {
    if (this.#open === undefined) return;
    // Clients that send thoughts back want them signed; by whom nobody here asks.
    if (this.#open === 'thinking') this.#delta({ type: 'signature_delta', signature: this.#id });
    this.#say('content_block_stop', { index: this.#index });
    this.#open = undefined;
    if (this.#tool) this.#tool.state = 'closed';
    this.#tool = undefined;
    const text = this.#heldText;
    this.#heldText = '';
    if (text === '') return;
    this.#write(text);
    this.#close();
  }

  #end(): string {
    if (!this.#isStarted) return this.#fail('it ended before it began');
    const unnamed = [...this.#tools.values()].some(({ state, held }) => state === 'unnamed' && held !== '');
    if (unnamed) return this.#fail('a tool call has no name');
    this.#isOver = true;
    this.#close();
    // An answer has one block at least, as one that is not streamed has.
    if (this.#index < 0) {
      this.#begin('text', { text: '' });
      this.#close();
    }
    // One that never had a name has no block.
    const usesTool = [...this.#tools.values()].some(({ state }) => state !== 'unnamed');
    const delta = stopOf({
      finishReason: this.#finishReason,
      stopReason: this.#stopReason,
      usesTool,
      isToolWhole: usesTool && (this.#input.length > MOST_HELD_CHARS || inputOf(this.#input) !== undefined),
    });
    this.#say('message_delta', { delta, usage: usageOf(this.#usage) });
    this.#say('message_stop', {});
    return this.#take();
  }
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
