import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExternalTraits } from '../../config/settings/settings.ts';
import { handedOn, providerHeaders } from './provider-headers.ts';

const TRAITS: ExternalTraits = {
  ...{ name: 'p', models: undefined, modelPrefix: '', fetchesModels: false, headers: [], forwardHeaders: [] },
  ...{ keyHeader: 'authorization', apiVersion: undefined, deployments: false, unsupportedFields: 'drop' },
  ...{ keepFields: [], maxConcurrent: 1 },
};
const CLIENT = [
  ...['Host', 'router', 'Authorization', 'Bearer sk-client', 'Cookie', 'a=b', 'X-Api-Key', 'k'],
  ...['X-Router-Key', 'r', 'X-Forwarded-For', '10.0.0.1', 'X-Session-Id', 's', 'X-Data-Parallel-Rank', '1'],
  ...['OpenAI-Organization', 'org-client', 'Content-Type', 'application/json', 'Accept', '*/*'],
  ...['Idempotency-Key', 'i', 'X-Mine', 'm', 'Content-Length', '12', 'Accept-Encoding', 'gzip'],
];

test('of the headers of a client only those of the list go on, and its credentials never', () => {
  const call = { headers: CLIENT, requestId: 'id-1', apiKey: 'sk-own' };
  assert.deepEqual(providerHeaders(call, TRAITS), [
    ...['content-type', 'application/json', 'accept', '*/*', 'idempotency-key', 'i'],
    ...['accept-encoding', 'identity', 'x-client-request-id', 'id-1', 'authorization', 'Bearer sk-own'],
  ]);
  const none = providerHeaders({ ...call, apiKey: undefined }, TRAITS);
  assert.ok(!none.includes('authorization') && !none.some((text) => text.includes('sk-client')));
});

test('what is configured is added, and goes before what the client says', () => {
  const headers = providerHeaders(
    { headers: CLIENT, requestId: 'id', apiKey: 'sk' },
    {
      ...TRAITS,
      headers: ['openai-organization', 'org-own', 'x-mine', 'own'],
      forwardHeaders: ['x-mine', 'x-session-id'],
      keyHeader: 'api-key',
    },
  );
  const valuesOf = (name: string): string[] => headers.filter((_, at) => headers[at - 1] === name);
  assert.deepEqual(valuesOf('openai-organization'), ['org-own']);
  assert.deepEqual(valuesOf('x-mine'), ['own']);
  assert.deepEqual(valuesOf('x-session-id'), ['s']);
  assert.deepEqual(valuesOf('api-key'), ['sk']);
});

test("what an answer says of the operator's account, or as if it were the router, is not handed on", () => {
  assert.deepEqual(
    handedOn([
      ...[
        'Content-Type',
        'text/plain',
        'Set-Cookie',
        'a',
        'openai-organization',
        'o',
        'X-RateLimit-Limit',
        '9',
      ],
      ...['x-vllm-router-worker', 'me', 'openai-processing-ms', '5', 'Retry-After', '3'],
    ]),
    ['Content-Type', 'text/plain', 'openai-processing-ms', '5', 'Retry-After', '3'],
  );
});
