import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { idsOfAnswer, isUnoffered, mostAnswerBytes } from './token-answer.ts';

const read = (text: string) => idsOfAnswer(Buffer.from(text));

describe('answers of routes that tokenise', () => {
  it('are read as each of the routes words them', () => {
    assert.deepEqual(read('{"count":2,"tokens":[1,2],"token_strs":["tokens",null]}'), Uint32Array.of(1, 2));
    assert.deepEqual(read(' [ {"token_ids" : [ 3 , 4 ],"features":null} ]'), Uint32Array.of(3, 4));
    assert.deepEqual(read('{"tokens":null,"token_ids":[5]}'), Uint32Array.of(5));
    assert.deepEqual(read('{"prompt":{"token_ids":[9]},"token_ids":[6]}'), Uint32Array.of(6));
    assert.deepEqual(read('{"tokens":[ ]}'), new Uint32Array(0));
    assert.deepEqual(read('{"tokens":[ 0 ,\n4294967295 ]}'), Uint32Array.of(0, 4_294_967_295));
    for (const list of [
      '[4294967296]',
      '[1,]',
      '[,1]',
      '[1 2]',
      '[[1]]',
      '[1',
      '[99999999999999999999999]',
      '{}',
    ])
      assert.equal(read(`{"tokens":${list}}`), undefined, list);
  });

  it('of millions of members take no longer than their bytes', () => {
    // As values they take seconds.
    const body = Buffer.from(`{"tokens":[${'{},'.repeat(2_000_000)}1]}`);
    const from = performance.now();
    assert.equal(idsOfAnswer(body), undefined);
    assert.ok(performance.now() - from < 500);
  });

  it('may be as long as the prompt makes sense of', () => {
    const about = { model: 'm', route: 'completion', renderOnly: false } as const;
    const ids = JSON.stringify(Array.from({ length: 100_000 }, () => 151_643));
    const most = mostAnswerBytes({ ...about, members: new Uint8Array(100_000) });
    assert.ok(ids.length < most && most < 4 * 1024 * 1024);
  });

  it('that name no error are of servers without the route', () => {
    assert.ok(isUnoffered(404, Buffer.alloc(1024 * 1024, '[')));
    assert.ok(!isUnoffered(404, Buffer.from('{"error":{}}')));
  });
});
