import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { semanticQuestion, type Compared } from './semantic-question.ts';

const user = (content: unknown): object => ({ role: 'user', content });

function asked(
  body: object,
  more: { target?: string; model?: string; scope?: string; compared?: Compared } = {},
) {
  const { target = '/v1/chat/completions', model = 'm', scope = '', compared = 'last_message' } = more;
  return semanticQuestion(
    { target, model, scope, body: Buffer.from(JSON.stringify(body)) },
    body as Record<string, unknown>,
    compared,
  );
}

const partition = (...of: Parameters<typeof asked>): string | undefined => asked(...of)?.partition;

describe('what is compared by meaning', () => {
  const base = { messages: [{ role: 'system', content: 's' }, user('a')], temperature: 0 };

  it('is the last message, and all else is in the partition', () => {
    assert.equal(asked(base)?.text, 'a');
    const own = partition(base);
    assert.equal(partition({ ...base, messages: [base.messages[0], user('b')] }), own);
    assert.equal(partition({ ...base, user: 'x', stream: true }), own);
    for (const other of [
      partition({ ...base, messages: [user('a')] }),
      partition({ ...base, messages: [{ role: 'system', content: 't' }, user('a')] }),
      partition({ ...base, temperature: 1 }),
      partition({ ...base, messages: [base.messages[0], { ...user('a'), name: 'x' }] }),
      partition(base, { model: 'n' }),
      partition(base, { scope: 'tenant:x' }),
      partition(base, { target: '/v1/chat/completions?x=1' }),
    ])
      assert.notEqual(other, own);
  });

  it('takes text parts for their text, and pictures for themselves', () => {
    const parts = (text: string, url: string): object => ({
      messages: [
        user([
          { type: 'text', text },
          { type: 'image_url', image_url: { url } },
        ]),
      ],
    });
    assert.equal(asked(parts('a', 'x'))?.text, 'a');
    assert.equal(partition(parts('a', 'x')), partition(parts('b', 'x')));
    assert.notEqual(partition(parts('a', 'x')), partition(parts('a', 'y')));
  });

  it('takes numbers as they are spelt', () => {
    const made = (order: string): string | undefined => {
      const json = `{"messages":[{"role":"assistant","order":${order}},{"role":"user","content":"1"}],"temperature":0}`;
      const question = { target: '/', model: 'm', scope: '', body: Buffer.from(json) };
      return semanticQuestion(question, JSON.parse(json) as Record<string, unknown>, 'last_message')
        ?.partition;
    };
    assert.equal(made('9007199254740993'), made('9007199254740993'));
    const spelt = [
      '9007199254740993',
      '9007199254740992',
      '9007199254740992.0',
      '"9007199254740992"',
      'null',
    ];
    assert.equal(new Set(spelt.map(made)).size, spelt.length);
  });

  it('is all messages where that is wished, and only their roles are in the partition', () => {
    const compared = 'all_messages';
    const said = (first: string, last: string): object => ({
      messages: [user(first), { role: 'assistant', content: 'x' }, user(last)],
    });
    assert.equal(asked(said('a', 'b'), { compared })?.text, 'a\nx\nb');
    assert.equal(partition(said('a', 'b'), { compared }), partition(said('c', 'd'), { compared }));
    assert.notEqual(
      partition({ messages: [user('a')] }, { compared }),
      partition(said('a', 'b'), { compared }),
    );
  });

  it('is the prompt of a completion, and no other member that looks like one', () => {
    const target = '/v1/completions';
    assert.equal(asked({ prompt: 'a', input: 'b' }, { target })?.text, 'a');
    assert.equal(partition({ prompt: 'a' }, { target }), partition({ prompt: 'b' }, { target }));
    assert.notEqual(
      partition({ prompt: 'a', suffix: 'x' }, { target }),
      partition({ prompt: 'a' }, { target }),
    );
    assert.equal(asked({ input: 'b' }, { target }), undefined);
  });

  it('is nothing where a chat ends otherwise, or the body has no one meaning', () => {
    assert.equal(asked({ messages: [user('a'), { role: 'assistant', content: 'b' }] }), undefined);
    assert.equal(asked({ messages: [user('a'), { role: 'tool', content: 'b' }] }), undefined);
    assert.equal(asked({ prompt: [1, 2] }), undefined);
    const body = Buffer.from('{"prompt":"a","n":1,"n":2}');
    assert.equal(
      semanticQuestion({ target: '/', model: 'm', scope: '', body }, { prompt: 'a', n: 2 }, 'last_message'),
      undefined,
    );
  });
});
