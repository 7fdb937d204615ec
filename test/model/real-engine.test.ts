/**
 * A real engine (llama.cpp) behind the router, with a tiny model made up on the spot: real tokens, a real KV cache with
 * prefix reuse, a real context limit and real slow-down under load.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import OpenAI, { BadRequestError } from 'openai';
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import type { RouterOptions } from '../../src/config/load/options.ts';
import type { PolicyName } from '../../src/config/schema/policy-schema.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { MODEL, startEngineServer, type EngineServer } from './engine-server.ts';
import { LoadedModel, type EngineOptions } from './engine.ts';
import { installEngine } from './install-engine.ts';

const installed = await installEngine();
const skip = installed.kind === 'absent' ? installed.reason : false;
if (skip !== false) process.stderr.write(`skipped, no real engine: ${skip}\n`);

suite('a real engine behind the router', { skip, timeout: 60_000 }, () => {
  let loaded: LoadedModel;

  before(async () => {
    assert.equal(installed.kind, 'installed');
    loaded = await LoadedModel.load(installed.entry);
  });
  after(async () => {
    await loaded[Symbol.asyncDispose]();
  });

  /** Two engines, each with a cold cache of its own, and a router in front of them. */
  async function startEngines(
    options: { engine?: Partial<EngineOptions>; router?: Omit<RouterOptions, 'workerUrls'> } = {},
  ): Promise<Engines> {
    const engine = { contextSize: 1024, sequences: 2, ...options.engine };
    const servers = [await startEngineServer(loaded, engine), await startEngineServer(loaded, engine)];
    const fleet = await startFleet({
      workers: [],
      extraWorkerUrls: servers.map(({ url }) => url),
      router: options.router ?? {},
    });
    return {
      servers,
      fleet,
      routed: clientOf(fleet.url),
      async [Symbol.asyncDispose]() {
        try {
          await fleet.stop();
        } finally {
          for (const server of servers) await server[Symbol.asyncDispose]();
        }
      },
    };
  }

  test('what it says through the router is what it says directly, in one piece and as a stream', async () => {
    await using engines = await startEngines();
    const { routed, servers } = engines;
    const body = { model: MODEL, messages: said('Tell me about routers.'), max_completion_tokens: 48 };
    const direct = await clientOf(servers[0]!.url).chat.completions.create(body);
    const text = direct.choices[0]!.message.content;
    assert.ok(text !== null && text.length >= 48);

    const whole = await routed.chat.completions.create(body);
    assert.equal(whole.choices[0]!.message.content, text);
    assert.equal(whole.usage?.prompt_tokens, direct.usage?.prompt_tokens);

    const stream = await routed.chat.completions.create({
      ...body,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.ok(chunks.length > 48, 'a chunk for each token');
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), text);
    const usage = chunks.at(-1)?.usage;
    assert.equal(usage?.prompt_tokens, direct.usage?.prompt_tokens);
    assert.equal(usage?.completion_tokens, 48);

    const { prompt_tokens, completion_tokens, tokens_estimated } = await engines.fleet.decision();
    assert.deepEqual(
      { prompt_tokens, completion_tokens, tokens_estimated },
      { prompt_tokens: direct.usage?.prompt_tokens, completion_tokens: 48, tokens_estimated: undefined },
    );
  });

  test('completions and embeddings pass unchanged', async () => {
    await using engines = await startEngines();
    const direct = clientOf(engines.servers[1]!.url);
    const { routed } = engines;
    const prompt = { model: MODEL, prompt: 'Once upon a time', max_tokens: 32 };
    const expected = await direct.completions.create(prompt);
    const completion = await routed.completions.create(prompt);
    assert.equal(completion.choices[0]?.text, expected.choices[0]?.text);

    const input = { model: MODEL, input: ['a sentence', 'another one'] };
    const vectors = (await routed.embeddings.create(input)).data.map(({ embedding }) => embedding);
    const expectedVectors = (await direct.embeddings.create(input)).data.map(({ embedding }) => embedding);
    assert.deepEqual(vectors, expectedVectors);
    assert.equal(vectors[0]?.length, 64);
    assert.notDeepEqual(vectors[0], vectors[1]);
  });

  test('many streams at once: each gets its own answer, and every engine works', async () => {
    await using engines = await startEngines({ router: { policy: 'power_of_two' } });
    const { routed, servers, fleet } = engines;
    const questions = Array.from({ length: 12 }, (_, index) => `Question ${index}: what is ${index * 7}?`);
    const direct = clientOf(servers[0]!.url);
    const expected: string[] = [];
    for (const question of questions) expected.push(await streamed(direct, question));
    const before = servers.map(({ engine }) => engine.stats.finished);

    const answers = await Promise.all(questions.map((question) => streamed(routed, question)));
    assert.deepEqual(answers, expected);
    assert.equal(new Set(answers).size, questions.length);
    const served = servers.map(({ engine }, index) => engine.stats.finished - before[index]!);
    assert.equal(served[0]! + served[1]!, questions.length);
    assert.ok(Math.min(...served) >= 3, `requests per engine: ${served.join(', ')}`);
    assert.equal(fleet.app.runtime.ledger.openLeases, 0);
  });

  test('a prompt beyond the context is the engine’s 400, not tried elsewhere and not held against it', async () => {
    await using engines = await startEngines({ engine: { contextSize: 256 } });
    const { routed, servers, fleet } = engines;
    const body = { model: MODEL, messages: said('Much to say. '.repeat(50)), max_completion_tokens: 16 };
    const expected = await failure(clientOf(servers[0]!.url).chat.completions.create(body));
    const error = await failure(routed.chat.completions.create(body));
    assert.match(error.message, /maximum context length is 256 tokens/);
    assert.deepEqual(error.error, expected.error);
    const decision = await fleet.decision();
    assert.equal(decision.status, 400);
    assert.equal(decision.attempts.length, 1);
    assert.doesNotMatch(await fleet.metrics(), /vllm_router_cb_outcomes_total\{.*outcome="failure"\} [1-9]/);
  });

  test('a client that leaves stops the generation', async () => {
    await using engines = await startEngines({
      engine: { contextSize: 2048 },
      router: { policy: 'round_robin' },
    });
    const { routed, servers, fleet } = engines;
    const stream = await routed.chat.completions.create({
      model: MODEL,
      messages: said('Do not stop.'),
      max_completion_tokens: 2000,
      stream: true,
    });
    const ended = Promise.race(servers.map(({ events }) => once(events, 'ended')));
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    const [{ how, generatedTokens }] = await ended;
    assert.equal(how, 'aborted');
    assert.ok(generatedTokens < 2000, `${generatedTokens} tokens were generated`);
    await eventually(() => fleet.app.runtime.ledger.openLeases === 0);
    assert.equal((await fleet.decision()).outcome, 'client_abort');
    // The place in the engine is free again.
    for (const server of servers) await eventually(() => server.engine.stats.running === 0);
    await Promise.all([streamed(routed, 'Still there?'), streamed(routed, 'And you?')]);
  });

  test('cache_aware and least_work find the caches that round_robin misses, and the record says by how much', async () => {
    const blind = await cachedShare('round_robin');
    for (const policy of ['cache_aware', 'least_work'] as const) {
      const { share, laterTurns } = await cachedShare(policy);
      assert.ok(share > 0.5, `${policy}: ${share}`);
      assert.ok(share > 2 * blind.share, `${policy}: ${share}, round_robin: ${blind.share}`);
      // From the second turn on the router foresaw, to a block of 16, what the engine then found, which counts single tokens.
      for (const { predicted, actual } of laterTurns)
        assert.ok(Math.abs(predicted - actual) <= 16, `predicted ${predicted}, actual ${actual}`);
    }
  });

  /** Three chats, turn by turn: the part of their prompts' tokens that the engines had in their caches. */
  async function cachedShare(policy: PolicyName): Promise<CachedShare> {
    await using engines = await startEngines({ router: { policy } });
    const chats = ['ships', 'birds', 'clocks'].map((topic) =>
      said(`I want to know all about ${topic}. `.repeat(12)),
    );
    const laterTurns: { predicted: number; actual: number }[] = [];
    let promptTokens = 0;
    let cachedTokens = 0;
    for (let turn = 0; turn < 4; turn += 1) {
      for (const messages of chats) {
        const answer = await engines.routed.chat.completions
          .create({ model: MODEL, messages, max_completion_tokens: 24 })
          .withResponse();
        const { usage, choices } = answer.data;
        const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
        promptTokens += usage?.prompt_tokens ?? 0;
        cachedTokens += cached;
        const id = answer.response.headers.get('x-request-id');
        const decision = await engines.fleet.decision(({ request_id }) => request_id === id);
        assert.equal(decision.actual_cached_tokens, cached);
        if (turn > 0) laterTurns.push({ predicted: decision.predicted_cached_tokens ?? 0, actual: cached });
        messages.push({ role: 'assistant', content: choices[0]?.message.content ?? '' });
        messages.push({ role: 'user', content: 'Go on, please.' });
      }
    }
    return { share: cachedTokens / promptTokens, laterTurns };
  }
});

interface Engines extends AsyncDisposable {
  readonly servers: readonly EngineServer[];
  readonly fleet: Fleet;
  /** A client of the router. */
  readonly routed: OpenAI;
}

interface CachedShare {
  readonly share: number;
  readonly laterTurns: readonly { readonly predicted: number; readonly actual: number }[];
}

function clientOf(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
}

function said(text: string): ChatCompletionMessageParam[] {
  return [{ role: 'user', content: text }];
}

async function streamed(client: OpenAI, question: string): Promise<string> {
  const body = { model: MODEL, messages: said(question), max_completion_tokens: 40, stream: true } as const;
  let text = '';
  for await (const chunk of await client.chat.completions.create(body))
    text += chunk.choices[0]?.delta.content ?? '';
  return text;
}

async function failure(request: Promise<unknown>): Promise<BadRequestError> {
  const error = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof BadRequestError, String(error));
  return error;
}
