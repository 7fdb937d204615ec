import assert from 'node:assert/strict';
import { test } from 'node:test';
import { registrationOf, workerEntry } from '../config/schema/worker-entry.ts';
import { requestOf } from './registration.ts';

test('what the state file keeps of a backend is the same backend', () => {
  const entry = workerEntry.parse({
    ...{ url: 'https://b/openai', worker_type: 'external', api_key: 'sk' },
    external: {
      ...{
        name: 'x',
        models: { a: 'b' },
        model_prefix: 'p',
        organization: 'o',
        project: 'q',
        key_header: 'api-key',
      },
      ...{
        headers: { 'X-A': '1' },
        api_version: '1',
        deployments: true,
        keep_fields: ['top_k'],
        max_concurrent: 3,
      },
    },
  });
  const registration = registrationOf(entry);
  assert.deepEqual(registrationOf(workerEntry.parse(requestOf(registration))), registration);
});
