import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readVerdict } from './read-verdict.ts';

const read = (json: string) => readVerdict(Buffer.from(json));
const bodyOf = (json: string): string | undefined => {
  const verdict = read(json);
  assert.equal(verdict.action, 'transform');
  return verdict.body?.toString();
};

describe('an answer that is none', () => {
  for (const [what, json] of [
    ['nothing', ''],
    ['a page', '<html>proxy error</html>'],
    ['half an object', '{"action":"allow"'],
    ['an object with more behind it', '{"action":"allow"} {}'],
    ['a list', '[{"action":"allow"}]'],
    ['a word', '"allow"'],
    ['null', 'null'],
    ['garbage inside', '{"action":"allow","scores":[tru]}'],
    ['no action', '{"verdict":"allow"}'],
    ['an action that is no text', '{"action":true}'],
    ['an action inside something else', '{"result":{"action":"allow"}}'],
  ] as const)
    it(`is an error of the hook: ${what}`, () => {
      const verdict = read(json);
      assert.equal(verdict.action, 'error');
      assert.equal(verdict.blame, 'hook');
    });
});

describe('an action', () => {
  it('is read whatever stands around it', () => {
    assert.deepEqual(read(' {"id": 7, "action" : "allow" ,"x":{"action":"reject"}}\n'), { action: 'allow' });
  });

  it('that is not known is told apart from an error', () => {
    for (const word of ['Allow', 'deny', ''])
      assert.deepEqual(read(JSON.stringify({ action: word })), { action: 'unknown' });
  });

  it('of several is the last, as other parsers have it', () => {
    assert.deepEqual(read('{"action":"allow","action":"reject"}'), { action: 'reject', reason: undefined });
  });
});

describe('a reason', () => {
  it('is a text, or there is none', () => {
    assert.deepEqual(read('{"action":"reject","reason":"na\\u0165"}'), { action: 'reject', reason: 'nať' });
    for (const reason of [7, null, { text: 'x' }, 'x'.repeat(70_000)])
      assert.deepEqual(read(JSON.stringify({ action: 'reject', reason })), {
        action: 'reject',
        reason: undefined,
      });
  });
});

describe('a body', () => {
  it('is the bytes that were sent, numbers and spelling included', () => {
    const body = '{ "seed": 12345678901234567890, "x":1.0, "u":"\\u00e9", "a":{}, "a":[] }';
    assert.equal(bodyOf(`{"action":"transform","body": ${body} ,"took_ms":3}`), body);
  });

  it('may be large', () => {
    const body = JSON.stringify({ prompt: 'y'.repeat(2_000_000), id: 1 }).replace(
      '"id":1',
      '"id":9007199254740993',
    );
    assert.equal(bodyOf(`{"body":${body},"action":"transform"}`), body);
  });

  it('is missing where it is missing or null', () => {
    assert.equal(bodyOf('{"action":"transform"}'), undefined);
    assert.equal(bodyOf('{"action":"transform","body": null}'), undefined);
  });

  it('does not keep the rest of the answer in memory', () => {
    const verdict = read(`{"action":"transform","body":{"a":1},"log":"${'z'.repeat(100_000)}"}`);
    assert.ok(verdict.action === 'transform' && verdict.body);
    assert.ok(verdict.body.buffer.byteLength < 100_000);
  });
});
