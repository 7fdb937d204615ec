import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageStream } from './stream.ts';

/** What a client is told of these deltas of one answer, one line for each event. */
function told(chunks: readonly (object | '[DONE]')[]): { lines: string[]; problem: string | undefined } {
  const stream = new MessageStream({ requestId: 'r', model: 'm' });
  const bytes = [
    ...chunks.map((chunk) => stream.event(chunk === '[DONE]' ? chunk : JSON.stringify(chunk))),
    stream.end(),
  ];
  const lines = bytes
    .join('')
    .split('\n\n')
    .filter((event) => event !== '')
    .map(lineOf);
  return { lines, problem: stream.problem };
}

function lineOf(event: string): string {
  const [name = '', json = ''] = event.split('\n');
  const data = JSON.parse(json.slice('data: '.length));
  assert.equal(name, `event: ${data.type}`);
  const { type, index, delta, content_block: block, usage, error } = data;
  if (type === 'content_block_start') return `start ${index} ${block.type} ${block.name ?? ''}`.trim();
  if (type === 'content_block_delta')
    return `${index} ${delta.type} ${delta.text ?? delta.thinking ?? delta.partial_json ?? delta.signature}`;
  if (type === 'content_block_stop') return `stop ${index}`;
  if (type === 'message_delta') return `${delta.stop_reason} ${delta.stop_sequence} ${usage.output_tokens}`;
  if (type === 'error') return `error ${error.type} ${error.message}`;
  return type;
}

function chunk(delta: object, more: object = {}): object {
  return { id: 'chatcmpl-1', model: 'm', choices: [{ index: 0, delta, ...more }] };
}

function call(index: number, fields: object): object {
  return chunk({ tool_calls: [{ index, ...fields }] });
}

const USAGE = { id: 'chatcmpl-1', choices: [], usage: { prompt_tokens: 3, completion_tokens: 7 } };
const END = chunk({}, { finish_reason: 'stop' });

test('a text that is told in parts is text', () => {
  const { lines } = told([chunk({ content: [{ type: 'text', text: 'a' }] }), END, USAGE, '[DONE]']);
  assert.ok(lines.includes('0 text_delta a'), lines.join('\n'));
});

test('a tool that never has a name is not used', () => {
  const { lines } = told([call(0, {}), chunk({ content: 'a' }), END, '[DONE]']);
  assert.deepEqual(lines.slice(-2), ['end_turn null 0', 'message_stop']);
});

test('an error is told however deep it is', () => {
  const deep = 20_000;
  for (const error of [
    `${'{"error":'.repeat(deep)}"no"${'}'.repeat(deep)}`,
    `{"error":{"detail":${'['.repeat(deep)}${']'.repeat(deep)}}}`,
  ]) {
    const stream = new MessageStream({ requestId: 'r', model: 'm' });
    assert.match(stream.event(error), /^event: error\n/);
  }
});

test('thoughts, text and two tools are blocks one after the other', () => {
  const { lines, problem } = told([
    chunk({ role: 'assistant', content: '' }),
    chunk({ reasoning: 'h' }),
    chunk({ reasoning_content: 'm' }),
    chunk({ content: 'a' }),
    chunk({ content: 'b' }),
    call(0, { id: 't0', function: { name: 'f', arguments: '' } }),
    call(0, { function: { arguments: '{"x"' } }),
    call(0, { function: { arguments: ':1}' } }),
    call(1, { id: 't1', function: { name: 'g', arguments: '{}' } }),
    chunk({}, { finish_reason: 'tool_calls' }),
    USAGE,
    '[DONE]',
  ]);
  assert.equal(problem, undefined);
  assert.deepEqual(lines, [
    ...['message_start', 'start 0 thinking', 'ping', '0 thinking_delta h', '0 thinking_delta m'],
    ...['0 signature_delta msg_1', 'stop 0', 'start 1 text', '1 text_delta a', '1 text_delta b', 'stop 1'],
    ...['start 2 tool_use f', '2 input_json_delta {"x"', '2 input_json_delta :1}', 'stop 2'],
    ...['start 3 tool_use g', '3 input_json_delta {}', 'stop 3', 'tool_use null 7', 'message_stop'],
  ]);
});

