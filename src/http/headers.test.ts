import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { endToEnd, headerOf, headerValue } from './headers.ts';

fc.configureGlobal({ seed: 7 });

const nothing = (): boolean => false;

test('finds the first value, whatever the case of the name', () => {
  const headers = ['X-A', '1', 'x-b', '2', 'x-a', '3'];
  assert.equal(headerOf(headers, 'x-a'), '1');
  assert.equal(headerOf(headers, 'x-b'), '2');
  assert.equal(headerOf(headers, 'x-c'), undefined);
});

test('a value is never taken for a name', () => {
  assert.equal(headerOf(['x-a', 'host', 'x-b', 'other'], 'host'), undefined);
});

test('hop-by-hop headers go, in whatever case', () => {
  const hop = [
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authorization',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
  ];
  const headers = hop.flatMap((name) => [name, 'x', name.toLowerCase(), 'y']);
  assert.deepEqual(endToEnd([...headers, 'Accept', '*/*'], nothing), ['Accept', '*/*']);
});

test('headers that Connection names go, in all its lines', () => {
  const headers = [
    'Connection',
    'close, X-One ,x-TWO',
    'x-one',
    '1',
    'X-Two',
    '2',
    'connection',
    'x-three',
    'X-Three',
    '3',
    'x-four',
    '4',
  ];
  assert.deepEqual(endToEnd(headers, nothing), ['x-four', '4']);
});

test('a header of that name is dropped for the reason given', () => {
  assert.deepEqual(
    endToEnd(['Host', 'a', 'Accept', 'b'], (name) => name === 'host'),
    ['Accept', 'b'],
  );
});

const names = fc.constantFrom('Accept', 'set-cookie', 'X-A', 'x-a', 'Connection', 'TE', 'Content-Type');
const pairs = fc.array(fc.tuple(names, fc.string({ unit: fc.constantFrom('a', ' ', ',', 'X-A', 'é') })));

test('what is kept is kept as it was: names, values, duplicates, order', () => {
  fc.assert(
    fc.property(pairs, (list) => {
      const named = list
        .filter(([name]) => name === 'Connection')
        .flatMap(([, value]) => value.toLowerCase().split(','));
      const gone = new Set(['connection', 'te', ...named.map((name) => name.trim())]);
      const kept = list.filter(([name]) => !gone.has(name.toLowerCase()));
      assert.deepEqual(endToEnd(list.flat(), nothing), kept.flat());
    }),
  );
});

test('a plain value is a header value as it is', () => {
  assert.equal(headerValue('http://10.0.0.1:8000@3'), 'http://10.0.0.1:8000@3');
});

test('everything outside visible ASCII is percent-encoded', () => {
  assert.equal(headerValue(' a b\r\nx: y\té€😀'), '%20a%20b%0D%0Ax:%20y%09%C3%A9%E2%82%AC%F0%9F%98%80');
});

test('any text becomes a value that HTTP takes, of at most 256 bytes, and decodes to its beginning', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 600 }), fc.boolean(), (text, repeat) => {
      const value = headerValue(repeat ? text.repeat(20) : text);
      assert.match(value, /^[\x21-\x7e]{0,256}$/);
      // A percent sign of the text itself stays: then decoding is not the inverse.
      if (text.includes('%')) return;
      assert.ok((repeat ? text.repeat(20) : text).toWellFormed().startsWith(decodeURIComponent(value)));
    }),
  );
});
