/** A chat template of a request is a program: it goes to no worker unless somebody says that it may. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHAT, post } from '../support/chat.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const TEMPLATE = '{{ messages[0].content }}';
const PATHS = ['/v1/chat/completions', '/v1/messages', '/v1/responses'];
const BRINGS: readonly object[] = [
  { chat_template: TEMPLATE },
  { chat_template_kwargs: { chat_template: TEMPLATE } },
];

test('is refused, wherever it stands, in the dialect of the caller', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  for (const path of PATHS)
    for (const template of BRINGS) {
      const response = await post(fleet, path, { ...CHAT, ...template });
      assert.equal(response.status, 400);
      assert.match(
        await response.text(),
        /trust_request_chat_template is not set.*"invalid_request_error"|"invalid_request_error".*trust_request_chat_template is not set/,
      );
    }
  const decision = await fleet.decision(({ error }) => error === 'untrusted_chat_template');
  assert.deepEqual([decision.status, decision.outcome], [400, 'rejected']);
  assert.equal(worker.received.length, 0);
});

test('is none where it says nothing, or on a route without a template', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker]);
  const none = { chat_template: null, chat_template_kwargs: { enable_thinking: false } };
  assert.equal((await post(fleet, '/v1/chat/completions', { ...CHAT, ...none })).status, 200);
  const completion = { model: 'm', prompt: 'a', ...BRINGS[0] };
  assert.equal((await post(fleet, '/v1/completions', completion)).status, 200);
});

test('goes to the workers as it came where it is trusted', async () => {
  await using worker = await startScriptedWorker();
  await using fleet = await startRouter([worker], { router: { trustRequestChatTemplate: true } });
  for (const template of BRINGS)
    assert.equal((await post(fleet, '/v1/chat/completions', { ...CHAT, ...template })).status, 200);
  assert.deepEqual(
    worker.received.map(({ body }) => JSON.parse(body.toString()) as unknown),
    BRINGS.map((template) => ({ ...CHAT, ...template })),
  );
});
