import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { configJsonSchema } from '../show/json-schema.ts';
import { configFromOptions, loadConfig, type LoadResult } from '../load/load.ts';
import { printConfig } from '../show/print.ts';
import { redactConfig } from '../show/redact.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-gateway-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(yaml: string, ...argv: readonly string[]): LoadResult {
  writeFileSync(join(folder, 'r.yaml'), yaml);
  return loadConfig({ argv: ['--config-file', 'r.yaml', ...argv], env: {}, cwd: folder });
}

const TWO = `
worker_urls: [http://a:1]
workers:
  - url: http://b:1/
    model_id: qwen3-8b
    priority: 10
    cost: 0.5
    labels: {tier: gold, policy: least_work}
    api_key: sk-of-b
  - {url: 'http://c:1', priority: null}
`;

describe('the list of workers', () => {
  it('is compiled beside worker_urls, what is left out at its default', () => {
    const { settings } = good(load(TWO));
    assert.deepEqual(
      settings.workers.map(({ id, apiKey, traits }) => [id, apiKey, traits]),
      [
        [
          'http://a:1',
          undefined,
          {
            modelId: undefined,
            role: 'regular',
            bootstrapPort: undefined,
            kvTransfer: undefined,
            priority: 50,
            cost: 1,
            labels: {},
            tokenizerPath: undefined,
            kvEvents: undefined,
            external: undefined,
            unused: {},
          },
        ],
        [
          'http://b:1',
          'sk-of-b',
          {
            modelId: 'qwen3-8b',
            role: 'regular',
            bootstrapPort: undefined,
            kvTransfer: undefined,
            priority: 10,
            cost: 0.5,
            labels: { tier: 'gold', policy: 'least_work' },
            tokenizerPath: undefined,
            kvEvents: undefined,
            external: undefined,
            unused: {},
          },
        ],
        [
          'http://c:1',
          undefined,
          {
            modelId: undefined,
            role: 'regular',
            bootstrapPort: undefined,
            kvTransfer: undefined,
            priority: 50,
            cost: 1,
            labels: {},
            tokenizerPath: undefined,
            kvEvents: undefined,
            external: undefined,
            unused: {},
          },
        ],
      ],
    );
  });

  it('keeps what means nothing to HTTP workers, and says so', () => {
    const yaml = "workers: [{url: 'http://a', tool_parser: hermes, tokenizer_path: /t}]\n";
    const { settings, notices } = good(load(yaml));
    assert.deepEqual(settings.workers[0]?.traits.unused, { tool_parser: 'hermes' });
    assert.equal(settings.workers[0].traits.tokenizerPath, '/t');
    assert.deepEqual(notices, ['workers[0].tool_parser: kept, but without effect on an HTTP worker']);
  });

  it('says that a tokenizer on a hub is not fetched', () => {
    const { notices } = good(load("workers: [{url: 'http://a', tokenizer_path: org/model}]\n"));
    assert.deepEqual(notices, [
      'workers[0].tokenizer_path: without effect: nothing is fetched from a hub, give a directory',
    ]);
  });

  it('is enough to start with, and may be ranks', () => {
    const { settings } = good(load('workers: [{url: http://a}]\nintra_node_data_parallel_size: 2\n'));
    assert.deepEqual(
      settings.workers.map(({ id }) => id),
      ['http://a@0', 'http://a@1'],
    );
  });

  it('says what is wrong where it stands, in the words of POST /workers', () => {
    assert.deepEqual(lines(load('workers:\n  - url: localhost:8000\n    priority: high\n    tier: gold\n')), [
      'r.yaml:2:5: workers[0]: unknown key tier',
      'r.yaml:2:10: workers[0].url: expected a URL with its scheme: http://host:port, https://host:port or unix:///path.sock; did you mean http://localhost:8000?, got "localhost:8000"',
      'r.yaml:3:15: workers[0].priority: expected number, got "high"',
    ]);
    assert.deepEqual(lines(load('workers: [{model_id: m}]\n')), [
      'r.yaml:1:11: workers[0].url: expected string, got nothing',
    ]);
    assert.deepEqual(lines(load('workers: [{url: http://a, bootstrap_port: 9}]\n')), [
      'r.yaml:1:43: workers[0].bootstrap_port: expected worker_type prefill: no other worker is asked for blocks, got 9',
    ]);
    assert.deepEqual(lines(load('workers: http://a\n')), [
      'r.yaml:1:10: workers: expected a list of mappings, got a string (not shown)',
    ]);
  });

  it('refuses a worker that is there already', () => {
    assert.deepEqual(lines(load('worker_urls: [http://a/]\nworkers: [{url: http://a}]\n')), [
      'r.yaml:2:17: workers[0].url: expected every worker once, got "http://a" again (as "http://a/")',
    ]);
  });

  it('keeps its keys secret in everything that is shown', () => {
    const { config, origins } = good(load(TWO));
    assert.equal(redactConfig(config).workers[0]?.api_key, '***');
    assert.equal(redactConfig(config).workers[0]?.model_id, 'qwen3-8b');
    assert.equal(config.workers[0]?.api_key, 'sk-of-b');
    assert.doesNotMatch(printConfig(config, origins), /sk-of/);
    for (const wrong of ['[sk-hidden]', 'sk-hidden', '[{url: http://a, api_key: [sk-hidden]}]'])
      assert.doesNotMatch(lines(load(`workers: ${wrong}\n`)).join('\n'), /sk-hidden/);
  });

  it('is known to editors', () => {
    const schema = JSON.stringify(configJsonSchema());
    assert.match(schema, /"model_id"/);
    assert.match(schema, /"model_policies"/);
  });
});

