/** The real `openai` package over TLS, with an authority of one's own and a certificate of the client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APIConnectionError, PermissionDeniedError } from 'openai';
import { startFleet } from '../support/fleet.ts';
import { certificateFiles, tlsClient } from '../support/tls.ts';
import { collect, MODEL, openai, rejection, user } from './clients.ts';

const CHAT = { model: MODEL, messages: user('Tell me about routers.'), max_tokens: 12 };

test('chats and streams with a certificate of the client; without one the SDK says why it may not', async () => {
  using files = certificateFiles();
  const ca = files.ca.cert;
  await using fleet = await startFleet({
    workers: [{}],
    router: { ...files.listener, sslCaCerts: files.write('clients.pem', ca), sslCertReqs: 'required' },
  });
  const [known, stranger, lost] = [tlsClient({ ca, ...files.ca.issue() }), tlsClient({ ca }), tlsClient({})];
  try {
    const client = openai(fleet, { fetch: known.fetch });
    assert.ok((await client.chat.completions.create(CHAT)).choices[0]?.message.content);
    const chunks = await collect(await client.chat.completions.create({ ...CHAT, stream: true }));
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');

    const ask = (fetch: typeof globalThis.fetch): Promise<unknown> =>
      openai(fleet, { fetch }).chat.completions.create(CHAT);
    const refusal = await rejection(ask(stranger.fetch), PermissionDeniedError);
    assert.equal(refusal.code, 'client_certificate_refused');
    assert.match(refusal.message, /a client certificate is required/);
    await rejection(ask(lost.fetch), APIConnectionError);
  } finally {
    await Promise.all([known.close(), stranger.close(), lost.close()]);
  }
});
