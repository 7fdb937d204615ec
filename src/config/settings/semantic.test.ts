import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configFromOptions } from '../load/load.ts';
import type { RouterOptions } from '../load/options.ts';
import { parseEmbeddingsUrl } from '../schema/embeddings-url.ts';

type Section = NonNullable<RouterOptions['semanticCluster']>;
const CLUSTERS = [{ name: 'code', examples: ['x'], workers: ['http://w'] }];

function load(semanticCluster: Section) {
  return configFromOptions({ workerUrls: ['http://w:8000'], semanticCluster });
}

function problems(section: Section): string {
  const loaded = load(section);
  return loaded.kind === 'error'
    ? loaded.problems.map(({ at, message }) => `${at}: ${message}`).join('\n')
    : '';
}

describe('semantic clusters', () => {
  it('are off where nobody is named who makes vectors, which is said', () => {
    const loaded = load({ clusters: CLUSTERS });
    assert.ok(loaded.kind === 'ok');
    assert.equal(loaded.settings.semantic.clusters, undefined);
    assert.match(
      loaded.notices.join('\n'),
      /semantic_cluster has neither embeddings_url nor embeddings_model/,
    );
  });

  it('without a worker, and a cache by meaning that is off, are worth a notice', () => {
    const elsewhere = [{ name: 'code', examples: ['x'], workers: ['http://other'], labels: { k: 'y' } }];
    const loaded = configFromOptions({
      ...{ workerUrls: ['http://w:8000'], semanticCache: { threshold: 0.9 } },
      semanticCluster: {
        embeddingsUrl: 'http://e:1',
        clusters: [...CLUSTERS, { ...elsewhere[0]!, name: 'b' }],
      },
    });
    assert.ok(loaded.kind === 'ok');
    assert.deepEqual(loaded.notices, [
      'semantic_cache has neither embeddings_url nor embeddings_model: it is off',
      'semantic_cluster.clusters[1]: no worker of this configuration belongs to "b"',
    ]);
  });

  it('are asked for at a URL with its key, or at workers of the router', () => {
    const loaded = load({ embeddingsUrl: 'http://u:p@e:1', embeddingsApiKey: 'k', clusters: CLUSTERS });
    assert.ok(loaded.kind === 'ok');
    const { address, model } = loaded.settings.semantic.embeddings ?? {};
    assert.deepEqual(address, { base: 'http://e:1', path: '/v1/embeddings', authorization: 'Bearer k' });
    assert.equal(model, 'default');
    const own = load({ embeddingsModel: 'bge', clusters: CLUSTERS });
    assert.ok(own.kind === 'ok');
    assert.equal(own.settings.semantic.embeddings?.address, undefined);
  });

  it('need a name of their own, examples, and workers', () => {
    assert.match(problems({ clusters: [...CLUSTERS, ...CLUSTERS] }), /every name once/);
    assert.match(
      problems({ clusters: [{ name: 'a b', examples: ['x'], workers: ['http://w'] }] }),
      /a name of letters/,
    );
    assert.match(problems({ clusters: [{ name: 'a', examples: [], workers: ['http://w'] }] }), /examples/);
    assert.match(problems({ clusters: [{ name: 'a', examples: ['x'] }] }), /expected workers or labels/);
    assert.match(problems({ threshold: 2, clusters: CLUSTERS }), /threshold/);
    const secret = problems({ embeddingsUrl: 'ftp://u:hunter2@e', clusters: CLUSTERS });
    assert.match(secret, /expected http/);
    assert.doesNotMatch(secret, /hunter2/);
  });
});

for (const [given, base, path] of [
  ['http://e:9100', 'http://e:9100', '/v1/embeddings'],
  ['http://e/v1/', 'http://e', '/v1/embeddings'],
  ['https://e/tei', 'https://e', '/tei/v1/embeddings'],
  [
    'https://e/openai/deployments/x/embeddings?api-version=1',
    'https://e',
    '/openai/deployments/x/embeddings?api-version=1',
  ],
  ['unix:///run/e.sock', 'unix:///run/e.sock', '/v1/embeddings'],
] as const)
  it(`vectors of ${given} come from ${path}`, () => {
    assert.deepEqual(parseEmbeddingsUrl(given), { base, path, authorization: undefined });
  });