describe('gateway mode', () => {
  it('needs no workers, and refuses unknown models unless told otherwise', () => {
    const settings = (...argv: string[]) => good(loadConfig({ argv, env: {}, cwd: folder })).settings;
    assert.deepEqual(
      [settings('--enable-igw').gateway, settings('--enable-igw').unknownModel],
      [true, 'reject'],
    );
    assert.equal(settings('--enable-igw', '--unknown-model', 'pass').unknownModel, 'pass');
    assert.equal(settings('--worker-urls', 'http://a').unknownModel, 'pass');
    assert.equal(settings('--enable-igw', '--worker-urls', 'http://a').workers.length, 1);
    assert.equal(settings('--enable-igw', '--engine-wait-timeout-secs', '1.5').engineWaitMs, 1500);
  });
});

describe('policies of models', () => {
  const yaml = (policies: string): string => `enable_igw: true\nmodel_policies: ${policies}\n`;

  it('are names or objects, for a name or the beginning of one', () => {
    const { settings } = good(
      load(yaml('{qwen3-8b: {type: consistent_hash, virtual_nodes: 7}, "meta/*": random, "*": least_work}')),
    );
    assert.deepEqual(
      settings.modelPolicies.map(({ model, policy }) => [model, policy.type]),
      [
        ['qwen3-8b', 'consistent_hash'],
        ['meta/*', 'random'],
        ['*', 'least_work'],
      ],
    );
    const [{ policy } = { policy: undefined }] = settings.modelPolicies;
    assert.equal(policy?.type === 'consistent_hash' && policy.virtualNodes, 7);
  });

  it('are the same from code', () => {
    const { settings } = good(configFromOptions({ enableIgw: true, modelPolicies: { m: 'round_robin' } }));
    assert.deepEqual(settings.modelPolicies, [{ model: 'm', policy: { type: 'round_robin' } }]);
  });

  for (const [given, problem] of [
    ['{m: {type: random, theta: 1}}', /^r\.yaml:2:21: model_policies\.m: unknown key theta$/],
    ['{m: 7}', /^r\.yaml:2:21: model_policies\.m: expected a policy/],
    ['{m: {type: cache_aware, cache_threshold: 7}}', /model_policies\.m\.cache_threshold: .*<=1, got 7$/],
    ['{m: {type: cache_aware, max_tree_size: 7}}', /model_policies\.m\.max_tree_size: is fixed: .*, got 7$/],
    ['{"a*b": random}', /model_policies\.a\*b: not a good name: expected a model, or the beginning/],
    ['[random]', /model_policies: expected a mapping of names to settings/],
  ] as const) {
    it(`refuse ${given}`, () => {
      assert.match(lines(load(yaml(given))).join('\n'), problem);
    });
  }

  it('refuse an unknown policy', () => {
    assert.match(lines(load(yaml('{m: fastest}'))).join('\n'), /model_policies\.m/);
  });
});
