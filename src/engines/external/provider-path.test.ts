import assert from 'node:assert/strict';
import { test } from 'node:test';
import { providerPath } from './provider-path.ts';

const PLAIN = { deployments: false, apiVersion: undefined };
const AZURE = { deployments: true, apiVersion: '2024-10-21' };
const CHAT = '/v1/chat/completions';

test('a base URL without a path gets the path of the API, one with a path stands in the place of /v1', () => {
  assert.equal(providerPath(CHAT, 'https://api.example.com', PLAIN, 'm'), CHAT);
  assert.equal(providerPath(CHAT, 'https://api.example.com/v1', PLAIN, 'm'), '/chat/completions');
  assert.equal(providerPath(CHAT, 'https://host/api/v1', PLAIN, 'm'), '/chat/completions');
  assert.equal(providerPath(CHAT, 'unix:///run/p.sock', PLAIN, 'm'), CHAT);
  assert.equal(providerPath('/v1/responses/r1?after=2', 'https://h/v1', PLAIN, ''), '/responses/r1?after=2');
});

test("Azure's version goes with every request in the place of the client's own, and the model is a deployment", () => {
  const base = 'https://res.example.com/openai';
  assert.equal(
    providerPath(`${CHAT}?api-version=1&x=2`, base, AZURE, 'gpt 4/o'),
    '/deployments/gpt%204%2Fo/chat/completions?x=2&api-version=2024-10-21',
  );
  assert.equal(providerPath('/v1/responses/r1', base, AZURE, ''), '/responses/r1?api-version=2024-10-21');
});

test('a model cannot climb out of the path', () => {
  for (const model of ['.', '..']) assert.equal(providerPath(CHAT, 'https://h/o', AZURE, model), undefined);
  const path = providerPath(CHAT, 'https://h/o', AZURE, '../../admin') ?? '';
  assert.equal(new URL(path, 'https://h').pathname.split('/').length, CHAT.split('/').length + 1);
});

test('what may be a key in the query of a client goes to nobody else, however it is spelt', () => {
  const target = `${CHAT}?key=a&api%5Fkey=b&Access_Token=c&limit=3&&x`;
  assert.equal(providerPath(target, 'https://h/v1', PLAIN, 'm'), '/chat/completions?limit=3&x');
  assert.equal(
    providerPath(`${CHAT}?%E0%A4%A=1`, 'https://h/v1', PLAIN, 'm'),
    '/chat/completions?%E0%A4%A=1',
  );
});
