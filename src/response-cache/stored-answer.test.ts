import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeAnswer, encodeAnswer, type StoredAnswer } from './stored-answer.ts';

const ANSWER: StoredAnswer = {
  createdAt: 1_700_000_000_000,
  contentType: 'application/json; charset=utf-8',
  body: Buffer.from('{"id":"é"}'),
  promptTokens: 3,
  completionTokens: undefined,
};

test('an answer comes back as it was stored', () => {
  assert.deepEqual(decodeAnswer(encodeAnswer(ANSWER)), ANSWER);
});

test('whatever else lies in a store is no answer', () => {
  const whole = encodeAnswer(ANSWER);
  const other = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(whole);
    change(bytes);
    return bytes;
  };
  for (const bytes of [
    Buffer.alloc(0),
    whole.subarray(0, 5),
    whole.subarray(0, 40),
    whole.subarray(0, whole.length - ANSWER.body.length),
    other((one) => one.writeUInt8(2)),
    other((one) => one.writeUInt32BE(0xffffffff, 1)),
    other((one) => one.write('x', 5)),
    encodeAnswer({ ...ANSWER, contentType: 'text/html' }),
    encodeAnswer({ ...ANSWER, contentType: 'application/json\r\nset-cookie: a=b' }),
    encodeAnswer({ ...ANSWER, createdAt: Number.NaN }),
  ])
    assert.equal(decodeAnswer(bytes), undefined);
});

test('no bytes at all end anything', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      bytes[0] = 1;
      decodeAnswer(Buffer.from(bytes));
    }),
  );
});
