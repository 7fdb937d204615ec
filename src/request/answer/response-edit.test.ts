import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editedHeaders, editorFor, type AnswerEdit } from './response-edit.ts';
import type { Head } from '../send/attempt.ts';
import type { ResponseEditor } from './response-editor.ts';

fc.configureGlobal({ seed: 7 });

const NAME = Buffer.from('"gpt-4"');
const RENAME: AnswerEdit = { model: NAME, swallowUsage: false };
const SWALLOW: AnswerEdit = { model: undefined, swallowUsage: true };
const BOTH: AnswerEdit = { model: NAME, swallowUsage: true };

const EVENT_STREAM = ['content-type', 'text/event-stream; charset=utf-8'];
const JSON_BODY = ['Content-Type', 'application/json'];

function head(status: number, ...headers: string[]): Head {
  return { status, statusText: '', headers };
}

function eventEditor(edit: AnswerEdit): ResponseEditor {
  return editorFor(edit, head(200, ...EVENT_STREAM)) ?? assert.fail('nothing to edit');
}

function jsonEditor(edit: AnswerEdit): ResponseEditor {
  return editorFor(edit, head(200, ...JSON_BODY)) ?? assert.fail('nothing to edit');
}

function cut(body: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (body.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => body.subarray(from, at[index] ?? body.length));
}

function through(editor: ResponseEditor, chunks: readonly Buffer[]): string {
  return Buffer.concat([...chunks.map((chunk) => editor.push(chunk)), editor.end()]).toString('latin1');
}

function bytewise(text: string): Buffer[] {
  return [...Buffer.from(text, 'latin1')].map((byte) => Buffer.of(byte));
}

const CHUNK =
  'data: {"id":"a","model":"llama","choices":[{"delta":{"content":"\\"model\\":\\"x\\" data: "}}],"usage":null}\n\n';
const USAGE = 'data: {"id":"a","model":"llama","choices":[],"usage":{"prompt_tokens":3}}\n\n';
const DONE = 'data: [DONE]\n\n';
/** Events as they come, and as they go on with everything edited. */
const EVENTS: readonly (readonly [before: string, after: string])[] = [
  [CHUNK, CHUNK.replace('"model":"llama"', '"model":"gpt-4"')],
  [
    CHUNK.replaceAll('\n', '\r\n'),
    CHUNK.replace('"model":"llama"', '"model":"gpt-4"').replaceAll('\n', '\r\n'),
  ],
  [CHUNK.replaceAll('\n', '\r'), CHUNK.replace('"model":"llama"', '"model":"gpt-4"').replaceAll('\n', '\r')],
  [USAGE.replaceAll('\n', '\r'), ''],
  [DONE.replaceAll('\n', '\r'), DONE.replaceAll('\n', '\r')],
  ['event: x\rdata: {"model":"llama"}\r\n\n', 'event: x\rdata: {"model":"gpt-4"}\r\n\n'],
  [USAGE, ''],
  [USAGE.replace('[]', '[ ]').replaceAll('\n', '\r\n'), ''],
  [DONE, DONE],
  [': ping\n\n', ': ping\n\n'],
  [': x\n\n\n', ': x\n\n\n'],
  [
    'data: {"model":null,"choices":[],"usage":null}\n\n',
    'data: {"model":null,"choices":[],"usage":null}\n\n',
  ],
  ['data:{"mod\\u0065l" : "llama"}\n\n', 'data:{"mod\\u0065l" : "llama"}\n\n'],
  ['data: {"model":"a","model":"b"}\n\n', 'data: {"model":"gpt-4","model":"gpt-4"}\n\n'],
  ['data: not json "model":"llama"\n\n', 'data: not json "model":"llama"\n\n'],
  ['data: {"tools":[{"model":"t"}]}\n\n', 'data: {"tools":[{"model":"t"}]}\n\n'],
  [
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"llama","usage":{}}}\n\n',
    'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"gpt-4","usage":{}}}\n\n',
  ],
  [
    'event: response.created\nid: 1\ndata: {"response":{"model":"llama","instructions":"\xe2\xff"},"sequence_number":12345678901234567890}\n\n',
    'event: response.created\nid: 1\ndata: {"response":{"model":"gpt-4","instructions":"\xe2\xff"},"sequence_number":12345678901234567890}\n\n',
  ],
  [
    'data: {"response":{"inner":{"model":"llama"}}}\n\n',
    'data: {"response":{"inner":{"model":"llama"}}}\n\n',
  ],
  ['data: {"a":1}\ndata: {"model":"llama"}\n\n', 'data: {"a":1}\ndata: {"model":"llama"}\n\n'],
  ['data: {"a":1,\ndata: "model":"llama"}\n\n', 'data: {"a":1,\ndata: "model":"llama"}\n\n'],
];

test('however a stream is cut into chunks, each event is changed as a whole', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...EVENTS), { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      (events, places) => {
        const before = Buffer.from(events.map(([text]) => text).join(''), 'latin1');
        const after = events.map(([, text]) => text).join('');
        assert.equal(through(eventEditor(BOTH), cut(before, places)), after);
      },
    ),
    { numRuns: 500 },
  );
});

test('byte by byte', () => {
  const before = EVENTS.map(([text]) => text).join('');
  const after = EVENTS.map(([, text]) => text).join('');
  assert.equal(through(eventEditor(BOTH), bytewise(before)), after);
});

test('an event goes on as soon as it is whole, and nothing of it before', () => {
  const editor = eventEditor(RENAME);
  assert.equal(editor.push(Buffer.from(CHUNK.slice(0, -1))).length, 0);
  assert.equal(editor.atEventBoundary, true, 'the client has got whole events only');
  assert.notEqual(editor.push(Buffer.from('\n')).length, 0);
  assert.equal(editor.end().length, 0);
});

