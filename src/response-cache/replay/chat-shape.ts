import type { JsonObject } from '../../api/prompt-sink.ts';
import type { AnswerShape } from './answer-shape.ts';
import { shapeOf } from './choices.ts';
import { areTexts, listOf, only, said, textOf } from './members.ts';

const CHOICE = ['index', 'message', 'logprobs', 'finish_reason', 'stop_reason'];
const TEXTS = ['reasoning', 'reasoning_content', 'content', 'refusal'] as const;
const MESSAGE = ['role', ...TEXTS, 'tool_calls'];
const CALL = ['index', 'id', 'type', 'function'];
const CALLED = ['name', 'arguments'];

/** `/v1/chat/completions`, as vLLM 0.32 answers it. */
export const chatShape: AnswerShape = shapeOf<Choice>({
  whole: 'chat.completion',
  event: 'chat.completion.chunk',
  members: ['delta', 'logprobs'],
  parts: deltasOf,
  begin: () => ({ role: undefined, texts: new Map(), calls: new Map(), logprobs: undefined }),
  add(choice, part) {
    const delta = only(part['delta'], MESSAGE);
    if (!delta || !areTexts(delta, TEXTS)) return false;
    choice.role ??= delta['role'];
    for (const name of TEXTS) {
      const text = textOf(delta[name]);
      if (text === '') continue;
      const texts = choice.texts.get(name);
      if (texts) texts.push(text);
      else choice.texts.set(name, [text]);
    }
    return addLogprobs(choice, part['logprobs']) && addCalls(choice, delta['tool_calls']);
  },
  tell: (choice) => ({
    message: messageOf(choice),
    logprobs: choice.logprobs ? { content: choice.logprobs } : null,
  }),
});

function deltasOf(value: unknown): JsonObject[] | undefined {
  const choice = only(value, CHOICE);
  const message = only(choice?.['message'], MESSAGE);
  if (!choice || !message || !areTexts(message, TEXTS)) return undefined;
  const { index, finish_reason: reason, stop_reason: stop = null } = choice;
  let logprobs = choice['logprobs'] ?? null;
  const deltas: JsonObject[] = [];
  const add = (delta: JsonObject, more: JsonObject = { finish_reason: null }): void => {
    deltas.push({ index, delta, logprobs: deltas.length === 0 ? null : logprobs, ...more });
    // They are those of all tokens, and come with the first text.
    if (deltas.length > 1) logprobs = null;
  };
  add({ role: message['role'], content: '' });
  for (const name of TEXTS) if (textOf(message[name]) !== '') add({ [name]: message[name] });
  for (const [at, call] of (listOf(message['tool_calls']) ?? []).entries()) {
    const { id, type, function: called } = only(call, CALL) ?? {};
    const known = only(called, CALLED);
    if (!known || !areTexts(known, CALLED)) return undefined;
    add({ tool_calls: [{ index: at, id, type, function: called }] });
  }
  add({}, { finish_reason: reason, stop_reason: stop });
  return deltas;
}

interface Call {
  id: unknown;
  type: unknown;
  name: string;
  readonly arguments: string[];
}

interface Choice {
  role: unknown;
  readonly texts: Map<string, string[]>;
  readonly calls: Map<number, Call>;
  logprobs: unknown[] | undefined;
}

function messageOf({ role, texts, calls }: Choice): JsonObject {
  const text = (name: string): string | null => texts.get(name)?.join('') ?? null;
  const called = [...calls]
    .toSorted(([left], [right]) => left - right)
    .map(([, { id, type, name, arguments: parts }]) => ({
      ...said({ id, type }),
      function: { name, arguments: parts.join('') },
    }));
  return {
    role: role ?? 'assistant',
    // As vLLM has it: null beside calls, else a text, though it be empty.
    content: text('content') ?? (called.length > 0 ? null : ''),
    refusal: text('refusal'),
    annotations: null,
    audio: null,
    function_call: null,
    ...(called.length > 0 && { tool_calls: called }),
    reasoning: text('reasoning'),
    ...said({ reasoning_content: text('reasoning_content') }),
  };
}

function addLogprobs(choice: Choice, value: unknown): boolean {
  if (value === null || value === undefined) return true;
  const content = listOf(only(value, ['content'])?.['content']);
  if (!content) return false;
  if (choice.logprobs) choice.logprobs.push(...content);
  else choice.logprobs = [...content];
  return true;
}

function addCalls({ calls }: Choice, value: unknown): boolean {
  for (const one of listOf(value) ?? []) {
    const { index, id, type, function: part } = only(one, CALL) ?? {};
    const called = part === undefined || part === null ? {} : only(part, CALLED);
    if (typeof index !== 'number' || !called || !areTexts(called, CALLED)) return false;
    let call = calls.get(index);
    if (!call) {
      call = { id: undefined, type: undefined, name: '', arguments: [] };
      calls.set(index, call);
    }
    // Some workers count all calls as the first one, and give each an id of its own.
    if (typeof id === 'string' && id !== '' && call.id !== undefined && call.id !== id) return false;
    call.id ??= id ?? undefined;
    call.type ??= type;
    call.name += textOf(called['name']);
    const args = textOf(called['arguments']);
    if (args !== '') call.arguments.push(args);
  }
  return true;
}
