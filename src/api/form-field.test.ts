import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formField, formFields, repeatsDecidingFormField, replaceFormField } from './form-field.ts';

const TYPE = 'multipart/form-data; boundary=xYz';

function part(name: string, value: string | Buffer, more = ''): Buffer {
  return Buffer.concat([
    Buffer.from(`--xYz\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n`),
    Buffer.from(value),
    Buffer.from('\r\n'),
  ]);
}

const END = Buffer.from('--xYz--\r\n');

test('a field is found wherever it stands', () => {
  const file = part('file', 'RIFF', '; filename="model.wav"');
  const model = part('model', 'whisper-1');
  for (const parts of [[file, model], [model, file], [model]]) {
    assert.equal(formField(Buffer.concat([...parts, END]), TYPE, 'model'), 'whisper-1');
  }
});

test('what only looks like the field is not it', () => {
  const decoys = [
    part('file', 'name="model"\r\n\r\nx', '; filename="name=model"'),
    part('models', 'a'),
    part('xmodel', 'b'),
  ];
  assert.equal(formField(Buffer.concat([...decoys, END]), TYPE, 'model'), undefined);
});

test('a body that is cut, or no form at all, has no field', () => {
  const whole = Buffer.concat([part('file', 'abc'), part('model', 'm')]);
  for (const type of ['application/json', 'multipart/form-data', 'multipart/form-data; boundary=other']) {
    assert.equal(formField(Buffer.concat([whole, END]), type, 'model'), undefined);
  }
  assert.equal(formField(whole.subarray(0, whole.length - 3), TYPE, 'model'), undefined);
  assert.equal(formField(Buffer.alloc(0), TYPE, 'model'), undefined);
});

test('a quoted boundary, other header orders and unicode values are read', () => {
  const body = Buffer.from(
    '--a b\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; name=model\r\n\r\nmödel\r\n--a b--\r\n',
  );
  assert.equal(formField(body, 'multipart/form-data; charset=utf-8; boundary="a b"', 'model'), 'mödel');
});

test('no file content hides the field or breaks the search', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const file = Buffer.from(bytes);
      fc.pre(!file.includes('--xYz'));
      const body = Buffer.concat([part('file', file, '; filename="f"'), part('model', 'm'), END]);
      assert.equal(formField(body, TYPE, 'model'), 'm');
    }),
    { seed: 7 },
  );
});

test('of two fields with one name the last counts, and both are found', () => {
  const body = Buffer.concat([part('model', 'a'), part('file', 'RIFF'), part('model', 'b'), END]);
  assert.equal(formField(body, TYPE, 'model'), 'b');
  assert.equal(repeatsDecidingFormField(formFields(body, TYPE)), true);
  const once = Buffer.concat([part('model', 'a'), part('models', 'b'), part('stream', 'true'), END]);
  assert.equal(repeatsDecidingFormField(formFields(once, TYPE)), false);
});

test('names that only some parsers read are read, too', () => {
  for (const head of [
    "Content-Disposition: form-data; name*=utf-8''mod%65l",
    'content-disposition: form-data; filename="a; name=x"; name="model"',
    'Content-Type: text/plain\r\nContent-Disposition: form-data; NAME=model',
  ]) {
    const body = Buffer.from(`--xYz\r\n${head}\r\n\r\nm\r\n--xYz--\r\n`);
    assert.equal(formField(body, TYPE, 'model'), 'm', head);
  }
});

test('a delimiter stands at the beginning of a line and is no part of a longer word', () => {
  const decoy = 'Content-Disposition: form-data; name="model"\r\n\r\nno\r\n';
  for (const before of ['.--xYz\r\n', '\n--xYz\r\n', '\r\n--xYzz\r\n', '\r\n--xYz \r\n', '\r\n-- xYz\r\n']) {
    const file = part('file', `RIFF${before}${decoy}`);
    const body = Buffer.concat([part('model', 'yes'), file, END]);
    assert.equal(formField(body, TYPE, 'model'), 'yes', before);
    assert.equal(formFields(body, TYPE).length, 2, before);
  }
});

test('every value of the field is replaced, and every byte outside of these stays', () => {
  const field = fc.record({
    name: fc.constantFrom('model', 'model', 'file', 'stream', 'models'),
    value: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(fc.array(field, { maxLength: 6 }), fc.string({ unit: 'grapheme' }), (fields, name) => {
      fc.pre(!name.includes('--xYz') && fields.every(({ value }) => !value.includes('--xYz')));
      const form = (edited: boolean): Buffer =>
        Buffer.concat([
          ...fields.map((one) => part(one.name, edited && one.name === 'model' ? name : one.value)),
          END,
        ]);
      const wanted = fields.some((one) => one.name === 'model') ? form(true) : undefined;
      assert.deepEqual(replaceFormField(form(false), TYPE, 'model', name), wanted);
    }),
    { seed: 7, numRuns: 500 },
  );
});