test('events that end with CR alone, and one behind a byte order mark, are not held back', () => {
  const editor = eventEditor(RENAME);
  for (const [event, mark] of [
    ['data: {"model":"llama"}\r\r', '\ufeff'],
    ['data: {"model":"llama"}\r\r', ''],
    ['data: {"model":"llama"}\r\n\r', ''],
  ] as const) {
    const out = editor.push(Buffer.from(mark + event));
    assert.equal(out.toString(), mark + event.replace('llama', 'gpt-4'));
  }
  assert.equal(editor.push(Buffer.from('\ndata: {"mod')).toString(), '\n', 'of the CRLF before');
  assert.equal(editor.push(Buffer.from('el":"llama"}\n\n')).toString(), 'data: {"model":"gpt-4"}\n\n');
});

test('an end without an empty line is passed on, changed', () => {
  assert.equal(
    through(eventEditor(RENAME), [Buffer.from('data: {"model":"llama"}\n')]),
    'data: {"model":"gpt-4"}\n',
  );
  assert.equal(through(eventEditor(SWALLOW), [Buffer.from('data: [DONE]')]), 'data: [DONE]');
});

test('each wish by itself leaves the rest alone', () => {
  assert.equal(through(eventEditor(SWALLOW), bytewise(CHUNK + USAGE + DONE)), CHUNK + DONE);
  assert.equal(
    through(eventEditor(RENAME), bytewise(USAGE)),
    USAGE.replace('"model":"llama"', '"model":"gpt-4"'),
  );
});

test('an event longer than anything known passes untouched, is not kept, and the next one is changed again', () => {
  const long = `data: {"model":"llama","x":"${'y'.repeat(3_000_000)}"}\n\n`;
  const editor = eventEditor(RENAME);
  let kept = 0;
  let most = 0;
  const out: Buffer[] = [];
  for (const chunk of cut(
    Buffer.from(CHUNK + long + CHUNK),
    Array.from({ length: 60 }, (_, at) => at * 60_000),
  )) {
    const passed = editor.push(chunk);
    kept += chunk.length - passed.length;
    most = Math.max(most, kept);
    out.push(passed);
    if (passed.length > 0 && passed.at(-1) !== 0x0a) assert.equal(editor.atEventBoundary, false);
  }
  assert.ok(most < 1_200_000, `${most} bytes held`);
  const renamed = CHUNK.replace('"model":"llama"', '"model":"gpt-4"');
  assert.equal(Buffer.concat(out).toString(), renamed + long + renamed);
  assert.equal(editor.atEventBoundary, true);
});

test('the first top-level model of a JSON answer is replaced, whatever the chunks', () => {
  const noise = fc.dictionary(
    fc
      .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('models', 'mode', '\\', '"'))
      .filter((key) => key !== 'model'),
    fc.jsonValue(),
    { maxKeys: 4 },
  );
  const key = fc.constantFrom('"model"', '"mod\\u0065l"');
  const name = fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text));
  const gap = fc.constantFrom('', ' ', '\n\t');
  const places = fc.array(fc.nat(), { maxLength: 20 });
  fc.assert(
    fc.property(noise, noise, key, name, gap, places, (before, behind, modelKey, modelValue, space, cuts) => {
      const inner = (value: object): string => JSON.stringify(value).slice(1, -1);
      const parts = (value: string): string =>
        [
          inner(before),
          `${modelKey}${space}:${space}${value}`,
          inner(behind),
          '"list":[{"model":"x"},"model",{}]',
        ]
          .filter((part) => part !== '')
          .join(`${space},${space}`);
      const body = Buffer.from(`{${space}${parts(modelValue)}}${space}`);
      const wanted = Buffer.from(`{${space}${parts(NAME.toString())}}${space}`).toString('latin1');
      assert.equal(through(jsonEditor(RENAME), cut(body, cuts)), wanted);
    }),
    { numRuns: 150 },
  );
});

test('JSON without a name at its top level passes as it is', () => {
  for (const text of [
    '{"model":null,"a":{"model":"x"}}',
    '{"model":{"a":"b"},"x":"y"}',
    '["model","x",{"model":"y"}]',
    '"model"',
    '{"a":"model","b":["model"]}',
    '{"model"',
    '{"error":{"message":"\\"model\\":\\"x\\"","model":"x"}}',
    '',
    '{"model":12,"b":["]","}"],"c":"x"}',
  ]) {
    assert.equal(through(jsonEditor(RENAME), bytewise(text)), text);
    assert.equal(through(jsonEditor(RENAME), [Buffer.from(text)]), text);
  }
  assert.equal(
    through(jsonEditor(RENAME), bytewise('{"model":5,"x":[1],"model":"a"}')),
    '{"model":5,"x":[1],"model":"gpt-4"}',
  );
});

test('only good answers that can be read are edited', () => {
  assert.ok(editorFor(RENAME, head(200, ...EVENT_STREAM)));
  assert.ok(editorFor(RENAME, head(200, ...JSON_BODY, 'content-encoding', 'identity')));
  assert.equal(editorFor(RENAME, head(200, 'content-type', 'audio/wav')), undefined);
  assert.equal(editorFor(SWALLOW, head(200, ...JSON_BODY)), undefined);
  for (const status of [204, 206, 304, 400, 503])
    assert.equal(editorFor(BOTH, head(status, ...JSON_BODY)), undefined, String(status));
});

test('headers about the very bytes do not go on with others', () => {
  assert.deepEqual(
    editedHeaders([
      'Content-Type',
      'application/json',
      'Content-Length',
      '5',
      'ETag',
      '"x"',
      'x-a',
      'content-length',
    ]),
    ['Content-Type', 'application/json', 'x-a', 'content-length'],
  );
});
