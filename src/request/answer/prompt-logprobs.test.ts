import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withPrompt } from './prompt-logprobs.ts';
import { editorFor } from './response-edit.ts';

function merged(decode: string, prefill: string): string | undefined {
  return withPrompt(Buffer.from(decode), Buffer.from(prefill))?.toString();
}

/** A completion of `a é😀` with one token, as the prefill worker answers it, `echo` and `logprobs` being asked for. */
const PREFILL =
  '{"id":"p","choices":[{"text":"a é😀!","prompt_logprobs":[null,{"5":{"logprob":-1.0}},{"6":{"logprob":-0.0}}],' +
  '"logprobs":{"tokens":["a"," é","😀","!"],"token_logprobs":[null,-1.0,-0.0,-1e-9],"top_logprobs":[null,{" é":-1.0},{},{}],"text_offset":[0,1,3,4]}}]}';

test('what the prefill worker knows of the prompt stands before what the decode worker generated', () => {
  const decode =
    '{"id":"d","choices":[{"text":"!?","n":12345678901234567890,"prompt_logprobs":null,' +
    '"logprobs":{"tokens":["!","?"],"token_logprobs":[-1e-9,-2.50],"top_logprobs":[{},{}],"text_offset":[0,1],"x":1}}],"usage":null}';
  assert.equal(
    merged(decode, PREFILL),
    '{"id":"d","choices":[{"text":"!?","n":12345678901234567890,"prompt_logprobs":[null,{"5":{"logprob":-1.0}},{"6":{"logprob":-0.0}}],' +
      '"logprobs":{"tokens":["a"," é","😀","!","?"],"token_logprobs":[null,-1.0,-0.0,-1e-9,-2.50],"top_logprobs":[null,{" é":-1.0},{},{},{}],"text_offset":[0,1,3,4,5],"x":1}}],"usage":null}',
  );
});

test('a decode worker that has computed the prompt once more knows it itself', () => {
  const own =
    '{"choices":[{"prompt_logprobs":[null,{},{}],"logprobs":{"tokens":["a"," é","😀","!"]}}],"prompt_logprobs":[1]}';
  assert.equal(merged(own, PREFILL), own);
  assert.equal(merged('{"prompt_logprobs":[2]}', '{"prompt_logprobs":[1]}'), '{"prompt_logprobs":[2]}');
});

test('a chat has them at the top', () => {
  assert.equal(
    merged('{"choices":[],"prompt_logprobs":null}', '{"prompt_logprobs":[null,{}]}'),
    '{"choices":[],"prompt_logprobs":[null,{}]}',
  );
  assert.equal(
    merged('{"choices":[]}', '{"prompt_logprobs":[null,{}]}'),
    '{"choices":[],"prompt_logprobs":[null,{}]}',
  );
});

test("SGLang's lists follow each other", () => {
  assert.equal(
    merged(
      '{"meta_info":{"input_token_logprobs":[[-0.5,3]],"id":1}}',
      '{"meta_info":{"input_token_logprobs":[[null,1],[-2.0,2]]}}',
    ),
    '{"meta_info":{"input_token_logprobs":[[null,1],[-2.0,2],[-0.5,3]],"id":1}}',
  );
});

test('without prompt log-probabilities nothing is put before anything', () => {
  const decode = '{"choices":[{"text":"x","logprobs":{"tokens":["x"],"token_logprobs":[-1]}}]}';
  assert.equal(merged(decode, '{"choices":[{"logprobs":{"tokens":["y"],"token_logprobs":[-2]}}]}'), decode);
  assert.equal(
    merged(decode, '{"choices":[{"prompt_logprobs":[],"logprobs":{"tokens":["y"]}}]}'),
    decode.replace('}}]', '},"prompt_logprobs":[]}]'),
  );
});

test('of what is not as expected nothing is made', () => {
  const decode = '{"choices":[{"logprobs":{"tokens":null,"text_offset":["a"]}},5],"meta_info":3}';
  const odd =
    '{"choices":[{"prompt_logprobs":[1,2],"logprobs":{"tokens":{},"text_offset":[{},"x"]}},6],"meta_info":{"input_token_logprobs":[1]}}';
  const changed = merged(decode, odd);
  assert.ok(changed);
  assert.deepEqual(JSON.parse(changed), {
    choices: [{ logprobs: { tokens: null, text_offset: ['a'] }, prompt_logprobs: [1, 2] }, 5],
    meta_info: 3,
  });
  for (const prefill of ['', '[]', '{"choices":5}', '{"choices":[}', '{'])
    assert.equal(merged(decode, prefill), decode);
  assert.equal(merged('{"choices":[', PREFILL), undefined);
});

test('the answer is held, merged and changed in the other ways, or passes when it is too long', () => {
  const head = { status: 200, statusText: '', headers: ['content-type', 'application/json'] };
  let unmerged = 0;
  const make = () =>
    editorFor(
      {
        model: Buffer.from('"gpt-4"'),
        swallowUsage: false,
        pd: {
          cachedTokens: 3,
          prefill: Buffer.from('{"prompt_logprobs":[null]}'),
          onUnmerged: () => (unmerged += 1),
        },
      },
      head,
    ) ?? assert.fail('nothing to edit');
  const editor = make();
  assert.equal(editor.push(Buffer.from('{"model":"m","kv_transfer')).length, 0);
  assert.equal(editor.push(Buffer.from('_params":{"a":1}}')).length, 0);
  assert.equal(
    editor.end().toString(),
    '{"model":"gpt-4","kv_transfer_params":null,"prompt_logprobs":[null]}',
  );
  assert.equal(unmerged, 0);

  const long = make();
  const parts = ['{"model":"m","a":"', ...Array.from({ length: 18 }, () => 'x'.repeat(1024 * 1024)), '"}'];
  let out = 0;
  let start = '';
  for (const part of parts) {
    const bytes = long.push(Buffer.from(part));
    start ||= bytes.toString('latin1', 0, 20);
    out += bytes.length;
  }
  out += long.end().length;
  assert.equal(start, '{"model":"gpt-4","a"');
  assert.equal(out, parts.join('').length + 4);
  assert.equal(unmerged, 1);
});
