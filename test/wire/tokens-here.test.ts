/** Prompts that the router tokenises itself, as long as its workers do it the same way. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CHAT_FEATURES } from '../../src/tokenize/local/local-chat.ts';
import { LocalTokenizer } from '../../src/tokenize/local/local-tokenizer.ts';
import { adminOf } from '../support/admin.ts';
import { chat, post } from '../support/chat.ts';
import { eventually, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';
import { startRouter } from '../support/scripted-worker.ts';
import { startTokenizingWorker } from '../support/tokenizing-worker.ts';
import { copyOfTokenizer, hostileTokenizer, tokenizerFolder } from '../support/tokenizers.ts';

/** What `/workers` says of the tokenizer for each of them, once nothing is compared any more. */
async function localStates(fleet: Fleet): Promise<readonly (string | undefined)[]> {
  const admin = adminOf(fleet);
  let states: (string | undefined)[] = [];
  let isSettled = false;
  while (!isSettled) {
    const { body } = await admin('GET', '/workers');
    // As `workerView` has it.
    const workers = body.workers as { tokenizers: { local: string; reason: string | null }[] }[];
    states = workers.map(({ tokenizers: [first] }) => first && `${first.local} ${first.reason ?? ''}`.trim());
    isSettled = states.length > 0 && states.every((state) => state !== undefined && state !== 'proving');
  }
  return states;
}

async function sourceOf(fleet: Fleet, fields: object = {}): Promise<string | undefined> {
  await (await chat(fleet, fields)).json();
  return (await fleet.decision()).tokens_source;
}

const user = (content: string): object => ({ messages: [{ role: 'user', content }] });

test('a tokenizer that is the workers’ own is used, and they are not asked', async () => {
  await using one = await startTokenizingWorker(tokenizerFolder('chatml'));
  await using other = await startTokenizingWorker(tokenizerFolder('chatml'));
  await using fleet = await startRouter([one, other], {
    router: { exactTokens: 'always', tokenizerPath: tokenizerFolder('chatml') },
  });
  assert.deepEqual(await localStates(fleet), ['proven', 'proven']);
  const before = one.received.length + other.received.length;
  assert.equal(await sourceOf(fleet, user('Größe 你好')), 'local');
  assert.equal(await sourceOf(fleet, user('Größe 你好')), 'cache');
  await (await post(fleet, '/v1/completions', { model: 'sim-model', prompt: 'Once', max_tokens: 1 })).json();
  assert.equal((await fleet.decision()).tokens_source, 'local');
  assert.equal(one.received.length + other.received.length, before + 3);
  // What it cannot be sure of is the worker's to say.
  const tools = [{ type: 'function', function: { name: 'f', parameters: { minimum: 0 } } }];
  assert.equal(await sourceOf(fleet, { ...user('a'), tools }), 'local');
  const body = JSON.stringify({ model: 'sim-model', ...user('a'), tools }).replace(
    '"minimum":0',
    '"minimum":1.0',
  );
  const headers = { 'content-type': 'application/json' };
  await (await fetch(`${fleet.url}/v1/chat/completions`, { method: 'POST', body, headers })).json();
  assert.notEqual((await fleet.decision()).tokens_source, 'local');
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_helper_threads', { thread: 'text' }), 1);
  assert.equal(metrics.sum('vllm_router_tokenize_total', { source: 'local', outcome: 'found' }), 3);
  assert.equal(metrics.sum('vllm_router_tokenize_total', { source: 'local', outcome: 'unsure' }), 1);
  assert.equal(metrics.sum('vllm_router_local_tokenizers', { state: 'proven' }), 2);
});

