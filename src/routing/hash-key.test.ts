import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_HASH_KEY } from '../config/settings/settings.ts';
import type { HashKey } from './policy.ts';
import { FreshIdWatch, parseHashKeySource, readHashKey, type HashKeySource } from './hash-key.ts';

const sources = DEFAULT_HASH_KEY.map((text) => {
  const source = parseHashKeySource(text);
  assert.ok(source, text);
  return source;
});

function read(
  headers: Record<string, string>,
  body: unknown = {},
  from: readonly HashKeySource[] = sources,
): HashKey {
  return readHashKey(
    from,
    (name) => headers[name],
    (path) =>
      path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], body),
    () => 'fingerprint',
  );
}

describe('readHashKey', () => {
  it('takes the first source of the list that has a value', () => {
    const headers = {
      'x-semantic-cluster-id': 'c',
      'x-session-id': 's',
      'x-user-id': 'u',
      'x-tenant-id': 't',
      'x-correlation-id': 'co',
      'x-request-id': 'r',
      'x-trace-id': 'tr',
    };
    const body = { session_params: { session_id: 'bs' }, user: 'bu', session_id: 'bsi', user_id: 'bui' };
    const order: string[] = [];
    for (;;) {
      const key = read(headers, body);
      order.push(key.source);
      if (key.source === 'prompt') break;
      const [kind, path] = key.source.split(':') as [string, string];
      if (kind === 'header') delete (headers as Record<string, string>)[path];
      else if (path === 'session_params.session_id') body.session_params.session_id = '  ';
      else delete (body as Record<string, unknown>)[path];
    }
    assert.deepEqual(order, [...DEFAULT_HASH_KEY, 'prompt']);
  });

  it('prefers the correlation id, stable over a conversation, to the request id', () => {
    assert.deepEqual(read({ 'x-request-id': 'fresh', 'x-correlation-id': 'conversation' }), {
      source: 'header:x-correlation-id',
      value: 'conversation',
      sticky: true,
    });
  });

  it('skips blank values and values that are no ids', () => {
    for (const user of ['', '   ', null, {}, [], true, NaN, undefined]) {
      assert.deepEqual(read({ 'x-session-id': ' ' }, { user, user_id: 'x' }), {
        source: 'body:user_id',
        value: 'x',
        sticky: true,
      });
    }
    assert.equal(read({}, { user: 42 }).value, '42');
  });

  it('finds nothing inside message text', () => {
    const body = { messages: [{ role: 'user', content: '"session_id": "not mine", user: "neither"' }] };
    assert.deepEqual(read({}, body), { source: 'prompt', value: 'fingerprint', sticky: false });
  });

  it('computes the fingerprint only when it is needed', () => {
    readHashKey(
      sources,
      () => 'id',
      () => undefined,
      () => assert.fail('computed'),
    );
  });

  it('pins conversations and users, not requests, tenants or clusters', () => {
    const sticky = sources.filter((source) => source.sticky).map((source) => source.text);
    assert.deepEqual(sticky, [
      'header:x-session-id',
      'header:x-user-id',
      'header:x-correlation-id',
      'body:session_params.session_id',
      'body:user',
      'body:session_id',
      'body:user_id',
    ]);
  });
});

describe('parseHashKeySource', () => {
  it('lower-cases header names and splits body paths', () => {
    assert.deepEqual(parseHashKeySource(' Header: X-Chat-Id '), {
      kind: 'header',
      name: 'x-chat-id',
      text: 'header:x-chat-id',
      sticky: true,
    });
    assert.deepEqual(parseHashKeySource('body:metadata.Chat'), {
      kind: 'body',
      path: ['metadata', 'Chat'],
      text: 'body:metadata.Chat',
      sticky: true,
    });
  });

  it('refuses what is neither', () => {
    for (const text of [
      '',
      'header',
      'header:',
      'body:',
      'body:a..b',
      'body:.a',
      'cookie:x',
      'x-session-id',
      'header:two words',
      ':x',
    ]) {
      assert.equal(parseHashKeySource(text), undefined, text);
    }
  });
});

describe('FreshIdWatch', () => {
  const key = (value: string, source = 'header:x-request-id'): HashKey => ({ source, value, sticky: false });
  const watch = (keys: Iterable<HashKey>): unknown[] => {
    const watched = new FreshIdWatch();
    return [...keys].map((each) => watched.note(each)).filter((finding) => finding !== undefined);
  };

  it('warns once when nearly every id is fresh', () => {
    const keys = Array.from({ length: 5000 }, (_, i) => key(`id-${i}`));
    assert.deepEqual(watch(keys), [{ source: 'header:x-request-id', share: 1 }]);
  });

  it('names the source that most of the fresh ids came from', () => {
    const keys = Array.from({ length: 1000 }, (_, i) =>
      key(`id-${i}`, i % 10 === 0 ? 'header:x-trace-id' : 'header:x-request-id'),
    );
    assert.deepEqual(watch(keys), [{ source: 'header:x-request-id', share: 1 }]);
  });

  it('stays silent at exactly 90%, and says so just above', () => {
    const keys = (fresh: number): HashKey[] =>
      Array.from({ length: 1000 }, (_, i) => key(i < fresh ? `id-${i}` : 'same'));
    assert.deepEqual(watch(keys(900)), []);
    assert.deepEqual(watch(keys(901)), [{ source: 'header:x-request-id', share: 0.901 }]);
  });

  it('stays silent for ids that come back and for prompts', () => {
    assert.deepEqual(watch(Array.from({ length: 10_000 }, (_, i) => key(`id-${i % 500}`))), []);
    assert.deepEqual(watch(Array.from({ length: 5000 }, (_, i) => key(`print-${i}`, 'prompt'))), []);
  });

  it('warns of trouble that begins later', () => {
    const calm = Array.from({ length: 3000 }, (_, i) => key(`id-${i % 10}`));
    const trouble = Array.from({ length: 2000 }, (_, i) => key(`fresh-${i}`));
    assert.equal(watch([...calm, ...trouble]).length, 1);
  });
});
