import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { inOneGo } from '../../base/in-pieces.ts';
import { decodeBody, leavingOutClientParams, mayHaveClientParams, prefillBody, type Cap } from './bodies.ts';

fc.configureGlobal({ seed: 7 });

const ONE_TOKEN = { body: 'one_token', members: [] } as const;

function cut(body: string, cap: Cap): string | undefined {
  return prefillBody(Buffer.from(body, 'latin1'), cap, ONE_TOKEN)?.toString('latin1');
}

/** By endpoint: the client's body, and what the prefill worker gets. */
const CASES: readonly (readonly [cap: Cap, before: string, after: string])[] = [
  ['max_tokens', '{}', '{"max_tokens":1,"stream":false}'],
  ['max_tokens', '{"max_tokens":16,"n":3}', '{"max_tokens":1,"n":3,"stream":false}'],
  ['max_tokens', '{"max_tokens":null,"stream":true}', '{"max_tokens":1,"stream":false}'],
  [
    'max_tokens',
    '{"max_completion_tokens" : 5,"model":"m"}',
    '{"max_completion_tokens" : 1,"model":"m","max_tokens":1,"stream":false}',
  ],
  [
    'max_tokens',
    '{"stream":true,"stream_options":{"include_usage":true},"max_tokens":2}',
    '{"stream":false,"max_tokens":1}',
  ],
  [
    'max_tokens',
    '{"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}',
    '{"max_tokens":1,"stream":false}',
  ],
  [
    'max_tokens',
    '{"min_tokens":9,"min_completion_tokens":"8","max_tokens":10,"stream":false}',
    '{"min_tokens":1,"min_completion_tokens":1,"max_tokens":1,"stream":false}',
  ],
  [
    'max_tokens',
    '{"min_tokens":0,"max_tokens":10,"stream":false}',
    '{"min_tokens":0,"max_tokens":1,"stream":false}',
  ],
  // What the worker refuses, it is to refuse.
  [
    'max_tokens',
    '{"min_tokens":"x","max_tokens":10,"stream":false}',
    '{"min_tokens":"x","max_tokens":1,"stream":false}',
  ],
  [
    'max_tokens',
    '{"m\\u0061x_tokens":5,"max_tokens":6,"strea\\u006d":true}',
    '{"m\\u0061x_tokens":1,"max_tokens":1,"strea\\u006d":false}',
  ],
  [
    'max_output_tokens',
    '{"input":"x","max_output_tokens":50,"max_tokens":3,"store":true,"background":true}',
    '{"input":"x","max_output_tokens":1,"max_tokens":3,"store":false,"background":false,"stream":false}',
  ],
  ['max_output_tokens', '{"input":"x"}', '{"input":"x","max_output_tokens":1,"store":false,"stream":false}'],
  [
    'sampling_params',
    '{"token_ids":[1,2],"max_tokens":7}',
    '{"token_ids":[1,2],"max_tokens":7,"sampling_params":{"max_tokens":1,"min_tokens":1},"stream":false}',
  ],
  [
    'sampling_params',
    '{"sampling_params":null,"stream":true}',
    '{"sampling_params":{"max_tokens":1,"min_tokens":1},"stream":false}',
  ],
  [
    'sampling_params',
    '{"sampling_params":{"max_tokens":70,"min_tokens":3, "seed":12345678901234567890},"stream":true}',
    '{"sampling_params":{"max_tokens":1,"min_tokens":1, "seed":12345678901234567890},"stream":false}',
  ],
  [
    'sampling_params',
    '{"sampling_params":{"temperature":1e0},"stream":true}',
    '{"sampling_params":{"temperature":1e0,"max_tokens":1},"stream":false}',
  ],
  ['sampling_params', '{"sampling_params":[],"stream":true}', '{"sampling_params":[],"stream":false}'],
];

test('a request is cut down to its prompt and one token as its endpoint has it', () => {
  for (const [cap, before, after] of CASES) assert.equal(cut(before, cap), after);
});

const known = ['max_tokens', 'max_completion_tokens', 'min_tokens', 'min_completion_tokens', 'stream'];
const json = fc.oneof(
  fc.jsonValue().map((one) => JSON.stringify(one)),
  fc.constantFrom(
    '12345678901234567890123',
    '1e5',
    '"\xff"',
    '"\\"stream\\":true"',
    '{"max_tokens":9,"stream":1}',
  ),
);

