/** Providers outside of the fleet know OpenAI's API alone: messages go there as chats that every provider takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { post } from '../support/chat.ts';
import { outside } from '../support/external.ts';
import { startFleet } from '../support/fleet.ts';
import { startProvider } from '../support/provider.ts';

const MESSAGE = {
  model: 'gpt-4o-mini',
  max_tokens: 2000,
  thinking: { type: 'enabled', budget_tokens: 1024 },
  messages: [
    { role: 'user', content: 'hi' },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature: 's' },
        { type: 'text', text: 'The' },
      ],
    },
  ],
};

for (const anthropic of ['auto', 'pass', 'translate'] as const)
  test(`${anthropic}: a message that a rule sends out is a chat there, and a message here`, async () => {
    await using provider = await startProvider();
    await using fleet = await startFleet({
      router: {
        anthropic,
        workers: [outside(provider, { unsupportedFields: 'reject' })],
        modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' }],
      },
    });
    const init = { headers: { 'x-api-key': 'sk-client', 'anthropic-version': '2023-06-01' } };
    for (const stream of [false, true]) {
      const response = await post(fleet, '/v1/messages', { ...MESSAGE, stream }, init);
      const text = await response.text();
      assert.equal(response.status, 200, text);
      assert.equal(response.headers.get('x-vllm-router-external'), 'outside');
      assert.match(text, stream ? /event: message_stop/ : /"type":"message"/);
      assert.match(text, /outside/);
      assert.equal(provider.last.url, '/api/v1/chat/completions');
      assert.equal(provider.last.headers['anthropic-version'], undefined);
      assert.deepEqual(provider.last.json['messages'], [
        { role: 'user', content: 'hi' },
        { role: 'assistant', content: 'The' },
      ]);
      const record = await fleet.decision((one) => one.stream === stream);
      assert.deepEqual(record.external, { backend: 'outside', rule: 'gpt-*' });
      assert.deepEqual(
        record.attempts.map(({ translated }) => translated),
        [true],
      );
    }
  });

test('a provider’s error has Anthropic’s shape', async () => {
  await using provider = await startProvider();
  provider.instead = (response) => {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end('{"error":{"message":"no such thing","type":"invalid_request_error"}}');
    return true;
  };
  await using fleet = await startFleet({
    router: {
      workers: [outside(provider)],
      modelRules: [{ match: 'gpt-*', external: 'outside', when: 'always' }],
    },
  });
  const response = await post(fleet, '/v1/messages', MESSAGE);
  assert.deepEqual(
    [response.status, await response.json()],
    [400, { type: 'error', error: { type: 'invalid_request_error', message: 'no such thing' } }],
  );
});
