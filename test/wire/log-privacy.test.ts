/** At the most talkative level too, logs hold neither keys nor what people wrote. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, type LogLevel } from '../../src/observe/log.ts';
import { chat, post, streamChat } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';
import { ask } from '../support/raw-client.ts';
import { startRouter, startScriptedWorker } from '../support/scripted-worker.ts';

const SECRET = 'zX81-this-is-a-secret';
const PRIVATE = 'my grandmother is called Rosalinde';
const ANSWER = 'Rosalinde is a lovely name';

/** A log into memory. */
function memoryLog(level: LogLevel) {
  const lines: string[] = [];
  const sink = { dropped: 0, write: (line: string) => void lines.push(line), close: () => Promise.resolve() };
  const { log } = createLog({ level, format: 'json', dir: undefined }, { console: sink });
  return { log, lines };
}

function assertClean(lines: readonly string[]): void {
  assert.ok(lines.length > 0);
  for (const line of lines) {
    assert.ok(!line.includes(SECRET), line);
    assert.doesNotMatch(line, /rosalinde|grandmother/i, line);
  }
}

const MESSAGES = [{ role: 'user', content: PRIVATE }];
const HEADERS = {
  authorization: `Bearer ${SECRET}`,
  'x-api-key': SECRET,
  cookie: `s=${SECRET}`,
  'x-router-key': SECRET,
  'x-admin-key': SECRET,
};

test('requests of every kind, good and bad', async () => {
  const { log, lines } = memoryLog('trace');
  await using worker = await startScriptedWorker((response, { url }) => {
    if (url.includes('broken')) response.socket?.destroy();
    else if (url.includes('refused'))
      response
        .writeHead(400, { 'content-type': 'application/json' })
        .end(JSON.stringify({ error: { message: PRIVATE } }));
    else
      response
        .writeHead(200, { 'content-type': 'application/json', 'set-cookie': SECRET })
        .end(JSON.stringify({ choices: [{ message: { content: ANSWER } }] }));
  });
  await using fleet = await startRouter([worker], {
    log,
    router: { apiKey: SECRET, adminApiKey: SECRET, disableRetries: true },
  });
  const init = { headers: HEADERS };
  await chat(fleet, { messages: MESSAGES, user: PRIVATE, tools: [{ description: PRIVATE }] }, init);
  await streamChat(fleet, { messages: MESSAGES }, init);
  await post(fleet, '/v1/completions', { prompt: PRIVATE }, init);
  await post(fleet, `/v1/responses?key=${SECRET}`, { input: PRIVATE, instructions: PRIVATE }, init);
  await post(fleet, '/v1/messages', { system: PRIVATE, messages: MESSAGES }, init);
  await post(fleet, `/unknown/${SECRET}/broken`, { text: PRIVATE }, init);
  await post(fleet, '/refused', { text: PRIVATE }, init);
  await post(fleet, '/sleep', { text: PRIVATE }, init);
  await fetch(`${fleet.url}/v1/completions`, { method: 'POST', ...init, body: `{"prompt":"${PRIVATE}` });
  await fetch(`${fleet.url}/v1/completions`, {
    method: 'POST',
    ...init,
    body: `{"prompt":"${PRIVATE}","x":"${'x'.repeat(1_200_000)}",}`,
  });
  await ask(
    fleet.port,
    `POST /v1/completions HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer ${SECRET}\r\nContent-Length: x\r\n\r\n${PRIVATE}`,
  );
  await fleet.stop();
  assert.equal(lines.filter((line) => line.includes('"msg":"decision"')).length, 10);
  assertClean(lines);
});

test('keys of the hash policies are ids of people: only their source is told', async () => {
  const { log, lines } = memoryLog('trace');
  await using fleet = await startFleet({ log, router: { policy: 'consistent_hash' } });
  await chat(fleet, { user: PRIVATE });
  await chat(fleet, {}, { headers: { 'x-session-id': SECRET } });
  await fleet.stop();
  assert.ok(lines.some((line) => line.includes('"hash_key_source":"body:user"')));
  assertClean(lines);
});

test('workers that fail', async () => {
  const { log, lines } = memoryLog('trace');
  await using fleet = await startFleet({
    log,
    workers: [
      { faults: ['garbage'], apiKeys: [SECRET] },
      { faults: ['close:after=1'], apiKeys: [SECRET] },
    ],
    router: { apiKey: SECRET },
  });
  for (let i = 0; i < 4; i += 1)
    await (await streamChat(fleet, { messages: MESSAGES })).text().catch(() => undefined);
  await fleet.stop();
  assertClean(lines);
});

test('one access line per request, none for health checks', async () => {
  const { log, lines } = memoryLog('info');
  await using fleet = await startFleet({ log, workers: [{}] });
  await chat(fleet, {}, { headers: { 'x-request-id': 'the-one' } });
  await fetch(`${fleet.url}/health`);
  await fetch(`${fleet.url}/readiness`);
  await fleet.stop();
  const access = lines
    .map((line) => JSON.parse(line))
    .filter(({ http_method: method }) => method !== undefined);
  assert.equal(access.length, 1);
  assert.deepEqual(
    [access[0].request_id, access[0].route, access[0].status, access[0].level],
    ['the-one', '/v1/chat/completions', 200, 'info'],
  );
});

test('no access line when they are switched off', async () => {
  const { log, lines } = memoryLog('info');
  await using fleet = await startFleet({ log, workers: [{}], router: { accessLog: false } });
  await chat(fleet);
  await fleet.stop();
  assert.ok(lines.every((line) => !line.includes('http_method')));
});
