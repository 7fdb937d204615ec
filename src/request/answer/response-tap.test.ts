import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { EventStreamTap, JsonTap, opaqueTap, type ResponseTap } from './response-tap.ts';

fc.configureGlobal({ seed: 7 });

/** Everything a tap has to say about a body that came in these chunks. */
function report(tap: ResponseTap, chunks: readonly Buffer[]) {
  for (const chunk of chunks) tap.push(chunk);
  return {
    events: tap.events,
    atEventBoundary: tap.atEventBoundary,
    complete: tap.complete(),
    failed: tap.failed,
    answerTokens: tap.answerTokens(),
    usage: tap.usage(),
    resourceId: tap.resourceId(),
  };
}

function cut(body: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (body.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => body.subarray(from, at[index] ?? body.length));
}

function stream(...events: readonly string[]): Buffer {
  return Buffer.from(events.join(''));
}

const CHUNK = 'data: {"choices":[{"delta":{"content":"data: é \\n\\n [DONE]"}}]}\n\n';
const USAGE =
  'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}\n\n';
const DONE = 'data: [DONE]\n\n';
const LINES = [
  CHUNK,
  USAGE,
  DONE,
  ': a comment\n\n',
  'event: ping\ndata: {}\n\n',
  'data: one\ndata: two\n\n',
  'data: x\r\n\r\n',
  'id: 1\nevent: message_stop\ndata: {}\n\n',
  'data',
  'event: error\n',
  '\n',
  'retry: 1\n',
  CHUNK.replaceAll('\n', '\r').replaceAll('\\r', '\\n'),
  USAGE.replaceAll('\n', '\r\n'),
  'data: {"error":{}}\r\r',
  'data: {"choices":[{"token_ids":[1,2,3]}]}\n\n',
  'event: content_block_delta\rdata: {"delta":{}}\n\r',
  '\ufeffdata: {}\n\n',
];

test('however a stream is cut into chunks, the tap says the same', () => {
  const places = fc.array(fc.nat(), { maxLength: 30 });
  // Up to several times of what is kept of a body.
  const length = fc.oneof(fc.constant(0), fc.nat(200));
  fc.assert(
    fc.property(length, fc.array(fc.constantFrom(...LINES)), places, (before, events, cuts) => {
      const body = stream(...events, CHUNK.repeat(before), ...events);
      assert.deepEqual(
        report(new EventStreamTap({ hasId: true }), cut(body, cuts)),
        report(new EventStreamTap({ hasId: true }), [body]),
      );
    }),
    { numRuns: 400 },
  );
});

test('byte by byte', () => {
  const body = stream(...LINES);
  const bytes = [...body].map((byte) => Buffer.of(byte));
  assert.deepEqual(
    report(new EventStreamTap({ hasId: true }), bytes),
    report(new EventStreamTap({ hasId: true }), [body]),
  );
});

test('counts events that carry data: neither comments nor lines, nor what looks like one in a text', () => {
  const { events } = report(new EventStreamTap({ hasId: true }), [
    stream(': hi\n\n', CHUNK, 'data: one\ndata: two\n\n', 'event: ping\n\n', 'x data: y\n\n', CHUNK, DONE),
  ]);
  assert.equal(events, 4);
});

test('an event cut in two is one, counted as soon as its first data line begins', () => {
  const tap = new EventStreamTap({ hasId: true });
  tap.push(Buffer.from('da'));
  assert.equal(tap.events, 0);
  tap.push(Buffer.from('ta: {'));
  assert.equal(tap.events, 1);
  tap.push(Buffer.from('}\n'));
  tap.push(Buffer.from('data: {}\n\n'));
  assert.equal(tap.events, 1);
});

test('lines end with LF, CRLF or CR, and a byte order mark in front of the first is none of it', () => {
  const lines = [
    'data: {"choices":[{}]}',
    '',
    'event: error',
    'data: {}',
    '',
    ': x',
    '',
    'data: [DONE]',
    '',
    '',
  ];
  for (const end of ['\n', '\r\n', '\r']) {
    const { events, failed, complete, atEventBoundary } = report(new EventStreamTap({ hasId: false }), [
      Buffer.from(`\ufeff${lines.join(end)}`),
    ]);
    assert.deepEqual([events, failed, complete, atEventBoundary], [3, true, true, true], JSON.stringify(end));
  }
});

test('after a CR an event can be appended, unless lines of the stream end with CRLF', () => {
  const tap = new EventStreamTap({ hasId: false });
  tap.push(Buffer.from('data: x\r\r'));
  assert.equal(tap.atEventBoundary, true);
  tap.push(Buffer.from('data: x\r\n\r'));
  assert.equal(tap.atEventBoundary, false);
  tap.push(Buffer.from('\n'));
  assert.equal(tap.atEventBoundary, true);
});

test('text is what counts of an answer without usage: no opening, no end, no bookkeeping', () => {
  const texts = (...events: readonly string[]) =>
    report(new EventStreamTap({ hasId: false }), [stream(...events)]).answerTokens;
  const opening = 'data: {"choices":[{"delta":{"role": "assistant","content": ""}}]}\n\n';
  assert.equal(texts(opening, opening, CHUNK, CHUNK, DONE), 2);
  assert.equal(texts(CHUNK.replace('"}}]', '"},"token_ids":[1,2,3]}]'), DONE), 3);
  assert.equal(
    texts(
      'event: message_start\ndata: {}\n\n',
      'event: ping\ndata: {}\n\n',
      'event: content_block_delta\ndata: {}\n\n',
      'event: response.output_text.delta\ndata: {}\n\n',
      'event: message_delta\ndata: {}\n\n',
      'event: message_stop\ndata: {}\n\n',
    ),
    2,
  );
});

