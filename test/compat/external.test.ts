/** The real `openai` package through a router whose worker is somebody else's API. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AuthenticationError, InternalServerError } from 'openai';
import { startFleet, type Fleet } from '../support/fleet.ts';
import { startProvider, type Provider } from '../support/provider.ts';
import { collect, openai, rejection, user } from './clients.ts';

const CHAT = { model: 'gpt-4o-mini', messages: user('hi') };

function gateway({ url }: Provider, apiKey = 'sk-provider'): Promise<Fleet> {
  return startFleet({
    workers: [],
    onlyRegular: 'there is no fleet',
    extraWorkerUrls: [url],
    router: { backend: 'openai', apiKey },
  });
}

test('chats, streams, completions, embeddings and responses come back as the package expects them', async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider);
  const client = openai(fleet);
  const { data, response } = await client.chat.completions.create(CHAT).withResponse();
  assert.equal(data.choices[0]?.message.content, 'from outside');
  assert.equal(response.headers.get('x-vllm-router-external'), new URL(provider.url).host);
  const stream = await client.chat.completions.create({
    ...CHAT,
    stream: true,
    stream_options: { include_usage: true },
  });
  const chunks = await collect(stream);
  assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), 'from outside');
  assert.equal(chunks.at(-1)?.usage?.completion_tokens, 2);
  const completion = await client.completions.create({ model: 'gpt-4o-mini', prompt: 'hi' });
  assert.equal(completion.choices[0]?.text, 'from outside');
  const embedding = await client.embeddings.create({
    model: 'gpt-4o-mini',
    input: 'hi',
    encoding_format: 'float',
  });
  assert.deepEqual(embedding.data[0]?.embedding, [0.5, 0.25]);
  const answer = await client.responses.create({ model: 'gpt-4o-mini', input: 'hi' });
  assert.equal(answer.output_text, 'from outside');
  const read = await client.responses.retrieve(answer.id);
  assert.equal(read.id, answer.id);
});

test("a key that the provider refuses is no fault of the package's own key", async () => {
  await using provider = await startProvider();
  await using fleet = await gateway(provider, 'sk-wrong');
  const error = await rejection(
    openai(fleet, { maxRetries: 0 }).chat.completions.create(CHAT),
    InternalServerError,
  );
  assert.ok(!(error instanceof AuthenticationError));
  assert.equal(error.status, 502);
  assert.equal(error.code, 'external_refused');
});
