import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { queryValues, setQueryParameter } from './query-parameter.ts';

it('names and values are read as form parsers read them', () => {
  assert.deepEqual(queryValues('/v1/realtime?a=1&model=a%2Fb+c&mod%65l=&model', 'model'), ['a/b c', '', '']);
  assert.deepEqual(queryValues('/v1/realtime', 'model'), []);
  assert.deepEqual(queryValues('/v1/realtime?', 'model'), []);
  assert.deepEqual(queryValues('/x?models=1&?model=2&xmodel=3', 'model'), []);
});

it('a value is put wherever the parameter stands, and no other byte changes', () => {
  assert.equal(
    setQueryParameter('/x?%20=+&model=a&&mod%65l&b=%zz', 'model', 'org/b c&d'),
    '/x?%20=+&model=org%2Fb%20c%26d&&mod%65l=org%2Fb%20c%26d&b=%zz',
  );
  assert.equal(setQueryParameter('/x?b=model', 'model', 'n'), '/x?b=model');
});

it('what is put is what is read, for any name of a model', () => {
  fc.assert(
    fc.property(fc.webQueryParameters(), fc.string({ unit: 'grapheme' }), (query, model) => {
      const target = `/v1/realtime?${query}&model=x`;
      const values = queryValues(setQueryParameter(target, 'model', model), 'model');
      assert.ok(values.every((value) => value === model.toWellFormed()));
      assert.equal(values.length, queryValues(target, 'model').length);
    }),
  );
});
