import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parseHookUrl } from '../schema/hook-url.ts';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { printConfig } from '../show/print.ts';
import { redactConfig } from '../show/redact.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-hooks-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(hooks: string): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), `worker_urls: [http://w:1]\n${hooks}\n`);
  return loadConfig({ argv: ['--config-file', 'r.yaml'], env: {}, cwd: folder });
}

/** One hook with these keys beside its name and URL. */
const one = (keys: string): LoadResult =>
  load(`pre_routing_hooks:\n  - {name: guard, url: 'http://guard:7000/v', ${keys}}`);

describe('the address of a hook', () => {
  for (const [url, base, path] of [
    ['http://guard:7000/v1/check', 'http://guard:7000', '/v1/check'],
    ['HTTPS://Guard.Example', 'https://guard.example', '/'],
    ['http://guard:80?zone=eu', 'http://guard', '/?zone=eu'],
    ['http://[::1]:9/x', 'http://[::1]:9', '/x'],
    ['unix:///run/guard.sock', 'unix:///run/guard.sock', '/'],
    ['unix:///run/guard.sock:/v1/check?a=1', 'unix:///run/guard.sock', '/v1/check?a=1'],
  ] as const)
    it(`may be ${url}`, () => {
      assert.deepEqual(parseHookUrl(url), { kind: 'ok', address: { base, path }, authorization: undefined });
    });

  it('may hold a user and password, which become the authorization', () => {
    const parsed = parseHookUrl('http://us%65r:p%40ss@guard/check');
    assert.ok(parsed.kind === 'ok');
    assert.deepEqual(parsed.address, { base: 'http://guard', path: '/check' });
    assert.equal(parsed.authorization, `Basic ${Buffer.from('user:p@ss').toString('base64')}`);
  });

  for (const url of [
    ...[
      'guard:7000',
      'ftp://guard/',
      'http://',
      'http:guard',
      '/check',
      'http://guard/a b',
      'http://guard/#x',
    ],
    ...['unix://run/guard.sock', 'unix:///', 'unix:///run/guard.sock?x', 'http://u:%zz@guard/'],
  ])
    it(`may not be ${url}, and the message does not quote it`, () => {
      const [line = ''] = lines(load(`pre_routing_hooks: [{name: guard, url: '${url}'}]`));
      assert.match(line, /^r\.yaml:2:\d+: pre_routing_hooks\[0\]\.url: expected .*\(not shown\)$/);
      assert.ok(!line.includes(url) || url === 'unix:///');
    });
});

describe('a hook', () => {
  it('has the defaults of the page', () => {
    assert.deepEqual(good(load("pre_routing_hooks: [{name: a, url: 'http://h'}]")).settings.hooks, [
      {
        name: 'a',
        source: {
          kind: 'http',
          address: { base: 'http://h', path: '/' },
          ...{ authorization: undefined, headers: [], forwardHeaders: [], maxResponseBytes: 16_777_216 },
        },
        ...{ timeoutMs: 200, onError: 'pass', onReject: 'block403', transform: false, tunnels: 'refuse' },
        maxConcurrent: 256,
        breaker: {
          ...{ enabled: true, failureThreshold: 5, successThreshold: 1, openMs: 5_000, windowMs: 60_000 },
          halfOpenTrials: 1,
        },
      },
    ]);
  });

  for (const [keys, place, expected] of [
    ['timeout_ms: 0', 'timeout_ms', /0/],
    ['on_error: fail', 'on_error', /expected one of pass, block, got "fail"/],
    ['on_reject: block', 'on_reject', /block403/],
    ['tunnels: true', 'tunnels', /refuse/],
    ['forward_headers: [Host]', 'forward_headers[0]', /a header that the router does not set/],
    ['forward_headers: [X-Admin-Key]', 'forward_headers[0]', /a header that the router does not set/],
    ['timeout: 5', 'timeout', /unknown key timeout; did you mean timeout_ms\?$/],
    ['circuit_breaker: {failure_threshold: 0}', 'circuit_breaker.failure_threshold', /1/],
  ] as const)
    it(`is refused with ${keys}`, () => {
      const [line = ''] = lines(one(keys));
      assert.ok(line.includes('pre_routing_hooks[0]'), line);
      assert.ok(line.includes(place), line);
      assert.match(line, expected);
    });

  for (const name of ['', 'a b', 'a,b', 'a:b', 'ü', 'x'.repeat(65)])
    it(`is refused with the name ${JSON.stringify(name)}`, () => {
      const [line = ''] = lines(
        load(`pre_routing_hooks: [{name: ${JSON.stringify(name)}, url: 'http://h'}]`),
      );
      assert.match(line, /pre_routing_hooks\[0\]\.name: /);
    });

  it('has a name of its own', () => {
    const same = "{name: a, url: 'http://h'}";
    assert.match(
      lines(load(`pre_routing_hooks: [${same}, ${same}]`))[0] ?? '',
      /\[1\]\.name: expected every name once/,
    );
  });

  it('keeps its circuit closed where circuits never open', () => {
    const { settings } = good(one('timeout_ms: 1}\ndisable_circuit_breaker: true\nmetrics: {enabled: false'));
    assert.equal(settings.hooks[0]?.breaker.enabled, false);
  });
});

describe('what nobody may see of a hook', () => {
  const config = `pre_routing_hooks:
  - name: guard
    url: http://user:pa55@guard:7000/check?key=qu3ry
    api_key: b3arer
    headers: {x-secret: h3ader}`;

  it('is not in the configuration that is shown', () => {
    const loaded = good(load(config));
    const printed = printConfig(loaded.config, loaded.origins);
    assert.doesNotMatch(printed + JSON.stringify(redactConfig(loaded.config)), /pa55|qu3ry|b3arer|h3ader/);
    assert.ok(printed.includes('"url":"http://***@guard:7000/check?***"'), printed);
    assert.ok(printed.includes('"headers":{"x-secret":"***"}'), printed);
  });

  it('is not in messages about it', () => {
    const [line = ''] = lines(one('api_key: "b3ar er"'));
    assert.match(line, /api_key/);
    assert.doesNotMatch(line, /b3ar/);
  });
});
