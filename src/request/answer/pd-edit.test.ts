import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Head } from '../send/attempt.ts';
import { editorFor, type AnswerEdit } from './response-edit.ts';

fc.configureGlobal({ seed: 7 });

const EVENTS: Head = { status: 200, statusText: '', headers: ['content-type', 'text/event-stream'] };
const JSON_BODY: Head = { status: 200, statusText: '', headers: ['content-type', 'application/json'] };

function pd(cachedTokens: number | undefined, more: Partial<AnswerEdit> = {}): AnswerEdit {
  const edit = { cachedTokens, prefill: undefined, onUnmerged: () => assert.fail('nothing is merged') };
  return { model: undefined, swallowUsage: false, pd: edit, ...more };
}

function edited(edit: AnswerEdit, head: Head, text: string, places: readonly number[] = []): string {
  const editor = editorFor(edit, head) ?? assert.fail('nothing to edit');
  const body = Buffer.from(text, 'latin1');
  const at = [...new Set(places.map((place) => place % (body.length + 1)))].sort((a, b) => a - b);
  const chunks = [0, ...at].map((from, index) => body.subarray(from, at[index] ?? body.length));
  return Buffer.concat([...chunks.map((chunk) => editor.push(chunk)), editor.end()]).toString('latin1');
}

const PARAMS = '{"remote_host":"10.0.0.1","remote_block_ids":[[1,2]],"x":"}\\"{"}';
/** What a worker says, and what a client gets of it where the prefill worker's cache had 7 tokens. */
const ANSWERS: readonly (readonly [before: string, after: string])[] = [
  [`{"id":"a","kv_transfer_params":${PARAMS},"n":1}`, '{"id":"a","kv_transfer_params":null,"n":1}'],
  ['{"kv_transfer_params": null}', '{"kv_transfer_params": null}'],
  [`{"kv_transfer_p\\u0061rams" : ${PARAMS} }`, '{"kv_transfer_p\\u0061rams" : null }'],
  [`{"choices":[{"kv_transfer_params":1,"usage":{}}]}`, `{"choices":[{"kv_transfer_params":1,"usage":{}}]}`],
  [
    '{"usage":{"prompt_tokens":9,"total_tokens":1e2,"prompt_tokens_details":{"cached_tokens":9, "x":null}},"id":12345678901234567890}',
    '{"usage":{"prompt_tokens":9,"total_tokens":1e2,"prompt_tokens_details":{"cached_tokens":7, "x":null}},"id":12345678901234567890}',
  ],
  [
    '{"usage":{"prompt_tokens_details":{"multimodal_tokens":1}}}',
    '{"usage":{"prompt_tokens_details":{"multimodal_tokens":1,"cached_tokens":7}}}',
  ],
  ['{"usage":{"prompt_tokens_details":null}}', '{"usage":{"prompt_tokens_details":null}}'],
  ['{"usage":null,"x":"\xff"}', '{"usage":null,"x":"\xff"}'],
  [
    '{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":0}}}',
    '{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":7}}}',
  ],
  [
    '{"usage":{"input_tokens":2,"cache_read_input_tokens":8,"output_tokens":3}}',
    '{"usage":{"input_tokens":3,"cache_read_input_tokens":7,"output_tokens":3}}',
  ],
  ['{"usage":{"input_tokens":2,"output_tokens":3}}', '{"usage":{"input_tokens":2,"output_tokens":3}}'],
];

const places = fc.array(fc.nat(), { maxLength: 30 });

test('an answer tells nobody how it was handed over, and what the prefill worker had', () => {
  for (const [before, after] of ANSWERS) assert.equal(edited(pd(7), JSON_BODY, before), after);
  fc.assert(
    fc.property(fc.constantFrom(...ANSWERS), places, ([before, after], cuts) => {
      assert.equal(edited(pd(7), JSON_BODY, before, cuts), after);
    }),
    { numRuns: 500 },
  );
});

