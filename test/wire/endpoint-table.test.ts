/** Every endpoint that the router knows reaches a worker under the client's own path, and says who answered. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Fleet } from '../support/fleet.ts';
import { ask } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker, type ScriptedWorker } from '../support/scripted-worker.ts';

let worker: ScriptedWorker;
let fleet: Fleet;

before(async () => {
  worker = await startScriptedWorker();
  fleet = await startRouter([worker]);
});

after(async () => {
  await fleet.stop();
  await worker[Symbol.asyncDispose]();
});

const MESSAGES = [{ role: 'user', content: 'hi' }];

for (const [method, path, route, body] of [
  ['POST', '/v1/chat/completions', undefined, { messages: MESSAGES }],
  ['POST', '/v1/completions', undefined, { prompt: 'hi' }],
  ['POST', '/v1/embeddings', undefined, { input: ['a', 'b'] }],
  ['POST', '/v1/responses', undefined, { input: 'hi' }],
  ['POST', '/v1/messages', undefined, { messages: MESSAGES, max_tokens: 1 }],
  ['POST', '/v1/messages/count_tokens', undefined, { messages: MESSAGES }],
  ['POST', '/v1/rerank', undefined, { query: 'q', documents: ['d'] }],
  ['POST', '/v2/rerank', '/v1/rerank', { query: 'q', documents: ['d'] }],
  ['POST', '/rerank', '/v1/rerank', { query: 'q', documents: ['d'] }],
  ['POST', '/v1/score', undefined, { text_1: 'a', text_2: 'b' }],
  ['POST', '/score', '/v1/score', { text_1: 'a', text_2: 'b' }],
  ['POST', '/classify', undefined, { input: 'a' }],
  ['POST', '/pooling', undefined, { input: 'a' }],
  ['POST', '/tokenize', undefined, { prompt: 'a' }],
  ['POST', '/detokenize', undefined, { tokens: [1, 2] }],
  ['POST', '/generate', undefined, { text: 'a' }],
  ['POST', '/inference/v1/generate', undefined, { token_ids: [1, 2, 3] }],
  ['POST', '/v1/chat/completions/batch', undefined, { messages: [MESSAGES, MESSAGES] }],
  ['POST', '/v2/embed', undefined, { texts: ['a'] }],
  ['POST', '/generative_scoring', undefined, { query: 'q', items: ['a'] }],
  ['POST', '/invocations', undefined, { messages: MESSAGES }],
  ['POST', '/v1/chat/completions/render', undefined, { messages: MESSAGES }],
  ['POST', '/v1/completions/render', undefined, { prompt: 'hi' }],
  ['POST', '/v1/responses/render', undefined, { input: 'hi' }],
  ['POST', '/v1/messages/render', undefined, { messages: MESSAGES }],
  ['POST', '/v1/chat/completions/derender', undefined, { generate_response: {} }],
  ['POST', '/v1/completions/derender', undefined, { generate_responses: [] }],
  ['POST', '/v1/audio/transcriptions', undefined, undefined],
  ['POST', '/v1/audio/translations', undefined, undefined],
  ['GET', '/v1/responses/resp_0', '/v1/responses/{id}', undefined],
  ['DELETE', '/v1/responses/resp_1', '/v1/responses/{id}', undefined],
  ['POST', '/v1/responses/resp_2/cancel', '/v1/responses/{id}/cancel', undefined],
  ['GET', '/v1/responses/resp_3/input_items', '/v1/responses/{id}/input_items', undefined],
  ['GET', '/v1/responses/resp_4/input', '/v1/responses/{id}/input', undefined],
  ['GET', '/v1/files/sim-model', 'unmatched', undefined],
  ['GET', '/v1/chat/completions', 'unmatched', undefined],
  ['GET', '/ping', 'unmatched', undefined],
  ['GET', '/load', 'unmatched', undefined],
] as const) {
  test(`${method} ${path}`, async () => {
    const sent = body === undefined ? undefined : JSON.stringify({ model: 'sim-model', ...body });
    const response = await fetch(`${fleet.url}${path}?via=test`, {
      method,
      headers: { 'content-type': 'application/json', 'x-request-id': `row ${method} ${path}` },
      ...(sent === undefined ? {} : { body: sent }),
    });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { ok: true });
    const { method: gotMethod, url, body: gotBody } = worker.last;
    assert.deepEqual([gotMethod, url, gotBody.toString()], [method, `${path}?via=test`, sent ?? '']);
    assert.equal(response.headers.get('x-vllm-router-worker'), worker.url);
    assert.equal(response.headers.get('x-vllm-router-method'), 'policy');
    assert.equal(response.headers.get('x-vllm-router-model'), sent === undefined ? null : 'sim-model');
    const decision = await fleet.decision(({ request_id: id }) => id === `row ${method} ${path}`);
    assert.equal(decision.route, route ?? path);
    assert.equal(decision.request_bytes, sent?.length ?? 0);
  });
}

test('a path of the table in another spelling goes on in the table’s, whatever the method; any other as it came', async () => {
  for (const written of [
    '/v1/chat%2Fcompletions',
    '//v1/chat/completions',
    '/v1/chat/completions/',
    '/x/../v1/chat/completions//',
  ])
    for (const method of ['POST', 'GET', 'PUT', 'OPTIONS']) {
      const sent = method === 'POST' ? '{"model":"sim-model","messages":[]}' : '';
      const { status } = await ask(
        fleet.port,
        `${method} ${written}?a=%2F/ HTTP/1.1\r\nHost: r\r\nContent-Length: ${sent.length}\r\n\r\n${sent}`,
        method,
      );
      assert.equal(status, 200);
      assert.equal(worker.last.url, '/v1/chat/completions?a=%2F/');
      const expected = method === 'POST' ? '/v1/chat/completions' : 'unmatched';
      assert.equal((await fleet.decision()).route, expected);
    }
  for (const written of ['//v1/new/thing/', '/v1/new%2Fthing']) {
    await ask(fleet.port, `GET ${written} HTTP/1.1\r\nHost: r\r\n\r\n`);
    assert.equal(worker.last.url, written);
  }
});
