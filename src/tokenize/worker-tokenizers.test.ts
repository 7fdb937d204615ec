import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { MOST_UNDER_WAY } from './tokenizing-server.ts';
import type { TokenQuestion } from './tokens.ts';
import { WorkerTokenizers, type WorkerAnswer } from './worker-tokenizers.ts';

const RENDER = '/v1/chat/completions/render';
const CHAT: TokenQuestion = {
  ...{ model: 'm', route: 'chat', renderOnly: false },
  members: Buffer.from('{"messages":[{"role":"user","content":"a"}]}'),
};
const NO_ROUTE: WorkerAnswer = { kind: 'response', status: 404, body: Buffer.from('{"detail":"Not Found"}') };
const NO_MODEL: WorkerAnswer = {
  ...{ kind: 'response', status: 404 },
  body: Buffer.from(
    '{"error":{"message":"no such model","type":"NotFoundError","param":"model","code":404}}',
  ),
};
const ids = (text: string): WorkerAnswer => ({ kind: 'response', status: 200, body: Buffer.from(text) });

interface Asked {
  readonly worker: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
}

/** Tokenizers whose workers answer as `answers` says. */
function start(answers: (asked: Asked) => WorkerAnswer | Promise<WorkerAnswer>) {
  const clock = new VirtualClock();
  const asked: Asked[] = [];
  const tokenizers = new WorkerTokenizers<{ spec: { baseUrl: string } }>({
    clock,
    ask: async ({ spec }, { path, body }) => {
      const one = { worker: spec.baseUrl, path, body: JSON.parse(body.toString('utf8')) as Asked['body'] };
      asked.push(one);
      return answers(one);
    },
  });
  const workers = ['a', 'b'].map((baseUrl) => ({ spec: { baseUrl } }));
  const tokensOf = async (question = CHAT, among = workers): Promise<string> => {
    const tokens = await tokenizers.tokensOf(question, among);
    return tokens.kind === 'ids' ? tokens.ids.join(' ') : tokens.kind;
  };
  return { clock, asked, tokenizers, workers, tokensOf };
}