test('so do the events of a stream, however they are cut', () => {
  const events = ANSWERS.filter(([before]) => !before.includes('\\u0061')).flatMap(([before, after]) => [
    [`data: ${before}\n\n`, `data: ${after}\n\n`] as const,
    [
      `event: x\r\ndata:{"response":${before},"sequence_number":1}\r\n\r\n`,
      `event: x\r\ndata:{"response":${after},"sequence_number":1}\r\n\r\n`,
    ] as const,
    [`data: {"message":${before}}\n\n`, `data: {"message":${after}}\n\n`] as const,
    ['data: [DONE]\n\n', 'data: [DONE]\n\n'] as const,
  ]);
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events), { maxLength: 6 }), places, (some, cuts) => {
      const [before, after] = [0, 1].map((side) => some.map((one) => one[side as 0 | 1]).join(''));
      assert.equal(edited(pd(7), EVENTS, before ?? '', cuts), after);
    }),
    { numRuns: 500 },
  );
});

test('where the prefill worker does not say, a number that means something else is taken out', () => {
  const usage = (details: string): string =>
    `{"usage":{"prompt_tokens":9,"prompt_tokens_details":${details}}}`;
  assert.equal(edited(pd(undefined), JSON_BODY, usage('{"cached_tokens":9,"a":1}')), usage('{"a":1}'));
  assert.equal(edited(pd(undefined), JSON_BODY, usage('{"cached_tokens":9}')), usage('{}'));
  const responses = '{"usage":{"input_tokens_details":{"cached_tokens":4}}}';
  assert.equal(edited(pd(undefined), JSON_BODY, responses), responses, 'the field must be there');
  assert.equal(edited(pd(0), JSON_BODY, usage('{"cached_tokens":9}')), usage('{"cached_tokens":0}'));
});

test('all that is to be changed is, whatever the wishes', () => {
  const all = pd(7, { model: Buffer.from('"gpt-4"'), swallowUsage: true });
  const before = `{"model":"m","kv_transfer_params":${PARAMS},"choices":[1],"usage":{"prompt_tokens_details":{"cached_tokens":0}}}`;
  const after =
    '{"model":"gpt-4","kv_transfer_params":null,"choices":[1],"usage":{"prompt_tokens_details":{"cached_tokens":7}}}';
  const usage = 'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n';
  fc.assert(
    fc.property(places, (cuts) => {
      assert.equal(edited(all, JSON_BODY, before, cuts), after);
      assert.equal(
        edited(all, EVENTS, `data: ${before}\n\n${usage}data: [DONE]\n\n`, cuts),
        `data: ${after}\n\ndata: [DONE]\n\n`,
      );
    }),
  );
});

test('values of any length are nulled, and nothing of them is kept', () => {
  const long = `{"a":"${'x'.repeat(3_000_000)}"}`;
  const editor = editorFor(pd(7), JSON_BODY) ?? assert.fail();
  let out = '';
  for (const chunk of [
    `{"kv_transfer_params":${long.slice(0, 99)}`,
    long.slice(99, 200_000),
    long.slice(200_000),
    ',"b":1}',
  ])
    out += editor.push(Buffer.from(chunk)).toString();
  assert.equal(out, '{"kv_transfer_params":null,"b":1}');
  const usage = `{"usage":${long},"kv_transfer_params":{"a":1},"model":"m"}`;
  assert.equal(
    edited(pd(7), JSON_BODY, usage, [50_000, 100_000, 2_000_000]),
    usage.replace('{"a":1}', 'null'),
  );
});

test('an answer that breaks off within a value is passed on as far as it came', () => {
  const text = '{"usage":{"prompt_tok';
  assert.equal(edited(pd(7), JSON_BODY, text, [12]), text);
});

test('where both workers are asked at once, the number is that which has come until then', () => {
  const told: { cachedTokens: number | undefined } = { cachedTokens: undefined };
  const late = Object.assign(told, { prefill: undefined, onUnmerged: () => undefined });
  const editor = editorFor({ ...pd(1), pd: late }, EVENTS);
  const usage = 'data: {"usage":{"prompt_tokens_details":{"cached_tokens":9}}}\n\n';
  assert.equal(
    editor?.push(Buffer.from('data: {"choices":[1]}\n\n')).toString(),
    'data: {"choices":[1]}\n\n',
  );
  told.cachedTokens = 5;
  assert.equal(editor?.push(Buffer.from(usage)).toString(), usage.replace('9', '5'));
});
