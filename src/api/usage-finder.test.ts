import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { UsageFinder } from './usage-finder.ts';

fc.configureGlobal({ seed: 7 });

const USAGE = '{"prompt_tokens":4,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}';
const FAKE = '{"prompt_tokens":999}';

function inBody(body: string, places: readonly number[] = []): string | undefined {
  const finder = new UsageFinder('body');
  for (const chunk of cut(Buffer.from(body), places)) finder.push(chunk);
  finder.end();
  return finder.top;
}

function inLines(stream: string, places: readonly number[] = []) {
  const finder = new UsageFinder('lines');
  for (const chunk of cut(Buffer.from(stream), places)) finder.push(chunk);
  return { top: finder.top, nested: finder.nested };
}

function cut(body: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (body.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => body.subarray(from, at[index] ?? body.length));
}

function everyByte(text: string): number[] {
  return Array.from({ length: text.length }, (_, index) => index);
}

describe('in a body', () => {
  for (const [where, body] of Object.entries({
    'at the end': `{"choices":[{"message":{"content":"x"}}],"usage":${USAGE}}`,
    'at the beginning': `{"usage":${USAGE},"choices":[{"x":[1,{"y":"}]"}]}]}`,
    'before megabytes': `{"usage":${USAGE},"prompt_token_ids":[${'1234,'.repeat(300_000)}1],"prompt_text":"${'\\"}\\\\'.repeat(100_000)}"}`,
    'before another object': `{"usage":${USAGE},"kv_transfer_params":{"usage":${FAKE}}}`,
    'behind one that looks like it': `{"tools":[{"parameters":{"properties":{"usage":${FAKE}}}}],"usage":${USAGE}}`,
    'behind one as deep as its parent': `{"metadata":{"usage":${FAKE}},"usage":${USAGE}}`,
    'behind one that is null, with spaces': `\n { "usage" : null ,"a":{"usage":{}}, "usage" \n:\t ${USAGE} } \n`,
    'behind texts about it': `{"a":"\\"usage\\":{","b":"usage","c\\"usage":${FAKE},"d":["usage"],"usage":${USAGE}}`,
  })) {
    test(`the outermost one is found ${where}`, () => {
      assert.equal(inBody(body), USAGE);
      if (body.length < 10_000) assert.equal(inBody(body, everyByte(body)), USAGE);
    });
  }

  for (const [what, body] of Object.entries({
    'none is there': '{"choices":[]}',
    'only one is there that a client wrote': `{"tools":[{"usage":${FAKE}}],"usage":null}`,
    'it is a member of a member': `{"a":{"usage":${FAKE}}}`,
    'it is a list': '{"usage":[1,2]}',
    'it was cut': '{"usage":{"prompt_tokens":1',
    'the body was cut behind it': `{"usage":${USAGE},"x":[`,
    'a text was cut behind it': `{"usage":${USAGE},"x":"}`,
    'it is too large to be one': `{"usage":{"x":"${'y'.repeat(17_000)}"}}`,
  })) {
    test(`nothing is found where ${what}`, () => {
      assert.equal(inBody(body), undefined);
      if (body.length < 10_000) assert.equal(inBody(body, everyByte(body)), undefined);
    });
  }

  const json = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' });
  const key = fc.oneof(fc.constantFrom('usage', 'us', 'age"', 'x\\', '\\"usage'), fc.string());
  test('what an answer consists of cannot pass for it, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.oneof(json, fc.record({ usage: fc.constant({ prompt_tokens: 999 }) }))),
        fc.boolean(),
        fc.constantFrom(0, 2),
        fc.array(fc.nat(), { maxLength: 8 }),
        (members, first, indent, places) => {
          delete members['usage'];
          const own = { usage: { prompt_tokens: 4 } };
          const body = JSON.stringify(first ? { ...own, ...members } : { ...members, ...own }, null, indent);
          assert.deepEqual(JSON.parse(inBody(body, places) ?? 'null'), own.usage);
          assert.equal(inBody(JSON.stringify(members, null, indent), places), undefined);
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('in events', () => {
  const stream = (...events: readonly string[]): string => events.map((data) => `data: ${data}\n\n`).join('');

  for (const [end, name] of [
    ['\n\n', 'LF'],
    ['\r\n\r\n', 'CRLF'],
    ['\r\r', 'CR'],
  ] as const) {
    test(`the last one counts, and one that is null does not (${name})`, () => {
      const text = stream(
        `{"usage":${FAKE},"choices":[]}`,
        '{"choices":[{"delta":{}}],"usage":null}',
        `{"choices":[],"usage":${USAGE},"prompt_token_ids":[1,2],"system_fingerprint":"x"}`,
        '{"choices":[]}',
        '[DONE]',
      ).replaceAll('\n\n', end);
      assert.deepEqual(inLines(text), { top: USAGE, nested: undefined });
      assert.deepEqual(inLines(text, everyByte(text)), { top: USAGE, nested: undefined });
    });
  }

  test('inside of the answer that an event carries, and in front of its messages', () => {
    const response = `{"id":"resp_1","tools":[{"usage":${FAKE}}],"usage":${USAGE},"user":"u","input_messages":[{"usage":${FAKE},"x":["${'}'.repeat(70)}"]}]}`;
    const text = stream(`{"response":${response},"sequence_number":3,"type":"response.completed"}`);
    assert.deepEqual(inLines(text), { top: undefined, nested: USAGE });
    assert.deepEqual(inLines(text, everyByte(text)), { top: undefined, nested: USAGE });
  });

  test('a member of the event itself has more right to the name than one of a member', () => {
    const text = stream(`{"x":{"usage":${FAKE}},"usage":${USAGE}}`);
    assert.deepEqual(inLines(text), { top: USAGE, nested: undefined });
    assert.deepEqual(inLines(text, everyByte(text)), { top: USAGE, nested: undefined });
  });

  test('deeper ones and those that were cut are none, and do not hide the next', () => {
    const text = stream(
      `{"choices":[{"delta":{"usage":${FAKE}}}]}`,
      `{"usage":${FAKE},"x":"`,
      `{"usage":{"a`,
      `{"a":{"b":{"usage":${FAKE}}}}`,
    );
    assert.deepEqual(inLines(text), { top: undefined, nested: undefined });
    assert.deepEqual(inLines(text + stream(`{"usage":${USAGE}}`)), { top: USAGE, nested: undefined });
  });
});

test('a text full of quotes or of false keys takes no longer than another one', () => {
  const time = (fill: string): number => {
    const body = Buffer.from(`{"usage":${USAGE},"x":"${fill.repeat(4_000_000 / fill.length)}"}`);
    const finder = new UsageFinder('body');
    const from = process.cpuUsage();
    for (let at = 0; at < body.length; at += 65_536) finder.push(body.subarray(at, at + 65_536));
    finder.end();
    assert.equal(finder.top, USAGE);
    return process.cpuUsage(from).user;
  };
  time('x');
  for (const fill of ['\\"', '\\\\', 'usage\\"', '\\"usage\\":']) assert.ok(time(fill) < 2_000_000, fill);
});
