import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { printConfig } from '../show/print.ts';
import { redactConfig } from '../show/redact.ts';
import type { TenantSettings } from './settings.ts';
import { good, lines } from '../test-support.ts';

const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const folder = mkdtempSync(join(tmpdir(), 'clients-'));

function load(yaml: string, more: { env?: Record<string, string>; lenient?: boolean } = {}): LoadResult {
  writeFileSync(join(folder, 'router.yaml'), `worker_urls: [http://w]\n${yaml}`);
  return loadConfig({ argv: ['--config-file=router.yaml'], env: {}, cwd: folder, ...more });
}

function tenantsOf(result: LoadResult): readonly TenantSettings[] {
  const { auth } = good(result).settings.clients;
  assert.equal(auth.kind, 'tenants');
  return auth.kind === 'tenants' ? auth.tenants : [];
}

describe('api_keys', () => {
  it('have the defaults of the reference router', () => {
    const [tenant] = tenantsOf(load('api_keys: [{name: a, key: sk-a}]'));
    assert.deepEqual(tenant, {
      name: 'a',
      digests: [sha256('sk-a')],
      enabled: true,
      ratePerSecond: 100,
      maxConcurrent: 50,
      tokensPerMinute: undefined,
      allowedModels: ['*'],
      priorityClass: 'normal',
      metadata: {},
      allowExternal: false,
    });
  });

  it('take a rate of 0 for 1', () => {
    assert.equal(tenantsOf(load('api_keys: [{name: a, key: k, rate_limit_rps: 0}]'))[0]?.ratePerSecond, 1);
  });

  it('give their keys as they are, as digests, in lists and in files, references included', () => {
    writeFileSync(join(folder, 'keys.txt'), `# new\r\nsk-new\r\n\r\n  sk-old  \nsha256:${sha256('sk-x')}\n`);
    writeFileSync(join(folder, 'secret'), 'sk-file\n');
    const tenants = tenantsOf(
      load(
        `api_keys:
  - {name: a, keys: [sk-1, '\${KEY_TWO}', 'file:secret', 'sha256:${sha256('sk-4').toUpperCase()}']}
  - {name: b, key_sha256: ${sha256('sk-b').toUpperCase()}}
  - {name: c, key_file: keys.txt}`,
        { env: { KEY_TWO: 'sk-2' } },
      ),
    );
    assert.deepEqual(
      tenants.map(({ digests }) => digests),
      [
        ['sk-1', 'sk-2', 'sk-file', 'sk-4'].map(sha256),
        [sha256('sk-b')],
        ['sk-new', 'sk-old', 'sk-x'].map(sha256),
      ],
    );
  });

  it('say where and what is wrong, and never show a key', () => {
    const cases: readonly (readonly [yaml: string, problem: RegExp])[] = [
      [
        '[{name: a, key: k}, {name: a, key: l}]',
        /^router\.yaml:2:\d+: api_keys\[1\]\.name: .*every name once.*"a" again/,
      ],
      [
        '[{name: a, key: sk-same}, {name: b, keys: [x, sk-same]}]',
        /api_keys\[1\]\.keys\[1\]: .*every key once, got one that "a" has/,
      ],
      ['[{name: a, keys: [sk-same, sk-same]}]', /api_keys\[0\]\.keys\[1\]: .*every key once/],
      ['[{name: a}]', /api_keys\[0\]\.key: expected one of key, key_sha256, key_file and keys, got nothing/],
      ['[{name: a, key: k, keys: [l]}]', /api_keys\[0\]\.keys: expected one of/],
      ["[{name: a, key: ''}]", /api_keys\[0\]\.key: expected a key of visible/],
      ["[{name: a, key: 'sk same'}]", /api_keys\[0\]\.key: expected a key of visible/],
      ['[{name: a, key: sha256:12}]', /api_keys\[0\]\.key: expected .*64 hex/],
      ['[{name: a, keys: []}]', /api_keys\[0\]\.keys: /],
      ['[{name: a, key_sha256: abc}]', /api_keys\[0\]\.key_sha256: expected the SHA-256/],
      [
        '[{name: a, key_file: nowhere}]',
        /api_keys\[0\]\.key_file: nowhere cannot be read: there is no such file/,
      ],
      ["[{name: '', key: k}]", /api_keys\[0\]\.name/],
      ["[{name: ' a', key: k}]", /api_keys\[0\]\.name/],
      [
        "[{name: a, key: k, allowed_models: ['a*b']}]",
        /api_keys\[0\]\.allowed_models\[0\]: expected a model/,
      ],
      ["[{name: a, key: k, allowed_models: ['']}]", /api_keys\[0\]\.allowed_models\[0\]/],
      ['[{name: a, key: k, allowed_models: []}]', /api_keys\[0\]\.allowed_models/],
      ['[{name: a, key: k, max_concurrent: 0}]', /api_keys\[0\]\.max_concurrent/],
      ['[{name: a, key: k, rate_limit_rps: -1}]', /api_keys\[0\]\.rate_limit_rps/],
      ['[{name: a, key: k, tokens_per_minute: 0}]', /api_keys\[0\]\.tokens_per_minute/],
      ['[{name: a, key: k, priority_class: urgent}]', /api_keys\[0\]\.priority_class/],
      [
        '[{name: a, key: k, priority_class: hihg}]',
        /api_keys\[0\]\.priority_class: expected one of high, normal, low, got "hihg"; did you mean high\?$/,
      ],
      [
        '[{name: a, key: k, rate_limit: 5}]',
        /api_keys\[0\]: unknown key rate_limit; did you mean rate_limit_rps\?$/,
      ],
    ];
    for (const [yaml, problem] of cases) {
      const problems = lines(load(`api_keys: ${yaml}`));
      assert.equal(problems.length, 1, yaml);
      assert.match(problems[0] ?? '', problem, yaml);
      assert.ok(!problems[0]?.includes('same'), yaml);
    }
    writeFileSync(join(folder, 'bad.txt'), 'sk-ok\nsk bad\n');
    assert.match(lines(load('api_keys: [{name: a, key_file: bad.txt}]'))[0] ?? '', /in line 2 of bad\.txt/);
    writeFileSync(join(folder, 'empty.txt'), '# none\n');
    assert.match(lines(load('api_keys: [{name: a, key_file: empty.txt}]'))[0] ?? '', /got none/);
  });

  it('must be other keys than the admin key', () => {
    assert.match(
      lines(load('admin_api_key: root\napi_keys: [{name: a, key: root}]'))[0] ?? '',
      /another key than admin/,
    );
    assert.match(
      lines(load('admin_api_key: root\ninbound_api_key: root'))[0] ?? '',
      /another key than admin/,
    );
  });

  it('may be looked at where their file is not', () => {
    const { notices } = good(load('api_keys: [{name: a, key_file: nowhere}]', { lenient: true }));
    assert.ok(notices.some((notice) => notice.includes('nowhere')));
  });

  it('are watched with their files', () => {
    const result = good(load('api_keys: [{name: c, key_file: keys.txt}]'));
    assert.ok(result.secretFiles.includes(join(folder, 'keys.txt')));
  });
});

