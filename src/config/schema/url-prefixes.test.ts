import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UrlPrefixes } from './url-prefixes.ts';

/** Which of the prefixes, each its own value, counts for the worker. */
function chosen(baseUrl: string, ...prefixes: string[]): string | undefined {
  return UrlPrefixes.of(Object.fromEntries(prefixes.map((prefix) => [prefix, prefix]))).get(baseUrl);
}

describe('a URL prefix', () => {
  for (const [prefix, worker] of [
    ['http://10.0.0.1:80', 'http://10.0.0.1:8000'],
    ['http://10.0.0.1:800', 'http://10.0.0.1:8000'],
    ['http://10.0.0.1', 'http://10.0.0.12:8000'],
    ['http://10.0.0.1', 'http://10.0.0.1.example.com'],
    ['http://gpu', 'http://gpu1:8000'],
    ['http://gpu1:8000', 'http://gpu1'],
    ['http://gpu1', 'https://gpu1'],
    ['https://gpu1', 'http://gpu1:8000'],
    ['http://gw/a', 'http://gw/ab'],
    ['http://gw/a', 'http://gw:8080/a'],
    ['http://gw/a/b', 'http://gw/a'],
    ['unix:///run/vllm', 'unix:///run/vllm.sock'],
    ['http://[fd00::1]', 'http://[fd00::12]:8000'],
  ] as const) {
    it(`does not reach from ${prefix} to ${worker}`, () => {
      assert.equal(chosen(worker, prefix), undefined);
    });
  }

  for (const [prefix, worker] of [
    ['http://10.0.0.1', 'http://10.0.0.1:8000'],
    ['http://10.0.0.1/', 'http://10.0.0.1:8000/team'],
    ['http://10.0.0.1', 'http://10.0.0.1'],
    ['http://10.0.0.1:80', 'http://10.0.0.1'],
    ['http://10.0.0.1:80/', 'http://10.0.0.1/team'],
    ['HTTP://GPU1', 'http://gpu1:8000'],
    ['http://gw:8080', 'http://gw:8080/a'],
    ['http://gw/a', 'http://gw/a/b'],
    ['unix:///run/vllm', 'unix:///run/vllm/gpu0.sock'],
    ['http://[fd00::1]', 'http://[fd00::1]:8000'],
  ] as const) {
    it(`reaches from ${prefix} to ${worker}`, () => {
      assert.equal(chosen(worker, prefix), prefix);
    });
  }

  it('counts less than the URL itself, and less than a longer one, whatever their order', () => {
    const all = ['http://gw', 'http://gw:8080/a', 'http://gw:8080', 'http://gw:8080/a/b'];
    for (const prefixes of [all, all.toReversed()]) {
      assert.equal(chosen('http://gw:8080/a/b', ...prefixes), 'http://gw:8080/a/b');
      assert.equal(chosen('http://gw:8080/a/c', ...prefixes), 'http://gw:8080/a');
      assert.equal(chosen('http://gw:8080/ab', ...prefixes), 'http://gw:8080');
      assert.equal(chosen('http://gw:9090/a', ...prefixes), 'http://gw');
    }
  });

  it('with a port goes before one without, where the port is that of the scheme', () => {
    for (const prefixes of [
      ['http://gw', 'http://gw:80'],
      ['http://gw:80', 'http://gw'],
    ]) {
      assert.equal(chosen('http://gw', ...prefixes), 'http://gw:80');
      assert.equal(chosen('http://gw:8000', ...prefixes), 'http://gw');
    }
  });

  it('that is no base URL is left out', () => {
    assert.deepEqual(UrlPrefixes.of({ 'not a url': 1, 'http://a@3': 2 }).entries, []);
  });
});