test('an event can be appended at the start and behind an empty line only', () => {
  const tap = new EventStreamTap({ hasId: true });
  assert.equal(tap.atEventBoundary, true);
  for (const [text, boundary] of [
    ['data: x', false],
    ['\n', false],
    ['\n', true],
    ['data: x\r', false],
    ['\n', false],
    ['\r', false],
    ['\n', true],
    [': x\n\n', true],
    ['data: x\r\n', false],
    ['\r\n', true],
  ] as const) {
    tap.push(Buffer.from(text));
    assert.equal(tap.atEventBoundary, boundary, JSON.stringify(text));
  }
});

for (const [what, body, complete] of [
  ['[DONE]', `${CHUNK}${DONE}`, true],
  ['[DONE] with CRLF', 'data: x\r\n\r\ndata:[DONE]\r\n\r\n', true],
  ['message_stop', 'event: message_stop\ndata: {"type":"message_stop"}\n\n', true],
  ['message_stop whose data was cut', 'event: message_stop\ndata: {"type":"mess', false],
  ['response.completed', 'event: response.completed\ndata: {}\n\n', true],
  ['response.failed', 'event: response.failed\ndata: {}\n\n', true],
  ['an error event', 'event: error\ndata: {}\n\n', true],
  ['an event in the middle', CHUNK, false],
  ['[DONE] inside of a text', CHUNK + CHUNK, false],
  ['[DONE] that was cut', 'data: [DON', false],
  ['nothing', '', false],
] as const) {
  test(`a stream without framing that ends with ${what} is ${complete ? 'whole' : 'broken'}`, () => {
    assert.equal(report(new EventStreamTap({ hasId: true }), [Buffer.from(body)]).complete, complete);
  });
}

test('usage is found at the end of a long stream, and half of it at either end of Anthropic’s', () => {
  const openai = stream(CHUNK.repeat(1000), USAGE, DONE);
  assert.deepEqual(report(new EventStreamTap({ hasId: true }), [openai]).usage, {
    promptTokens: 3,
    completionTokens: 2,
    cachedTokens: 1,
  });
  const anthropic = stream(
    'event: message_start\ndata: {"message":{"id":"msg_1","usage":{"input_tokens":9,"cache_read_input_tokens":8,"output_tokens":0}}}\n\n',
    'event: content_block_delta\ndata: {"delta":{"text":"x"}}\n\n'.repeat(1000),
    'event: message_delta\ndata: {"usage":{"output_tokens":40}}\n\n',
    'event: message_stop\ndata: {}\n\n',
  );
  assert.deepEqual(report(new EventStreamTap({ hasId: true }), [anthropic]).usage, {
    promptTokens: 17,
    completionTokens: 40,
    cachedTokens: 8,
  });
});

test('the id of a stored response is in the first event', () => {
  const body = stream(
    'event: response.created\ndata: {"response":{"id":"resp_abc","object":"response"}}\n\n',
    CHUNK.repeat(1000),
  );
  assert.equal(report(new EventStreamTap({ hasId: true }), [body]).resourceId, 'resp_abc');
});

const BODY = Buffer.from(
  JSON.stringify({
    id: 'resp_1',
    text: 'a "quoted" } { ] [ \\',
    list: [1, [2]],
    usage: { prompt_tokens: 1, completion_tokens: 2 },
  }),
);

test('however a JSON body is cut into chunks, the tap says the same', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 20 }), fc.nat(), fc.boolean(), (cuts, length, framed) => {
      const body = BODY.subarray(0, length % (BODY.length + 1));
      assert.deepEqual(
        report(new JsonTap({ framed, countsIds: false, hasId: true }), cut(body, cuts)),
        report(new JsonTap({ framed, countsIds: false, hasId: true }), [body]),
      );
    }),
  );
});

test('a JSON body without framing is whole with its last bracket, not before', () => {
  for (let end = 0; end < BODY.length; end += 1) {
    assert.equal(
      report(new JsonTap({ framed: false, countsIds: false, hasId: true }), [BODY.subarray(0, end)]).complete,
      false,
    );
  }
  assert.deepEqual(report(new JsonTap({ framed: false, countsIds: false, hasId: true }), [BODY]), {
    events: 0,
    atEventBoundary: false,
    complete: true,
    failed: false,
    answerTokens: undefined,
    usage: { promptTokens: 1, completionTokens: 2, cachedTokens: undefined },
    resourceId: 'resp_1',
  });
});

test('does not hold on to the chunks that went by', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const tap = new EventStreamTap({ hasId: true });
  const chunks = Array.from({ length: 5 }, () => {
    const chunk = Buffer.from(CHUNK.repeat(2_000));
    tap.push(chunk);
    return new WeakRef(chunk.buffer);
  });
  // What a weak reference was made to lives until the end of the task.
  await new Promise(setImmediate);
  collect();
  assert.ok(chunks.every((chunk) => chunk.deref() === undefined));
  assert.equal(tap.events, 10_000);
});

test('what cannot be read is passed on without a word', () => {
  opaqueTap.push(Buffer.from('anything'));
  assert.deepEqual(report(opaqueTap, []), {
    events: 0,
    atEventBoundary: false,
    complete: true,
    failed: false,
    answerTokens: undefined,
    usage: undefined,
    resourceId: undefined,
  });
});
