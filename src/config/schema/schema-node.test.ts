import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStructured, mayHoldSecret, redacted, type SchemaNode } from './schema-node.ts';

const SECRET: SchemaNode = { type: 'string', secret: true };
const ENTRY: SchemaNode = { type: 'object', properties: { url: { type: 'string' }, key: SECRET } };
const LIST: SchemaNode = { type: 'array', items: ENTRY };
const MAP: SchemaNode = { type: 'object', additionalProperties: ENTRY };
const VARIANTS: SchemaNode = {
  oneOf: [
    { type: 'object', properties: { a: { type: 'string' } } },
    { type: 'object', properties: { b: SECRET } },
  ],
};

describe('redaction', () => {
  it('reaches into lists, mappings and variants, and leaves everything else as it is', () => {
    assert.deepEqual(redacted(LIST, [{ url: 'u', key: 'k' }, { url: 'u' }], '***'), [
      { url: 'u', key: '***' },
      { url: 'u' },
    ]);
    assert.deepEqual(redacted(MAP, { one: { key: 'k' } }, '***'), { one: { key: '***' } });
    assert.deepEqual(redacted(VARIANTS, { a: 'a', b: 'b' }, '***'), { a: 'a', b: '***' });
  });

  it('hides a secret whatever its shape, but not the names in a mapping of secrets', () => {
    const secrets: SchemaNode = { type: 'object', secret: true };
    assert.deepEqual(redacted(secrets, { 'http://a': 'k' }, '***'), { 'http://a': '***' });
    assert.equal(redacted(SECRET, ['k', 'l'], '***'), '***');
    assert.equal(redacted(SECRET, undefined, '***'), undefined);
    assert.equal(redacted(SECRET, null, '***'), null);
  });
});

describe('a place that may hold a secret', () => {
  it('is a secret, and whatever has one below it', () => {
    assert.equal(mayHoldSecret(LIST), true);
    assert.equal(mayHoldSecret(LIST, [0]), true);
    assert.equal(mayHoldSecret(LIST, [0, 'key']), true);
    assert.equal(mayHoldSecret(LIST, [0, 'url']), false);
    assert.equal(mayHoldSecret(VARIANTS, ['a']), false);
    assert.equal(mayHoldSecret(VARIANTS, ['b']), true);
  });

  it('is every unknown place beside a secret: it may be misspelt', () => {
    assert.equal(mayHoldSecret(LIST, [0, 'kye']), true);
    assert.equal(mayHoldSecret({ type: 'array', items: { type: 'string' } }, [0, 'x']), false);
  });
});

describe('structure', () => {
  it('is items that are more than texts', () => {
    assert.deepEqual(
      [LIST, MAP, { type: 'array', items: { type: 'string' } }, { type: 'string' }].map(isStructured),
      [true, true, false, false],
    );
  });
});
