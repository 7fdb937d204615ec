import assert from 'node:assert/strict';
import { it } from 'node:test';
import { NO_PLUGINS } from '../schema/plugin-policy-schema.ts';
import { good } from '../test-support.ts';
import { configFromOptions } from './load.ts';
import { settingsFromPosted } from './material.ts';

it('what another thread makes of a configuration is what the first one made of it', () => {
  const { config, material, settings } = good(
    configFromOptions({
      workerUrls: ['http://gpu1:8000', 'https://gpu2/prefix@2'],
      workerApiKeys: { 'http://gpu1': 'key-of-gpu1' },
      workerTls: { serverName: 'workers' },
      workerTlsOverrides: { 'https://gpu2': { insecureSkipVerify: true } },
      apiKeys: [{ key: 'client-key-0123456789', name: 'team', max_concurrent: 5 }],
      modelRules: [{ match: 'small-*', rewrite: 'tiny' }],
    }),
  );
  const there = settingsFromPosted(structuredClone({ config, material }), NO_PLUGINS);
  assert.deepEqual(there, settings);
  assert.equal(there.workerTls.get('https://gpu2/prefix')?.verify, false);
  assert.equal(there.workerTls.get('http://gpu1:8000')?.serverName, 'workers');
  assert.equal(there.workerDefaults.apiKeys.get('http://gpu1:8000'), 'key-of-gpu1');
});
