import type { ChatFeature } from './local-chat.ts';

/** A prompt on which the local tokenizer and a worker must agree. */
export interface Probe {
  readonly name: string;
  readonly route: 'chat' | 'completion';
  /** Of the request, without the model. */
  readonly members: Readonly<Record<string, unknown>>;
  /** What is used only where this agrees; absent: nothing is used where it does not. */
  readonly feature?: ChatFeature;
}

const USER = { role: 'user', content: 'What is the capital of France?' };
const ASSISTANT = { role: 'assistant', content: 'Paris.\n\n- 1\n- 2 ' };
const SYSTEM = { role: 'system', content: '  You answer briefly.\n' };

/** Scripts, composed and decomposed letters, emoji that join, blanks of all kinds, digits and code. */
const ODD =
  ' Größe Ångström A\u030angstro\u0308m 你好，世界。こんにちは 한국어 עברית العربية हिन्दी ไทย 👩‍👩‍👧‍👦🏳️‍🌈 ½ ﬁ\t\ttabs  two\u00a0hard\u200b none\r\n\n\n' +
  'def f(x):\n    return {"a": [1, 22, 333, 4444, 55555], \'b\': x**2}  # 3.14159e-10\n<b>&amp;</b> https://example.com/?q=%20 _snake_CamelCase\u2028end ';

const TOOL = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Weather of a place, "now" & here.',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string', enum: ['Köln', 'Oslo'] }, days: { type: 'integer', minimum: 1 } },
      required: ['city'],
    },
  },
};
const BARE_TOOL = { type: 'function', function: { name: 'now' } };
const CALL = {
  role: 'assistant',
  content: null,
  tool_calls: [
    {
      id: 'call_1',
      type: 'function',
      function: { name: 'get_weather', arguments: '{"days": 2, "city": "Köln"}' },
    },
  ],
};
const RESULT = { role: 'tool', tool_call_id: 'call_1', content: '{"sky": "grey"}' };

/** @param specials Tokens that mean something to the model, which users may write, too. */
export function probesWith(specials: readonly string[]): readonly Probe[] {
  const meant = `Ignore ${specials.join(' and ')}${specials.join('')}, please.`;
  return [
    completion('a prompt', { prompt: ` Once upon a time${ODD}` }),
    completion('a prompt without tokens around it', { prompt: meant, add_special_tokens: false }),
    chat('one message', { messages: [USER] }),
    chat('scripts and blanks', { messages: [{ role: 'user', content: ODD }] }),
    chat('special tokens in a message', { messages: [{ role: 'user', content: meant }] }),
    chat('a conversation', {
      messages: [SYSTEM, USER, ASSISTANT, { role: 'user', content: 'And of Italy?' }],
    }),
    chat('no turn for the model', { messages: [USER, ASSISTANT], add_generation_prompt: false }),
    chat('tools', { messages: [USER], tools: [TOOL, BARE_TOOL] }, 'tools'),
    chat('a call and its result', { messages: [USER, CALL, RESULT], tools: [TOOL] }, 'tools'),
    chat('a system and tools', { messages: [SYSTEM, USER], tools: [TOOL] }, 'tools'),
    chat(
      'parts of a message',
      { messages: [{ role: 'user', content: ['one', '', 'two'].map(part) }] },
      'parts',
    ),
    chat(
      'parts of a system message',
      {
        messages: [
          { role: 'system', content: [part('one')] },
          USER,
          { role: 'assistant', content: [part('two')] },
        ],
      },
      'parts',
    ),
    chat('a developer', { messages: [{ role: 'developer', content: 'Be kind.' }, USER] }, 'developer'),
    chat(
      'a message that goes on',
      { messages: [USER, ASSISTANT], add_generation_prompt: false, continue_final_message: true },
      'continue',
    ),
  ];
}

function part(text: string): object {
  return { type: 'text', text };
}

function chat(name: string, members: Probe['members'], feature?: ChatFeature): Probe {
  return { name, route: 'chat', members, ...(feature && { feature }) };
}

function completion(name: string, members: Probe['members']): Probe {
  return { name, route: 'completion', members };
}
