import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseWorkerUrl, workerId } from './worker-url.ts';

const BAD: readonly (readonly [string, RegExp])[] = [
  ['', /scheme/],
  ['localhost:8000', /did you mean http:\/\/localhost:8000\?/],
  ['10.0.0.1', /did you mean http:\/\/10\.0\.0\.1\?/],
  ['grpc://a:1', /http:\/\/host:port/],
  ['ftp://a', /http:\/\/host:port/],
  ['http://', /parses/],
  ['http:///x', /parses/],
  ['http://a:99999', /parses/],
  ['http://a b', /one URL per entry/],
  ['http://a:1,http://b:2', /separate several by spaces/],
  ['http://user:secret@a:1', /worker_api_keys/],
  ['http://a:1?x=1', /query/],
  ['http://a:1#x', /query/],
  ['http://a:1/v1', /drop \/v1 \(http:\/\/a:1\)/],
  ['http://a:1/v1/', /drop \/v1/],
  ['http://a:1/prefix/v1@2', /drop \/v1 \(http:\/\/a:1\/prefix\)/],
  ['http://a:1@99999999999', /rank/],
  ['unix://run/x.sock', /unix:\/\/\/absolute/],
  ['unix:///', /unix:\/\/\/absolute/],
  ['unix:/run/x.sock', /unix:\/\/\/absolute/],
  ['unix:///run/x.sock?a', /query/],
];

const GOOD: readonly (readonly [string, string, number | undefined])[] = [
  ['http://a:8000', 'http://a:8000', undefined],
  ['http://a:8000/', 'http://a:8000', undefined],
  ['http://a:8000//', 'http://a:8000', undefined],
  ['HTTP://Host:8000', 'http://host:8000', undefined],
  ['http://a:80', 'http://a', undefined],
  ['https://a:443/x/y/', 'https://a/x/y', undefined],
  ['http://[::1]:8000', 'http://[::1]:8000', undefined],
  // A URL parser alone would see the user `a`, the password `8000` and the host `3`.
  ['http://a:8000@3', 'http://a:8000', 3],
  ['http://a:8000/@3', 'http://a:8000', 3],
  ['http://a:8000@3/', 'http://a:8000', 3],
  ['http://a:8000/v1x', 'http://a:8000/v1x', undefined],
  ['unix:///run/vllm/b.sock', 'unix:///run/vllm/b.sock', undefined],
  ['unix:///run/vllm/b.sock@0', 'unix:///run/vllm/b.sock', 0],
];

describe('worker URLs', () => {
  for (const [given, expected] of BAD) {
    it(`refuses ${JSON.stringify(given)}`, () => {
      const parsed = parseWorkerUrl(given);
      assert.ok(parsed.kind === 'bad', `accepted as ${JSON.stringify(parsed)}`);
      assert.match(parsed.expected, expected);
    });
  }

  for (const [given, baseUrl, rank] of GOOD) {
    it(`reads ${given}`, () => {
      assert.deepEqual(parseWorkerUrl(given), { kind: 'ok', address: { baseUrl, rank } });
    });
  }

  it('reads a worker id back as the same worker, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.webUrl(), fc.string()), (text) => {
        const parsed = parseWorkerUrl(text);
        if (parsed.kind === 'ok') assert.deepEqual(parseWorkerUrl(workerId(parsed.address)), parsed);
      }),
    );
  });
});
