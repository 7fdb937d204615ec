import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadConfig, type LoadResult } from '../load/load.ts';
import { good, lines } from '../test-support.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-rules-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function load(...rules: readonly string[]): LoadResult {
  const text = `worker_urls: [http://a]\nmodel_rules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}`;
  writeFileSync(join(folder, 'r.yaml'), text);
  return loadConfig({ argv: ['--config-file', 'r.yaml'], env: {}, cwd: folder });
}

test('the forms that a rule may have', () => {
  const { settings, notices } = good(
    load(
      '{match: gpt-4, rewrite: x}',
      '{match: "openai/*", fallback: [a, b]}',
      '{match: m, split: [{model: a, weight: 0.5}, {model: b, weight: 9}]}',
    ),
  );
  assert.deepEqual(settings.modelRules, {
    rules: [
      { kind: 'rewrite', match: 'gpt-4', targets: [{ model: 'x', weight: 1 }] },
      {
        kind: 'fallback',
        match: 'openai/*',
        targets: [
          { model: 'a', weight: 1 },
          { model: 'b', weight: 1 },
        ],
      },
      {
        kind: 'split',
        match: 'm',
        targets: [
          { model: 'a', weight: 0.5 },
          { model: 'b', weight: 9 },
        ],
      },
    ],
    exact: new Map([
      ['gpt-4', 0],
      ['m', 2],
    ]),
    wildcards: [{ prefix: 'openai/', index: 1 }],
    targets: new Set(['x', 'a', 'b']),
    external: [],
  });
  assert.equal(settings.responseModel, 'resolved');
  assert.deepEqual(notices, []);
});

test('every mistake in a rule is named with its place', () => {
  assert.deepEqual(
    lines(
      load(
        '{match: "g*t", rewrite: x}',
        '{match: a, fallback: []}',
        '{match: b, split: [{model: a, weight: 0}]}',
        '{match: c, rewrite: "x\\ny"}',
        '{match: "", rewrite: x}',
        '{match: d, rewirte: x}',
      ),
    ).map((line) => line.replace(/(\]|match|rewrite|fallback|weight): .*/, '$1')),
    [
      'r.yaml:3:13: model_rules[0].match',
      'r.yaml:4:26: model_rules[1].fallback',
      'r.yaml:5:43: model_rules[2].split[0].weight',
      'r.yaml:6:25: model_rules[3].rewrite',
      'r.yaml:7:13: model_rules[4].match',
      'r.yaml:8:5: model_rules[5]',
    ],
  );
});

test('rules that contradict themselves or each other are refused', () => {
  assert.deepEqual(
    lines(
      load(
        '{match: m, rewrite: x}',
        '{match: m, fallback: [y]}',
        '{match: d}',
        '{match: e, rewrite: x, split: [{model: a, weight: 1}]}',
        '{match: f, split: [{model: a, weight: 1}, {model: a, weight: 2}]}',
      ),
    ),
    [
      'r.yaml:4:13: model_rules[1].match: expected every pattern once, got "m" again (as in model_rules[0])',
      'r.yaml:5:5: model_rules[2]: expected one of rewrite, fallback, split and external, got none',
      'r.yaml:6:5: model_rules[3]: expected one of rewrite, fallback, split and external, got 2',
      'r.yaml:7:55: model_rules[4].split[1].model: expected every model once, got "a" again',
    ],
  );
});

test('what does no harm but is hardly meant is a notice', () => {
  const { notices, settings } = good(
    load(
      '{match: "a-*", fallback: [x]}',
      '{match: a-1, rewrite: x}',
      '{match: "b-*", rewrite: x}',
      '{match: b-1, rewrite: y}',
      '{match: "b-2*", fallback: [y]}',
      '{match: both, rewrite: x, fallback: [y]}',
    ),
  );
  assert.deepEqual(notices, [
    'model_rules[3]: "b-1" is never reached, for model_rules[2] ("b-*") decides before it',
    'model_rules[4]: "b-2*" is never reached, for model_rules[2] ("b-*") decides before it',
    'model_rules[5]: rewrite and fallback are both given; rewrite counts',
  ]);
  assert.equal(settings.modelRules?.rules[5]?.kind, 'rewrite');
});
