import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fieldText, readForm, repeatsDecidingFormField, setFormField } from './form-field.ts';

const formField = (body: Buffer, type: string, name: string): string | undefined =>
  fieldText(body, readForm(body, type), name);

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
  assert.equal(repeatsDecidingFormField(readForm(body, TYPE)), true);
  const once = Buffer.concat([part('model', 'a'), part('models', 'b'), part('stream', 'true'), END]);
  assert.equal(repeatsDecidingFormField(readForm(once, TYPE)), false);
});

test('what parsers read differently is in doubt', () => {
  const plain = 'Content-Disposition: form-data; name="model"';
  const form = (head: string, body = 'm'): Buffer =>
    Buffer.from(`--xYz\r\n${head}\r\n\r\n${body}\r\n--xYz--\r\n`, 'latin1');
  for (const head of [
    "Content-Disposition: form-data; name*=utf-8''mod%65l",
    `${plain}; name*0=mo; name*1=del`,
    'Content-Disposition: form-data; name*0=mo; name*1=del',
    `${plain}; name="model"`,
    `${plain}; NAME=other`,
    `${plain}\r\nContent-Disposition: form-data; name="other"`,
    `${plain}\r\ncontent-disposition: form-data`,
    'Content-Disposition: form-data; filename="a"',
    'Content-Type: text/plain',
    'Content-Disposition: attachment; name="model"',
    'Content-Disposition: form-data; name="mo\\del"',
    'Content-Disposition: form-data; name="model\\""',
    'Content-Disposition: form-data; filename="a\\\\"; name="model"',
    'Content-Disposition: form-data; filename="a\\"; name="model"',
    'Content-Disposition: form-data; name = "model"',
    'Content-Disposition: form-data; name="model" x',
    'Content-Disposition: form-data; name="model";',
    'Content-Disposition: form-data; name="model',
    'Content-Disposition : form-data; name="model"',
    'Content-Disposition: form-data;\r\n name="model"',
    'Content-Disposition: form-data; name="a"\n; name="model"',
    `${plain}\r\nno header`,
    `${plain}\r\nContent-Transfer-Encoding: base64`,
    'Content-Disposition: form-data; name="_charset_"',
    `${plain}\r\nX: ${'x'.repeat(10_000)}`,
  ])
    assert.equal(readForm(form(head), TYPE).plain, false, head);
  for (const body of [
    form(plain, 'm\r\n--xYzz\r\n'),
    form(plain, 'm\r\n--xYz \r\n'),
    form(plain, 'm\r\n--xYz\n'),
    Buffer.concat([Buffer.from('preamble\r\n'), form(plain)]),
    Buffer.concat([form(plain), form(plain)]),
    form(plain).subarray(0, -4),
    Buffer.from('--xYz\r\n\r\nm\r\n--xYz--\r\n'),
    Buffer.from(`--xYz\r\n${plain}\r\n\r\n--xYz--\r\n`),
    Buffer.from(`--xYz\r\n${plain}\r\n--xYz--\r\n`),
    Buffer.from(`--xYz\n${plain}\n\nm\n--xYz--\n`),
  ])
    assert.equal(readForm(body, TYPE).plain, false, body.toString('latin1'));
  for (const type of [
    'multipart/form-data; boundary=xYz; boundary=xYz',
    'multipart/form-data; boundary=xYz; charset=utf-7',
    'multipart/form-data; boundary=xYz; charset=utf-16',
    'multipart/form-data; boundary*=xYz',
    'multipart/form-data; boundary*0=x; boundary*1=Yz',
    'multipart/form-data; boundary="x\\Yz\\""',
    'multipart/form-data; boundary=xYz, multipart/form-data; boundary=a',
    'multipart/form-data=x; boundary=xYz',
    'application/x-www-form-urlencoded',
  ])
    assert.equal(readForm(form(plain), type).plain, false, type);
  for (const type of ['multipart/mixed; boundary=xYz', 'application/json', ''])
    assert.deepEqual(readForm(form(plain), type), { fields: [], plain: true, opening: undefined }, type);
});

test('what clients write is in no doubt', () => {
  for (const head of [
    'Content-Disposition: form-data; name="model"',
    'content-disposition:form-data;name=model',
    'Content-Type: text/plain\r\nContent-Disposition: form-data; NAME="model"',
    'Content-Disposition: form-data; filename="a; name=x"; name="model"',
    'Content-Disposition: form-data; name="model"; filename="C:\\a.wav"; filename*=UTF-8\'\'%e2%82%ac.wav',
    'Content-Disposition: form-data; name="model"; filename="na\xefve %22.wav"\r\nContent-Type: audio/wav',
  ]) {
    const body = Buffer.from(`--xYz\r\n${head}\r\n\r\nm\r\n--xYz--\r\n`, 'latin1');
    for (const type of [TYPE, 'Multipart/Form-Data;boundary="xYz"; charset=UTF-8', `${TYPE} `]) {
      const form = readForm(body, type);
      assert.deepEqual([form.plain, fieldText(body, form, 'model')], [true, 'm'], `${type} ${head}`);
    }
  }
  const crlf = Buffer.concat([Buffer.from('\r\n'), part('model', 'm'), Buffer.from('--xYz--')]);
  assert.equal(readForm(crlf, TYPE).plain, true);
});

test('what stands behind the end of a form is no part of it', () => {
  const body = Buffer.concat([part('model', 'a'), END, part('model', 'b'), END]);
  assert.equal(formField(body, TYPE, 'model'), 'a');
});

test('a field that is not there is put in front', () => {
  const file = part('file', 'RIFF', '; filename="f"');
  for (const before of [[], [Buffer.from('\r\n')]]) {
    const set = setFormField(Buffer.concat([...before, file, END]), TYPE, 'model', 'm');
    assert.deepEqual(set, Buffer.concat([...before, part('model', 'm'), file, END]));
  }
  assert.deepEqual(setFormField(END, TYPE, 'model', 'm'), Buffer.concat([part('model', 'm'), END]));
  assert.equal(setFormField(Buffer.from('{}'), TYPE, 'model', 'm'), undefined);
});

test('a form of delimiters costs no more than its bytes', () => {
  const body = Buffer.from('\r\n--x'.repeat(1_000_000));
  const form = readForm(body, 'multipart/form-data; boundary=x');
  assert.deepEqual([form.fields.length, form.plain], [0, false]);
});

test('a delimiter stands at the beginning of a line and is no part of a longer word', () => {
  const decoy = 'Content-Disposition: form-data; name="model"\r\n\r\nno\r\n';
  for (const before of ['.--xYz\r\n', '\n--xYz\r\n', '\r\n--xYzz\r\n', '\r\n--xYz \r\n', '\r\n-- xYz\r\n']) {
    const file = part('file', `RIFF${before}${decoy}`);
    const body = Buffer.concat([part('model', 'yes'), file, END]);
    assert.equal(formField(body, TYPE, 'model'), 'yes', before);
    assert.equal(readForm(body, TYPE).fields.length, 2, before);
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
      fc.pre(fields.some((one) => one.name === 'model'));
      const wanted = form(true);
      assert.deepEqual(setFormField(form(false), TYPE, 'model', name), wanted);
    }),
    { seed: 7, numRuns: 500 },
  );
});
