import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-external-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(yaml: string, ...argv: readonly string[]): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), yaml);
  return loadConfig({ argv: ['--config-file', 'r.yaml', ...argv], env: {}, cwd: folder });
}

const OUT = `worker_urls: [http://a]
api_key: sk-fleet
workers:
  - {url: https://api.example.com/v1, worker_type: external, external: {name: main, models: [m, n], model_prefix: p/}}
`;

test('a backend keeps its path, has its own name and models, and never the key of the fleet', () => {
  const { settings, notices } = good(load(`${OUT}model_rules: [{match: "m*", external: main}]\n`));
  const [fleet, backend] = settings.workers;
  assert.equal(fleet?.apiKey, 'sk-fleet');
  assert.equal(backend?.id, 'https://api.example.com/v1');
  assert.equal(backend.apiKey, undefined);
  assert.equal(backend.traits.external?.name, 'main');
  assert.deepEqual(backend.traits.external.models, { m: 'p/m', n: 'p/n' });
  assert.deepEqual(settings.modelRules?.external, [
    { match: 'm*', chain: ['main'], when: 'unavailable', saturatedAt: 256 },
  ]);
  assert.deepEqual(notices, []);
});

test('every spelling of the mode makes providers of the worker URLs, and of the one the key its own', () => {
  for (const [yaml, ...argv] of [
    ['mode: {type: openai, worker_urls: [https://api.example.com/v1]}\napi_key: sk\n'],
    ['backend: openai\nworker_urls: [https://api.example.com/v1]\napi_key: sk\n'],
    ['api_key: sk\n', '--backend', 'openai', '--worker-urls', 'https://api.example.com/v1'],
    ['api_key: sk\n', '--runtime', 'openai', '--worker-urls', 'https://api.example.com/v1'],
  ] as const) {
    const { settings } = good(load(yaml, ...argv));
    assert.equal(settings.externalOnly, true);
    assert.equal(settings.workers[0]?.traits.role, 'external');
    assert.equal(settings.workers[0].apiKey, 'sk');
    assert.equal(settings.workers[0].traits.external?.name, 'api.example.com');
  }
  const { settings } = good(
    load('backend: openai\nworker_urls: [https://a/v1, https://b/v1]\napi_key: sk\n'),
  );
  assert.deepEqual(
    settings.workers.map(({ apiKey }) => apiKey),
    [undefined, undefined],
  );
});

test('the other backends of other routers are taken for vllm, and said to be', () => {
  for (const backend of ['trtllm', 'anthropic']) {
    const { settings, notices } = good(load(`worker_urls: [http://a]\nbackend: ${backend}\n`));
    assert.equal(settings.externalOnly, false);
    assert.deepEqual(notices, [`backend: ${backend} is taken for vllm`]);
  }
});

for (const [what, yaml, message] of [
  [
    'a rule that names nobody',
    `${OUT}model_rules: [{match: m, external: mian}]\n`,
    /expected the name of an external backend, got "mian"/,
  ],
  [
    'external beside rewrite',
    `${OUT}model_rules: [{match: m, external: main, rewrite: n}]\n`,
    /in a rule of its own/,
  ],
  [
    'when without external',
    `${OUT}model_rules: [{match: m, rewrite: n, when: always}]\n`,
    /when: expected external/,
  ],
  [
    'saturated_at without saturated',
    `${OUT}model_rules: [{match: m, external: main, saturated_at: 3}]\n`,
    /expected when: saturated/,
  ],
  [
    'two of one name',
    `${OUT}  - {url: https://b/v1, worker_type: external, external: {name: main}}\n`,
    /under a name of its own/,
  ],
  [
    'a model_id',
    'workers: [{url: https://b/v1, worker_type: external, model_id: x}]\n',
    /its models stand in external.models/,
  ],
  [
    'external of a vLLM server',
    'workers: [{url: http://b, external: {name: x}}]\n',
    /expected worker_type external/,
  ],
  ['/v1 of a vLLM server', 'workers: [{url: http://b/v1}]\n', /drop \/v1/],
  [
    '/v1 in worker_urls',
    'worker_urls: [http://b/v1]\n',
    /worker_urls\[0\]: expected the server's base URL: drop \/v1/,
  ],
  ['a rank', 'workers: [{url: "https://b/x@2", worker_type: external}]\n', /no @rank/],
  [
    'a header of the router',
    'workers: [{url: https://b, worker_type: external, external: {headers: {Authorization: x}}}]\n',
    /a header that the router does not set/,
  ],
  ['a vLLM server in mode openai', 'backend: openai\nworkers: [{url: http://b}]\n', /expected external/],
  [
    'another mode beside it',
    'backend: openai\nmode: {type: regular}\nworker_urls: [https://b]\n',
    /expected openai, or none/,
  ],
] as const) {
  test(`${what} is refused`, () => {
    assert.match(lines(load(yaml)).join('\n'), message);
  });
}

test('a rule for a model that its backend does not have is worth a notice', () => {
  const rules = '[{match: m, external: a}, {match: other, external: a}, {match: o*, external: a}]';
  const { notices } = good(
    load(
      `worker_urls: [http://w:1]\nworkers: [{url: "https://p/v1", worker_type: external, external: {name: a, models: [m]}}]\nmodel_rules: ${rules}\n`,
    ),
  );
  assert.deepEqual(notices, ['model_rules[1]: a has no model "other" in external.models']);
});

test('prompts in the clear, and tenants whom nobody serves, are worth a notice', () => {
  const { notices } = good(
    load('backend: openai\nworker_urls: [http://far.example.com/v1]\napi_keys: [{name: t, key: k}]\n'),
  );
  assert.match(notices.join('\n'), /serves nobody without allow_external: t/);
  assert.match(notices.join('\n'), /worker_urls\[0\]: .* in the clear/);
});
