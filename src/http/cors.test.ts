import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corsHeaders, preflightHeaders } from './cors.ts';
import { EXPOSED_HEADERS } from './exposed-headers.ts';

const APP = 'https://app.example.com';

function asObject(flat: readonly string[]): Record<string, string> {
  const object: Record<string, string> = {};
  for (let i = 0; i + 1 < flat.length; i += 2) {
    assert.ok(!(flat[i]! in object), `${flat[i]} is there twice`);
    object[flat[i]!] = flat[i + 1]!;
  }
  return object;
}

test('without configured origins any page may read answers and the router’s own headers', () => {
  assert.deepEqual(asObject(corsHeaders([], APP)), {
    'access-control-allow-origin': '*',
    'access-control-expose-headers': EXPOSED_HEADERS.join(', '),
  });
  assert.deepEqual(corsHeaders(['*', APP], APP), corsHeaders([], APP));
});

test('a configured origin is named, and caches are told', () => {
  const headers = asObject(corsHeaders(['https://other.example.com', APP], APP));
  assert.equal(headers['access-control-allow-origin'], APP);
  assert.equal(headers['vary'], 'origin');
});

for (const origin of [
  'https://evil.example.com',
  'http://app.example.com',
  `${APP}.evil.com`,
  `${APP}:8443`,
  'null',
  '',
]) {
  test(`an origin that is not configured gets nothing: "${origin}"`, () => {
    assert.deepEqual(corsHeaders([APP], origin), []);
    assert.deepEqual(preflightHeaders([APP], origin, undefined), []);
  });
}

test('a preflight allows the headers it asks about', () => {
  const headers = asObject(preflightHeaders([APP], APP, 'authorization, x-stainless-os'));
  assert.equal(headers['access-control-allow-headers'], 'authorization, x-stainless-os');
  assert.match(headers['access-control-allow-methods'] ?? '', /\bPOST\b/);
  assert.equal(headers['access-control-max-age'], '3600');
});

test('a preflight answer carries nothing that every answer carries already', () => {
  const both = asObject([...corsHeaders([APP], APP), ...preflightHeaders([APP], APP, undefined)]);
  assert.equal(both['access-control-allow-headers'], 'content-type, authorization');
});
