/** The official clients with keys of tenants: what they are told, what they throw, and how long they wait. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import Anthropic, * as anthropicErrors from '@anthropic-ai/sdk';
import OpenAI, * as openaiErrors from 'openai';
import { VirtualClock } from '../../src/base/virtual-clock.ts';
import { run } from '../programs.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { collect, MODEL, rejection, user } from './clients.ts';
import { installPythonClient } from './install-python-client.ts';

const CHAT = { model: MODEL, messages: user('Tell me about routers.'), max_tokens: 8 };
const KEYS = [
  { name: 'blue', key: 'sk-blue', rateLimitRps: 2, tokensPerMinute: 5000 },
  { name: 'narrow', key: 'sk-narrow', allowedModels: ['other'] },
  { name: 'off', key: 'sk-off', enabled: false },
];

const startTenants = (): Promise<Fleet> =>
  startFleet({ workers: [{}], clock: new VirtualClock(), router: { apiKeys: KEYS } });

function openai(fleet: Fleet, apiKey: string, maxRetries = 0): OpenAI {
  return new OpenAI({ baseURL: `${fleet.url}/v1`, apiKey, maxRetries });
}

function anthropic(fleet: Fleet, more: ConstructorParameters<typeof Anthropic>[0]): Anthropic {
  return new Anthropic({ baseURL: fleet.url, maxRetries: 0, ...more });
}

test('openai: chats, streams and lists with a tenant’s key, and sees where it stands', async () => {
  await using fleet = await startTenants();
  const client = openai(fleet, 'sk-blue');
  const { data, response } = await client.chat.completions.create(CHAT).withResponse();
  assert.ok(data.choices[0]?.message.content);
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '2');
  assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '1');
  assert.equal(response.headers.get('x-ratelimit-limit-tokens'), '5000');
  const chunks = await collect(await client.chat.completions.create({ ...CHAT, stream: true }));
  // It did not ask for the usage, so every chunk has a choice.
  assert.ok(chunks.every(({ choices, usage }) => choices.length === 1 && !usage));
  const blue = fleet.app.runtime.clients.tenants.named('blue');
  await eventually(() => blue?.inFlight === 0);
  assert.equal((await fleet.decision(({ stream }) => stream)).tokens_estimated, undefined);
});

test('openai: errors of the right class, with code and retry-after', async () => {
  await using fleet = await startTenants();
  const ask = (key: string): Promise<unknown> => openai(fleet, key).chat.completions.create(CHAT);
  const unknown = await rejection(ask('sk-nobody'), openaiErrors.AuthenticationError);
  assert.equal(unknown.code, 'invalid_api_key');
  const off = await rejection(ask('sk-off'), openaiErrors.PermissionDeniedError);
  assert.equal(off.code, 'key_disabled');
  const narrow = await rejection(ask('sk-narrow'), openaiErrors.PermissionDeniedError);
  assert.deepEqual([narrow.code, narrow.param], ['model_not_allowed', 'model']);
  await ask('sk-blue');
  await ask('sk-blue');
  const fast = await rejection(ask('sk-blue'), openaiErrors.RateLimitError);
  assert.deepEqual([fast.code, fast.type], ['rate_limit_exceeded', 'rate_limit_error']);
  assert.equal(fast.headers.get('retry-after'), '1');
  assert.match(fast.message, /2 requests per second/);
});

test('openai: waits as long as it is told, and does not try again what can never be', async () => {
  const clock = new VirtualClock();
  await using fleet = await startFleet({ workers: [{}], clock, router: { apiKeys: KEYS } });
  const client = openai(fleet, 'sk-blue', 1);
  await client.chat.completions.create(CHAT);
  await client.chat.completions.create(CHAT);
  const blue = fleet.app.runtime.clients.tenants.named('blue');
  const from = performance.now();
  const third = client.chat.completions.create(CHAT);
  await eventually(() => blue?.totalRateLimited === 1);
  clock.advance(1000);
  assert.ok((await third).choices[0]);
  assert.ok(performance.now() - from > 950);
  clock.advance(1000);
  const huge = client.chat.completions.create({ ...CHAT, max_completion_tokens: 100_000 });
  const error = await rejection(huge, openaiErrors.RateLimitError);
  assert.equal(error.code, 'tokens_exceeded');
  assert.equal(blue?.totalRateLimited, 2);
});

test('anthropic: with x-api-key and with a bearer token, errors of the right class', async () => {
  await using fleet = await startTenants();
  const ask = (client: Anthropic) => client.messages.create(CHAT);
  const { data, response } = await ask(anthropic(fleet, { apiKey: 'sk-blue' })).withResponse();
  assert.equal(data.type, 'message');
  assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '1');
  assert.equal((await ask(anthropic(fleet, { apiKey: null, authToken: 'sk-blue' }))).type, 'message');
  const fast = await rejection(ask(anthropic(fleet, { apiKey: 'sk-blue' })), anthropicErrors.RateLimitError);
  assert.equal(fast.headers.get('retry-after'), '1');
  assert.match(fast.message, /rate_limit_error/);
  await rejection(ask(anthropic(fleet, { apiKey: 'sk-x' })), anthropicErrors.AuthenticationError);
  await rejection(ask(anthropic(fleet, { apiKey: 'sk-narrow' })), anthropicErrors.PermissionDeniedError);
});

const python = await installPythonClient();
const skip = python.kind === 'absent' ? python.reason : false;

test('the openai package for Python: the same classes', { skip, timeout: 60_000 }, async () => {
  assert.equal(python.kind, 'installed');
  await using fleet = await startTenants();
  const script = join(import.meta.dirname, 'python_tenant.py');
  const env = { NO_PROXY: '127.0.0.1', PYTHONDONTWRITEBYTECODE: '1' };
  const ended = await run(python.python, [script, fleet.url], { cwd: import.meta.dirname, env });
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(JSON.parse(ended.stdout), {
    unknown: ['AuthenticationError', 401, 'invalid_api_key', null],
    disabled: ['PermissionDeniedError', 403, 'key_disabled', null],
    narrow: ['PermissionDeniedError', 403, 'model_not_allowed', null],
    models: [],
    remaining: ['1', '0'],
    fast: ['RateLimitError', 429, 'rate_limit_exceeded', '1'],
  });
});
