/** What `test/data/vllm-0.32-pd-nixl.json` shows of two real vLLM 0.32 with NixlConnector, against two simulated ones. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ask, newPrompt, startPair, type SimPair } from '../../../test/support/sim-pair.ts';

interface Exchange {
  readonly label: string;
  readonly path: string;
  readonly prefill_request: { readonly body: Record<string, unknown> };
  readonly prefill_response: Record<string, unknown>;
  readonly decode_request: { readonly body: Record<string, unknown> };
  readonly decode_response: Record<string, unknown>;
}

const FILE = join(import.meta.dirname, '../../../test/data/vllm-0.32-pd-nixl.json');
// The file is ours, and its last entry is a stream.
const EXCHANGES = (JSON.parse(readFileSync(FILE, 'utf8')) as Exchange[]).filter(
  ({ path }) => path !== undefined,
);

/** Fields and types, with the order of fields. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value;
  return Object.entries(value).map(([key, each]) => [key, shapeOf(each)]);
}

/** Digits and hex digits stand for any. */
function patternOf(id: unknown): string {
  return String(id)
    .replace(/[0-9a-f]{8}$/, 'HEX')
    .replaceAll(/\d+/g, 'N');
}

let pair: SimPair;

before(async () => {
  pair = await startPair({ model: { blocks: 4096, blockSize: 32 }, kvTransfer: { bytesPerToken: 512 } });
});
after(async () => {
  await pair[Symbol.asyncDispose]();
});

describe('the exchange of a pair', () => {
  for (const { label, path, ...real } of EXCHANGES)
    it(`is a real pair's: ${label}`, async () => {
      const { model: _, ...body } = real.prefill_request.body;
      const content = label.startsWith('short') ? 'hi' : newPrompt();
      const asked: Record<string, unknown> =
        path === '/v1/completions'
          ? { ...body, prompt: content }
          : { ...body, messages: [{ role: 'user', content }] };
      const id = 'pd-1-1796005416';
      const first = await ask(pair.prefill, asked, { path, id });
      const params: Record<string, unknown> = first.body.kv_transfer_params;
      const realParams = real.prefill_response['kv_transfer_params'] as Record<string, unknown>;
      assert.deepEqual(shapeOf(params), shapeOf(realParams));
      assert.equal(patternOf(params['remote_request_id']), patternOf(realParams['remote_request_id']));
      assert.equal(String(params['remote_engine_id']).length, String(realParams['remote_engine_id']).length);
      const tokens = Number(params['remote_num_tokens']);
      const [blocks] = params['remote_block_ids'] as readonly (readonly number[])[];
      assert.equal(tokens, first.body.usage.prompt_tokens);
      assert.equal(blocks?.length, Math.ceil(tokens / 32));

      const { stream: __, kv_transfer_params: ___, ...plain } = asked;
      const second = await ask(
        pair.decode,
        { ...plain, max_tokens: 6, kv_transfer_params: params },
        { path, id },
      );
      assert.equal(second.body.kv_transfer_params, real.decode_response['kv_transfer_params']);
      assert.equal(second.body.usage.prompt_tokens_details.cached_tokens, 0);
      for (const key of ['id', 'object', 'choices', 'usage', 'kv_transfer_params'])
        assert.ok(Object.hasOwn(second.body, key) && Object.hasOwn(real.decode_response, key), key);
    });
});