test('what is cut down keeps every byte but those of the fields that are meant', () => {
  const keys = fc.constantFrom(...known, 'prompt', 'messages', 'n', 'tools', 'kv', 'stream_option');
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, json), { maxLength: 10 }), (members) => {
      const written = members.map(([key, value]) => `"${key}": ${value}`);
      const after = cut(`{${written.join(', ')}}`, 'max_tokens');
      const kept = written.filter((_, index) => !known.includes(members[index]?.[0] ?? ''));
      let from = 0;
      for (const one of kept) {
        const at = after?.indexOf(one, from) ?? -1;
        assert.ok(at >= from, `${one} is gone from ${after}`);
        from = at + one.length;
      }
      const fields = JSON.parse(Buffer.from(after ?? '', 'latin1').toString('utf8')) as Record<
        string,
        unknown
      >;
      assert.equal(fields['max_tokens'], 1);
      assert.equal(fields['stream'], false);
    }),
    { numRuns: 500 },
  );
});

test('what is told to a worker stands behind everything that the client says', () => {
  const params = [['kv_transfer_params', '{"a":1}']] as const;
  const body = Buffer.from('\ufeff {"kv_transfer_params":{"b":2},"x":"}"} ');
  assert.equal(
    decodeBody(body, params)?.toString(),
    '\ufeff {"kv_transfer_params":{"b":2},"x":"}","kv_transfer_params":{"a":1}} ',
  );
  const same = prefillBody(body, 'max_tokens', { body: 'same', members: params });
  assert.deepEqual(same, decodeBody(body, params));
  assert.equal(decodeBody(body, []), body);
});

test('what is no object has no other body', () => {
  for (const body of ['[]', '', '{"a":', 'x'])
    assert.equal(prefillBody(Buffer.from(body), 'max_tokens', ONE_TOKEN), undefined);
});

/** What a client may try, and what is left of it. */
const THEIRS: readonly (readonly [before: string, after: string])[] = [
  ['{"kv_transfer_params":{"remote_host":"evil"},"prompt":"x"}', '{"prompt":"x"}'],
  ['{"prompt":"x","kv_transfer_p\\u0061rams":{"remote_host":"evil"}}', '{"prompt":"x"}'],
  ['{"kv_transfer_params":{},"kv_transfer_params":1}', '{}'],
  ['{"bootstrap_host":"evil","bootstrap_port":1,"bootstrap_room":2,"text":"x"}', '{"text":"x"}'],
  ['{"vllm_xargs":{"a":1,"kv_transfer_params":"x"},"prompt":"x"}', '{"vllm_xargs":{"a":1},"prompt":"x"}'],
  [
    '{"sampling_params":{"extra_args":{"kv_transfer_params":{"a":1}},"seed":1}}',
    '{"sampling_params":{"extra_args":{},"seed":1}}',
  ],
];

test('what a client says of handing over is found wherever vLLM looks for it, and taken out', () => {
  for (const [before, after] of THEIRS) {
    assert.equal(mayHaveClientParams(Buffer.from(before)), true, before);
    assert.equal(inOneGo(leavingOutClientParams(Buffer.from(before)))?.toString(), after);
  }
});

test('what is no object, or has too many members to tell, is neither with it nor without', () => {
  for (const body of ['kv_transfer_params', `{${'"kv_transfer_params":{},'.repeat(5000)}"x":1}`])
    assert.equal(inOneGo(leavingOutClientParams(Buffer.from(body))), undefined, body.slice(0, 40));
  const inside = `{"vllm_xargs":{${'"kv_transfer_params":{},'.repeat(5000)}"x":1}}`;
  assert.equal(inOneGo(leavingOutClientParams(Buffer.from(inside)))?.toString(), '{}');
});

test('words about it are not taken for it', () => {
  for (const body of [
    '{"prompt":"\\"kv_transfer_params\\":{}"}',
    '{"kv_transfer_params":null}',
    '{"messages":[{"kv_transfer_params":{}}]}',
    '{"prompt":"\\u00e4"}',
    '{"sampling_params":[1]}',
  ]) {
    const bytes = Buffer.from(body);
    assert.equal(inOneGo(leavingOutClientParams(bytes)), bytes, body);
  }
});