test('there is one end, whatever says so', () => {
  const ends = [[END, USAGE, '[DONE]'], [END, '[DONE]', '[DONE]'], [END], ['[DONE]'], [END, USAGE]] as const;
  for (const end of ends) {
    const { lines, problem } = told([chunk({ content: 'a' }), ...end]);
    assert.equal(problem, undefined);
    assert.deepEqual(
      lines.slice(-3).map((line) => line.replace(/ \d$/, '')),
      ['stop', 'end_turn null', 'message_stop'],
    );
    assert.equal(lines.filter((line) => line === 'message_stop').length, 1);
  }
});

test('an answer without anything has one empty block, as one in one piece has', () => {
  const { lines } = told([chunk({ role: 'assistant' }), END, '[DONE]']);
  assert.deepEqual(lines, [
    'message_start',
    'start 0 text',
    'ping',
    'stop 0',
    'end_turn null 0',
    'message_stop',
  ]);
});

test('how much was read is told at the beginning, where the worker says so', () => {
  const stream = new MessageStream({ requestId: 'r', model: 'm' });
  const usage = { prompt_tokens: 9, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 4 } };
  const first = stream.event(JSON.stringify({ ...chunk({ content: '' }), usage }));
  assert.match(first, /"usage":\{"input_tokens":5,"output_tokens":0,"cache_read_input_tokens":4\}/);
});

test('text within a tool call comes behind it', () => {
  const { lines } = told([
    call(0, { id: 't', function: { name: 'f', arguments: '{' } }),
    chunk({ content: '\n' }),
    call(0, { function: { arguments: '}' } }),
    END,
    '[DONE]',
  ]);
  assert.deepEqual(lines.slice(3, -2), [
    ...[
      '0 input_json_delta {',
      '0 input_json_delta }',
      'stop 0',
      'start 1 text',
      '1 text_delta \n',
      'stop 1',
    ],
  ]);
});

test('calls that are all counted as the first one are told apart by their ids', () => {
  const { lines, problem } = told([
    call(0, { id: 'a', function: { name: 'f', arguments: '{}' } }),
    call(0, { id: 'b', function: { name: 'g', arguments: '{}' } }),
    '[DONE]',
  ]);
  assert.equal(problem, undefined);
  assert.deepEqual(
    lines.filter((line) => line.startsWith('start')),
    ['start 0 tool_use f', 'start 1 tool_use g'],
  );
});

test('a stop string that cuts a tool’s input off is why it ended', () => {
  const cut = call(0, { id: 't', function: { name: 'f', arguments: '{"a' } });
  const stop = chunk({}, { finish_reason: 'stop', stop_reason: 'b' });
  assert.equal(told([cut, stop, '[DONE]']).lines.at(-2), 'stop_sequence b 0');
});

test('what the worker says went wrong is an error, and nothing comes behind it', () => {
  for (const error of [
    { error: { message: 'no', code: 503 } },
    { object: 'error', message: 'no', code: 503 },
  ]) {
    const { lines, problem } = told([chunk({ content: 'a' }), error, END, '[DONE]']);
    assert.equal(problem, undefined);
    assert.deepEqual(lines.slice(-1), ['error overloaded_error no']);
  }
});

test('what is no stream of a chat never ends like one', () => {
  const a = chunk({ content: 'a' });
  const [first, second] = [0, 1].map((at) =>
    call(at, { id: `t${at}`, function: { name: 'f', arguments: '{' } }),
  );
  const rows: readonly (readonly (object | '[DONE]')[])[] = [
    [a],
    ['[DONE]'],
    [a, []],
    [a, first!, second!, call(0, { function: { arguments: '}' } }), END, '[DONE]'],
    [call(0, { id: 't', function: { arguments: '{}' } }), END, '[DONE]'],
    [
      call(0, { id: 't', function: { name: 'f' } }),
      chunk({ content: 'x'.repeat(1024 * 1024 + 1) }),
      '[DONE]',
    ],
  ];
  for (const row of rows) {
    const { lines, problem } = told(row);
    assert.notEqual(problem, undefined, JSON.stringify(row).slice(0, 200));
    assert.ok(!lines.includes('message_stop'));
  }
});