test('one that differs is not used: the workers are asked, and everybody can see why', async () => {
  await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
  await using fleet = await startRouter([worker], {
    router: { exactTokens: 'always', tokenizerPath: tokenizerFolder('inst') },
  });
  const [state] = await localStates(fleet);
  assert.match(state ?? '', /^differs .*token 0 is \d+, the worker's is \d+/);
  assert.equal(await sourceOf(fleet), 'worker');
});

test('a worker that counts otherwise than it tokenises is compared again, and told of', async () => {
  await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
  await using fleet = await startRouter([worker], {
    router: { exactTokens: 'always', tokenizerPath: tokenizerFolder('chatml') },
  });
  assert.deepEqual(await localStates(fleet), ['proven']);
  const honest = worker.answer;
  // Another model has taken its place.
  const other = LocalTokenizer.read(tokenizerFolder('inst'));
  worker.answer = (response, request) => {
    if (request.url.startsWith('/v1/') && !request.url.endsWith('/render')) {
      const usage = { prompt_tokens: 3, completion_tokens: 1 };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: 'x', choices: [], usage }));
      return;
    }
    if (request.url !== '/tokenize') {
      honest(response, request);
      return;
    }
    const result = other.tokensOf({
      ...{
        identity: '',
        members: request.body,
        format: 'string',
        features: CHAT_FEATURES,
        route: 'completion',
      },
    });
    if (result.kind !== 'ids') honest(response, request);
    else response.end(JSON.stringify({ tokens: [...result.ids] }));
  };
  assert.equal(await sourceOf(fleet, user('Größe 你好')), 'local');
  assert.match((await localStates(fleet))[0] ?? '', /^differs/);
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum('vllm_router_prompt_tokens_contradicted_total', { source: 'local' }), 1);
});

test('one that cannot be read is not used, and is read again at a reload', async (t) => {
  const folder = copyOfTokenizer(t, 'chatml');
  await using worker = await startTokenizingWorker(folder);
  writeFileSync(`${folder}/tokenizer_config.json`, '{');
  await using fleet = await startRouter([worker], {
    router: { exactTokens: 'always', tokenizerModelMap: { sim: folder } },
    reloadable: true,
  });
  assert.match((await localStates(fleet))[0] ?? '', /^unreadable tokenizer_config\.json is no JSON$/);
  assert.equal(await sourceOf(fleet), 'worker');
  writeFileSync(`${folder}/tokenizer_config.json`, '{"eos_token":"<|im_end|>"}');
  assert.equal((await adminOf(fleet)('POST', '/admin/reload')).status, 200);
  // What was found before stands until the files have been read.
  while ((await localStates(fleet))[0] !== 'proven');
  assert.equal(await sourceOf(fleet, user('again')), 'local');
});

test('a prompt that a tokenizer takes for ever over is the worker’s, and the thread is replaced', async (t) => {
  const folder = hostileTokenizer(t);
  await using worker = await startTokenizingWorker(folder);
  await using fleet = await startRouter([worker], {
    router: { exactTokens: 'always', tokenizerPath: folder, tokenizeTimeoutMs: 50 },
  });
  assert.deepEqual(await localStates(fleet), ['proven']);
  // The scripted worker would take as long: it is not asked for a prompt, but for ids of its own.
  const prompt = 'a'.repeat(64);
  worker.answer = (response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"tokens":[1],"choices":[]}');
  };
  const response = await post(fleet, '/v1/completions', { model: 'sim-model', prompt, max_tokens: 1 });
  assert.equal(response.status, 200);
  await response.json();
  const decision = await fleet.decision();
  assert.equal(decision.tokens_source, 'estimate');
  assert.ok((decision.tokenize_ms ?? 0) < 1_000, String(decision.tokenize_ms));
  let ends = 0;
  while (ends === 0)
    ends = (await scrape(fleet)).sum('vllm_router_helper_thread_ends_total', {
      thread: 'text',
      cause: 'over_time',
    });
  assert.equal(ends, 1);
});

test('no thread is begun, and nobody asked, where no tokenizer is configured', async () => {
  await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
  await using fleet = await startRouter([worker]);
  await (await chat(fleet)).json();
  await eventually(() => fleet.app.openJobs === 0);
  assert.ok(worker.received.every(({ url }) => url === '/v1/chat/completions'));
  assert.equal((await scrape(fleet)).sum('vllm_router_helper_threads'), 0);
});