describe('a validated configuration', () => {
  it('holds digests in the place of keys, and shows neither', () => {
    const result = good(
      load('inbound_api_key: sk-all\napi_keys: [{name: a, key: sk-a}, {name: b, keys: [sk-b]}]'),
    );
    const text = JSON.stringify(result.config);
    assert.ok(!/sk-(all|a|b)/.test(text));
    assert.ok(text.includes(sha256('sk-a')));
    const shown = JSON.stringify(redactConfig(result.config)) + printConfig(result.config, result.origins);
    for (const key of ['sk-all', 'sk-a', 'sk-b'])
      assert.ok(!shown.includes(key) && !shown.includes(sha256(key)), key);
    assert.ok(shown.includes('"name":"a"'));
  });

  it('says which way to check keys is not used', () => {
    const { notices, settings } = good(
      load('inbound_api_key: k\napi_key_validation_urls: [https://v]\napi_keys: [{name: a, key: l}]'),
    );
    assert.equal(settings.clients.auth.kind, 'tenants');
    assert.deepEqual(notices, [
      'inbound_api_key is not used: api_keys decides alone',
      'api_key_validation_urls is not used: api_keys decides alone',
    ]);
  });
});

describe('api_key_validation_urls', () => {
  it('are also read from the variable of the reference router, behind our own', () => {
    const urlsIn = (env: Record<string, string>): readonly string[] => {
      const { auth } = good(load('', { env })).settings.clients;
      return auth.kind === 'remote' ? auth.urls : [];
    };
    assert.deepEqual(urlsIn({ API_KEY_VALIDATION_URLS: 'https://a/x,https://b' }), [
      'https://a/x',
      'https://b',
    ]);
    const both = { API_KEY_VALIDATION_URLS: 'https://a', VLLM_ROUTER_API_KEY_VALIDATION_URLS: 'https://c' };
    assert.deepEqual(urlsIn(both), ['https://c']);
    assert.deepEqual(urlsIn(Object.fromEntries(Object.entries(both).toReversed())), ['https://c']);
    assert.deepEqual(urlsIn({ API_KEY_VALIDATION_URLS: '' }), []);
  });

  it('are http(s) URLs without a user', () => {
    for (const url of ['ftp://a', 'a', 'https://user:pw@a', 'https://a/#x'])
      assert.match(lines(load(`api_key_validation_urls: ['${url}']`))[0] ?? '', /expected an http\(s\) URL/);
  });

  it('believe a refusal for 10 s at most', () => {
    const { auth } = good(load('api_key_validation_urls: [https://a]')).settings.clients;
    assert.deepEqual(auth, {
      kind: 'remote',
      urls: ['https://a'],
      ttlMs: 60_000,
      refusalTtlMs: 10_000,
      timeoutMs: 5_000,
    });
  });
});
