import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { translatorFor, type AnswerTranslation } from './translated-answer.ts';

fc.configureGlobal({ seed: 5 });

const MESSAGE: AnswerTranslation = { as: 'message', requestId: 'r', model: 'm' };
const EVENTS = head(200, 'text/event-stream; charset=utf-8');
const JSON_HEAD = head(200, 'application/json');

function head(status: number, type: string): Parameters<typeof translatorFor>[1] {
  return { status, statusText: '', headers: ['content-type', type] };
}

/** What comes of a body in these pieces. */
function translated(
  of: typeof EVENTS,
  pieces: readonly Buffer[],
  translation = MESSAGE,
): [string, string | undefined] {
  const translator = translatorFor(translation, of, undefined);
  assert.ok(translator);
  const out = Buffer.concat([...pieces.map((piece) => translator.push(piece)), translator.end()]);
  return [out.toString(), translator.problem];
}

/** The bytes, cut at random. */
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const cuts = [0, ...at.map((one) => one % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((to, index) => bytes.subarray(cuts[index], to));
}

const delta = fc.oneof(
  fc.record({ content: fc.string({ unit: 'binary' }) }),
  fc.record({ reasoning: fc.string({ unit: 'grapheme' }) }),
  fc.record({
    tool_calls: fc.constantFrom(
      [{ index: 0, id: 't', function: { name: 'f', arguments: '{"é":' } }],
      [{ index: 0, function: { arguments: '1}' } }],
    ),
  }),
);
const eol = fc.constantFrom('\n', '\r\n', '\r');

test('the cuts between the worker’s bytes make no difference', () => {
  fc.assert(
    fc.property(fc.array(delta), eol, fc.array(fc.nat()), fc.boolean(), (deltas, end, cuts, isWhole) => {
      const events = deltas.map((one) =>
        JSON.stringify({ id: 'chatcmpl-1', choices: [{ index: 0, delta: one }] }),
      );
      const last = isWhole ? ['{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', '[DONE]'] : [];
      const bytes = Buffer.from(
        [': comment', ...events, ...last]
          .map((data, at) => (at === 0 ? data : `data: ${data}`) + end + end)
          .join(''),
      );
      const whole = translated(EVENTS, [bytes]);
      assert.deepEqual(translated(EVENTS, cut(bytes, cuts)), whole);
      assert.deepEqual(
        translated(
          EVENTS,
          [...bytes].map((byte) => Buffer.of(byte)),
        ),
        whole,
      );
      assert.equal(whole[0].includes('event: message_stop'), whole[1] === undefined);
    }),
  );
});

test('an event of several lines, one without its empty line, and a byte order mark', () => {
  const chat = '\uFEFFdata: {"id":"chatcmpl-1",\ndata: "choices":[{"delta":{"content":"a"}}]}\n\ndata:[DONE]';
  const [text, problem] = translated(EVENTS, [Buffer.from(chat)]);
  assert.equal(problem, undefined);
  assert.match(text, /"text":"a"/);
  assert.match(text, /event: message_stop\ndata: \{"type":"message_stop"\}\n\n$/);
});

test('an event without end is not held without end', () => {
  const translator = translatorFor(MESSAGE, EVENTS, undefined)!;
  const piece = Buffer.alloc(300 * 1024, 'x');
  translator.push(Buffer.from('data: '));
  for (let i = 0; i < 4; i += 1) translator.push(piece);
  assert.match(translator.problem ?? '', /longer than/);
});

test('an answer that is too long, or none, is a problem; an error is told as one', () => {
  const piece = Buffer.alloc(1024 * 1024, ' ');
  const long = translatorFor(MESSAGE, JSON_HEAD, undefined)!;
  for (let i = 0; i < 33; i += 1) long.push(piece);
  assert.match(long.problem ?? '', /longer than/);
  assert.deepEqual(translated(JSON_HEAD, [Buffer.from('<html>')])[0], '');
  assert.notEqual(translated(JSON_HEAD, [Buffer.from('<html>')])[1], undefined);
  const [error, problem] = translated(head(500, 'text/html'), [Buffer.from('<html>')]);
  assert.deepEqual([JSON.parse(error).error.type, problem], ['api_error', undefined]);
  const [huge] = translated(head(500, 'text/plain'), new Array<Buffer>(64).fill(piece));
  assert.ok(huge.length < 8192);
});

test('a worker that cannot count says so', () => {
  const count = { ...MESSAGE, as: 'count' as const };
  const [text] = translated(head(404, 'application/json'), [Buffer.from('{"detail":"Not Found"}')], count);
  assert.match(JSON.parse(text).error.message, /neither by .* nor by \/tokenize, which says: Not Found/);
});