describe('workers that tokenise prompts', () => {
  it('are asked by their render route, with the model as they know it', async () => {
    const { asked, tokensOf } = start(() => ids('{"token_ids":[1,2],"features":null}'));
    assert.equal(await tokensOf(), '1 2');
    const [first] = asked;
    assert.deepEqual(
      [first?.path, first?.body],
      [RENDER, { model: 'm', messages: [{ role: 'user', content: 'a' }] }],
    );
  });

  it('are asked by /tokenize where their render route is disabled, as vLLM has it without --enable-scale-out', async () => {
    const disabled =
      '{"error":{"message":"Scale-out endpoints are disabled.","type":"PermissionDeniedError","code":403}}';
    const { asked, tokensOf, workers } = start(({ path }) =>
      path === RENDER
        ? { kind: 'response', status: 403, body: Buffer.from(disabled) }
        : ids('{"tokens":[3,4]}'),
    );
    assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), '3 4');
    assert.deepEqual(
      asked.map(({ path }) => path),
      [RENDER, '/tokenize'],
    );
  });

  it('are asked by /tokenize where they have no render route, which is remembered for a while', async () => {
    const { clock, asked, tokensOf, workers } = start(({ path }) =>
      path === RENDER ? NO_ROUTE : ids('{"count":1,"tokens":[7]}'),
    );
    const [a] = workers;
    assert.equal(await tokensOf(CHAT, [a!]), '7');
    assert.equal(await tokensOf(CHAT, [a!]), '7');
    assert.deepEqual(
      asked.map(({ path }) => path),
      [RENDER, '/tokenize', '/tokenize'],
    );
    clock.advance(600_000);
    await tokensOf(CHAT, [a!]);
    assert.deepEqual(
      asked.slice(3).map(({ path }) => path),
      [RENDER, '/tokenize'],
    );
  });

  it('get what a template is given beside the chat in its place of /tokenize', async () => {
    const { asked, tokensOf } = start(({ path }) => (path === RENDER ? NO_ROUTE : ids('{"tokens":[7]}')));
    const members =
      '{"documents":[{"text":"d"}],"messages":[],"reasoning_effort":"low","chat_template_kwargs":{"x":1}}';
    await tokensOf({ ...CHAT, members: Buffer.from(members) });
    assert.deepEqual(asked.at(-1)?.body, {
      ...{ model: 'm', messages: [] },
      chat_template_kwargs: {
        ...{ x: 1, documents: [{ text: 'd' }], reasoning_effort: 'low', enable_thinking: true },
      },
    });
  });

  it('are as busy as before where what is to be asked is nested too deeply to be written', async () => {
    const { tokensOf, workers } = start(({ path }) => (path === RENDER ? NO_ROUTE : ids('{"tokens":[7]}')));
    const only = workers.slice(0, 1);
    const nested = '['.repeat(20_000) + ']'.repeat(20_000);
    const deep = { ...CHAT, members: Buffer.from(`{"documents":${nested},"messages":[]}`) };
    for (let i = 0; i <= MOST_UNDER_WAY; i++) assert.equal(await tokensOf(deep, only), 'refused');
    assert.equal(await tokensOf(CHAT, only), '7');
  });

  it('are not asked by /tokenize for what it does not know', async () => {
    const { asked, tokensOf } = start(() => NO_ROUTE);
    assert.equal(await tokensOf({ ...CHAT, renderOnly: true }), 'unoffered');
    assert.equal(await tokensOf({ ...CHAT, route: 'messages', renderOnly: true }), 'unoffered');
    assert.ok(asked.every(({ path }) => path.endsWith('/render')));
  });

  it('are told a limit that Anthropic’s API wants', async () => {
    const { asked, tokensOf } = start(() => ids('{"token_ids":[1]}'));
    assert.equal(await tokensOf({ ...CHAT, route: 'messages', renderOnly: true }), '1');
    assert.equal(asked[0]?.body['max_tokens'], 1);
  });

  it('that do not know the model have the route all the same', async () => {
    const { asked, tokensOf, workers } = start(() => NO_MODEL);
    assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'refused');
    assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'refused');
    assert.deepEqual(
      asked.map(({ path }) => path),
      [RENDER, RENDER],
    );
  });

  it('have four questions under way at most each, the least busy one first', async () => {
    const waiting: (() => void)[] = [];
    const { asked, tokensOf } = start(
      () =>
        new Promise((resolve) => {
          waiting.push(() => {
            resolve(ids('{"token_ids":[1]}'));
          });
        }),
    );
    const questions = Array.from({ length: 2 * MOST_UNDER_WAY }, () => tokensOf());
    assert.equal(asked.filter(({ worker }) => worker === 'a').length, MOST_UNDER_WAY);
    assert.equal(await tokensOf(), 'busy');
    for (const answer of waiting.splice(0)) answer();
    assert.deepEqual(new Set(await Promise.all(questions)), new Set(['1']));
    void tokensOf();
    assert.equal(asked.length, 2 * MOST_UNDER_WAY + 1);
  });

  it('that fail three times in a row are left alone, for longer and longer, until one answers', async () => {
    let answer: WorkerAnswer = { kind: 'failed' };
    const { clock, asked, tokensOf, workers } = start(() => answer);
    const only = workers.slice(0, 1);
    for (let i = 0; i < 3; i++) assert.equal(await tokensOf(CHAT, only), 'failed');
    assert.equal(await tokensOf(CHAT, only), 'busy');
    clock.advance(1_000);
    assert.equal(await tokensOf(CHAT, only), 'failed');
    clock.advance(1_000);
    assert.equal(await tokensOf(CHAT, only), 'busy');
    clock.advance(1_000);
    answer = ids('{"token_ids":[1]}');
    assert.equal(await tokensOf(CHAT, only), '1');
    answer = { kind: 'failed' };
    assert.equal(await tokensOf(CHAT, only), 'failed');
    assert.equal(await tokensOf(CHAT, only), 'failed');
    assert.equal(asked.length, 7);
  });

  it('that take too long for a long prompt are asked for shorter ones all the same, and others for the long ones', async () => {
    let slow = 'a';
    const { clock, asked, tokensOf } = start(({ worker, body }) =>
      worker === slow && JSON.stringify(body).length > 40_000 ? { kind: 'late' } : ids('{"token_ids":[1]}'),
    );
    const long = { ...CHAT, members: Buffer.from(JSON.stringify({ prompt: 'a'.repeat(50_000) })) };
    assert.deepEqual(await Promise.all([tokensOf(long), tokensOf(long)]), ['failed', '1']);
    asked.length = 0;
    for (let i = 0; i < 4; i++) assert.equal(await tokensOf(long), '1');
    assert.ok(asked.every(({ worker }) => worker === 'b'));
    for (let i = 0; i < 4; i++) assert.equal(await tokensOf(), '1');
    assert.ok(asked.some(({ worker }) => worker === 'a'));
    // Both now.
    slow = 'b';
    assert.equal(await tokensOf(long), 'failed');
    assert.equal(await tokensOf(long), 'slow');
    clock.advance(1_000);
    assert.equal(await tokensOf(long), '1');
  });

  it('that take too long for short prompts have failed', async () => {
    const { tokensOf, workers } = start(() => ({ kind: 'late' }));
    for (let i = 0; i < 3; i++) assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'failed');
    assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'busy');
  });

  for (const [what, answer] of [
    ['what is no JSON', ids('<html>')],
    ['no ids', ids('{"token_ids":"many"}')],
    ['what is no id', ids('{"token_ids":[1,-1]}')],
    ['fractions', ids('{"token_ids":[1.5]}')],
    ['two prompts', ids('[{"token_ids":[1]},{"token_ids":[2]}]')],
    ['a list of a prompt and more', ids('[{"token_ids":[1]},1]')],
    ['what is cut off', ids('{"token_ids":[1')],
    ['ids of more digits than there are tokens', ids('{"token_ids":[12345678901]}')],
    ['pictures', ids('{"token_ids":[1],"features":{"mm_hashes":{}}}')],
    ['an error', { kind: 'response', status: 500, body: Buffer.alloc(0) }],
  ] as const)
    it(`that answer ${what} have failed`, async () => {
      const { tokensOf, workers } = start(() => answer);
      for (let i = 0; i < 3; i++) assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'failed');
      assert.equal(await tokensOf(CHAT, workers.slice(0, 1)), 'busy');
    });

  it('that begin anew are asked for everything again', async () => {
    let answer: WorkerAnswer = NO_ROUTE;
    const { tokenizers, tokensOf, workers } = start(() => answer);
    const only = workers.slice(0, 1);
    assert.equal(await tokensOf(CHAT, only), 'unoffered');
    answer = ids('{"token_ids":[1]}');
    assert.equal(await tokensOf(CHAT, only), 'unoffered');
    tokenizers.reset(only[0]!);
    assert.equal(await tokensOf(CHAT, only), '1');
  });

  it('nobody is no trouble', async () => {
    const { tokensOf } = start(() => NO_ROUTE);
    assert.equal(await tokensOf(CHAT, []), 'unoffered');
  });
});
