import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_ANSWER_BYTES, readPrefillAnswer, type PrefillAnswer } from './prefill-answer.ts';

function read(json: string): ReturnType<typeof readPrefillAnswer> {
  return readPrefillAnswer(Buffer.from(json, 'latin1'));
}

function answer(json: string): PrefillAnswer {
  const given = read(json);
  assert.ok(!('problem' in given), 'problem' in given ? given.problem : '');
  return given;
}

function problem(json: string): string {
  const given = read(json);
  return 'problem' in given ? given.problem : assert.fail(`${json.slice(0, 80)} was taken`);
}

test('the parameters are the very bytes', () => {
  const params = '{ "remote_block_ids":[[1, 2]], "n":12345678901234567890123,"u":"\u00c3\u00bf","f":1.0 }';
  const given = answer(
    `{"choices":[{"text":"kv_transfer_params"}],"kv_transfer_params" : ${params}, "usage":{"prompt_tokens":9,"total_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}}`,
  );
  assert.equal(given.params?.toString('latin1'), params);
  assert.equal(given.cachedTokens, 4);
  assert.equal(given.promptTokens, 9);
});

test('parameters that are no UTF-8 are none', () => {
  const bytes = Buffer.from('{"choices":[],"kv_transfer_params":{"u":"\xff"}}', 'latin1');
  assert.deepEqual(readPrefillAnswer(bytes), { problem: 'its kv_transfer_params are no UTF-8' });
});

test('a prefill that kept nothing has none', () => {
  assert.equal(answer('{"choices":[],"kv_transfer_params":null}').params, undefined);
  assert.equal(answer('{"choices":[]}').params, undefined);
  assert.equal(answer('{"output":[],"error":null,"object":"response"}').cachedTokens, undefined);
  assert.equal(answer('{"type":"message","content":[],"usage":null}').promptTokens, undefined);
});

test('of two the last one counts, as it does for Python', () => {
  const given = answer('{"choices":[],"kv_transfer_params":{"a":1},"kv_transfer_p\\u0061rams":{"a":2}}');
  assert.equal(given.params?.toString(), '{"a":2}');
});

test('an error with status 200 is told as one', () => {
  assert.match(problem('{"error":{"message":"out of memory","code":500}}'), /error: .*out of memory/);
  assert.match(problem('{"object":"error","message":"no such model"}'), /error: "no such model"/);
  assert.match(problem('{"type":"error"}'), /error/);
  assert.ok(problem(`{"error":"${'x'.repeat(100_000)}"}`).length < 400, 'however long it is');
});

test('what is no answer of a model is told', () => {
  for (const json of ['', 'null', '<html>', '[]', '{"choices":[', 'data: {}\n\n'])
    assert.match(problem(json), /no JSON object/);
  assert.match(problem('{}'), /none of choices/);
  assert.match(problem('{"choices":null}'), /none of choices/);
});

test('parameters that would spoil the request to the decode worker are told', () => {
  for (const params of ['1', '"x"', '[]', 'true'])
    assert.match(problem(`{"choices":[],"kv_transfer_params":${params}}`), /no object/);
  assert.match(problem('{"choices":[],"kv_transfer_params":{"a":}}'), /no JSON/);
  assert.match(problem('{"choices":[],"kv_transfer_params":{a}}'), /no JSON/);
  const ids = JSON.stringify(Array.from({ length: 700_000 }, (_, id) => 100_000 + id));
  assert.match(
    problem(`{"choices":[],"kv_transfer_params":{"remote_block_ids":[${ids}]}}`),
    /more than 4194304 bytes/,
  );
  assert.ok(
    answer('{"choices":[],"kv_transfer_params":{"until":Infinity}}').params,
    'Python knows that number',
  );
});

test('an answer of any length that may be is read, a longer one is told', () => {
  const logprobs = `[${'1.25,'.repeat(1_000_000)}0]`;
  const given = answer(`{"choices":[{"prompt_logprobs":${logprobs}}],"kv_transfer_params":{"a":1}}`);
  assert.equal(given.params?.toString(), '{"a":1}');
  assert.match(problem('x'.repeat(MOST_ANSWER_BYTES + 1)), /more than/);
});
